//! Declaring and deleting queues: one at a time of each name, so that nobody's bound is spent waiting for others.

use std::collections::BTreeSet;

use forebay_core::queue::QueueName;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Names of queues that are being declared or deleted.
#[derive(Default)]
pub(crate) struct Declaring {
    names: Mutex<BTreeSet<QueueName>>,
    freed: Notify,
}

impl Declaring {
    /// Waits until nobody else declares or deletes the queue; nobody does for as long as the answer is kept.
    pub(crate) async fn alone(&self, name: &QueueName) -> Alone<'_> {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if self.names.lock().insert(name.clone()) {
                return Alone { declaring: self, name: name.clone() };
            }
            freed.await;
        }
    }
}

/// Others have their turn when it goes.
pub(crate) struct Alone<'a> {
    declaring: &'a Declaring,
    name: QueueName,
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.declaring.names.lock().remove(&self.name);
        self.declaring.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn whoever_declares_a_queue_waits_for_nobody_but_who_declares_the_same() {
        let (declaring, name) = (Declaring::default(), |name| QueueName::new(name).unwrap());
        let (one, other) = (name("one"), name("other"));
        let first = declaring.alone(&one).now_or_never();
        assert!(first.is_some() && declaring.alone(&other).now_or_never().is_some());
        let mut second = Box::pin(declaring.alone(&one));
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        assert!(second.now_or_never().is_some());
    }
}
