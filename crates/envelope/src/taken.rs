//! What was taken from a queue that this process hands out itself only to be looked at.

use forebay_core::delivery::DeliveryId;

/// A queue whose deliveries lie in this process.
pub trait Lying {
    /// Whether a delivery is held.
    fn is_held(&self, delivery: DeliveryId) -> bool;

    /// A delivery is ready again in its place, if it is held: a look is no attempt.
    fn put_back(&self, delivery: DeliveryId);
}

/// Deliveries that were taken to be looked at. What of them is held still when this goes, because all was seen, something
/// failed or nobody waits any more, is put back.
pub struct Taken<'a, Q: Lying> {
    queue: &'a Q,
    all: Vec<DeliveryId>,
}

impl<'a, Q: Lying> Taken<'a, Q> {
    /// Nothing yet.
    pub fn none(queue: &'a Q) -> Self {
        Self { queue, all: Vec::new() }
    }

    /// These were taken, too.
    pub fn extend(&mut self, more: impl IntoIterator<Item = DeliveryId>) {
        self.all.extend(more);
    }

    /// How many were taken.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// Leaves out what is held no more.
    pub fn settle(&mut self) {
        self.all.retain(|id| self.queue.is_held(*id));
    }
}

impl<Q: Lying> Drop for Taken<'_, Q> {
    fn drop(&mut self) {
        self.all.drain(..).for_each(|id| self.queue.put_back(id));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// What is held.
    struct Held(RefCell<Vec<DeliveryId>>);

    impl Lying for Held {
        fn is_held(&self, delivery: DeliveryId) -> bool {
            self.0.borrow().contains(&delivery)
        }

        fn put_back(&self, delivery: DeliveryId) {
            self.0.borrow_mut().retain(|held| *held != delivery);
        }
    }

    #[test]
    fn what_was_taken_is_put_back_however_the_look_ends() {
        let id = |position| DeliveryId { position, token: 7 };
        let held = Held(RefCell::new([1, 2, 3, 4].map(id).into()));
        let mut taken = Taken::none(&held);
        taken.extend([1, 2, 3].map(id));
        held.put_back(id(2));
        taken.settle();
        assert_eq!(taken.count(), 2);
        drop(taken);
        assert_eq!(*held.0.borrow(), [id(4)], "that was taken by another");
    }
}
