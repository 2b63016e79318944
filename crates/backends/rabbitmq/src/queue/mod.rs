//! One queue as this process knows it: its settings, what it is called on the server, and what of it lies here.

pub(crate) mod declare;
pub(crate) mod intake;
pub(crate) mod letter;
pub(crate) mod names;
pub(crate) mod record;
pub(crate) mod shelf;
mod tags;
pub(crate) mod told;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use forebay_core::delivery::{Delivery, DeliveryId};
use forebay_core::queue::{Order, QueueSettings};
use forebay_envelope::envelope::Envelope;
use forebay_envelope::holds::{Held, Position};
use forebay_envelope::taken::Lying;
use parking_lot::Mutex;
use tokio::sync::Notify;

use self::letter::Letter;
use self::names::{Lane, Names};
use self::shelf::Shelf;

/// A queue that is there.
pub(crate) struct Queue {
    pub(crate) settings: QueueSettings,
    pub(crate) names: Names,
    shelf: Mutex<Shelf>,
    /// Notified of every change of the shelf.
    pub(crate) changed: Notify,
    /// Waiting queues that are known to be there, by their class, and on which connection that was found.
    pub(crate) waits: Mutex<(u64, HashSet<u32>)>,
    /// On which connection all that others had of an ordered queue was found in its place again.
    pub(crate) settled_in: AtomicU64,
    turn_next: AtomicU64,
}

impl Queue {
    pub(crate) fn new(settings: QueueSettings, names: Names) -> Self {
        let shelf = Mutex::new(Shelf::new(settings.order == Order::Key));
        let (changed, waits) = (Notify::new(), Mutex::default());
        let (settled_in, turn_next) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { settings, names, shelf, changed, waits, settled_in, turn_next }
    }

    /// Looks at or changes what lies here, and tells those who wait.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Shelf) -> T) -> T {
        let output = change(&mut self.shelf.lock());
        self.changed.notify_waiters();
        output
    }

    /// The same for what nobody waits for.
    pub(crate) fn change_quietly<T>(&self, change: impl FnOnce(&mut Shelf) -> T) -> T {
        change(&mut self.shelf.lock())
    }

    /// Only looks.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Shelf) -> T) -> T {
        look(&self.shelf.lock())
    }

    /// The queues of the server that are consumed, those that go first before the others.
    pub(crate) fn lanes(&self) -> Vec<Lane> {
        match self.settings.order {
            Order::Key => vec![Lane::Again, Lane::Class(0)],
            Order::Arrival => (0..=self.settings.priority_max).rev().map(Lane::Class).collect(),
        }
    }

    /// Where a message of this priority goes.
    pub(crate) fn lane(&self, priority: u8) -> Lane {
        Lane::Class(priority.min(self.settings.priority_max))
    }

    /// A receiver's place among those who wait.
    pub(crate) fn turn(&self) -> Turn<'_> {
        let number = self.turn_next.fetch_add(1, Relaxed);
        self.change(|shelf| shelf.turns.push_back(number));
        Turn { queue: self, number }
    }

    /// A letter as it is handed out.
    pub(crate) fn delivery(&self, held: &Held<Letter>) -> Delivery {
        let Envelope { message, published_at, history, .. } = &held.letter.envelope;
        Delivery {
            id: DeliveryId { position: held.letter.number, token: held.token },
            queue: self.settings.name.clone(),
            message: message.clone(),
            attempt: held.letter.envelope.attempt(),
            retry: self.settings.retry,
            held_until: held.until,
            published_at: *published_at,
            history: history.clone(),
        }
    }

    /// Takes a held delivery out, to settle it; `None` if it is not held.
    pub(crate) fn grip(&self, position: Position, token: u32) -> Option<Grip<'_>> {
        let grip = |shelf: &mut Shelf| Some((shelf.holds.grip(position, token)?, shelf.epoch()));
        let (held, epoch) = self.change_quietly(grip)?;
        Some(Grip { queue: self, epoch, held, becomes: Becomes::Held })
    }
}

impl Lying for Queue {
    fn is_held(&self, DeliveryId { position, token }: DeliveryId) -> bool {
        self.look(|shelf| shelf.holds.held(position, token).is_some())
    }

    fn put_back(&self, DeliveryId { position, token }: DeliveryId) {
        if let Some(grip) = self.grip(position, token) {
            grip.put_back();
        }
    }
}

/// Given up when it is dropped: the next one's turn has come.
pub(crate) struct Turn<'a> {
    queue: &'a Queue,
    pub(crate) number: u64,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.queue.change(|shelf| shelf.turns.retain(|number| *number != self.number));
    }
}

/// A held delivery that is being settled: nobody else finds it held. It is held again if that comes to nothing.
pub(crate) struct Grip<'a> {
    queue: &'a Queue,
    epoch: u64,
    held: Held<Letter>,
    becomes: Becomes,
}

/// What becomes of what was gripped.
enum Becomes {
    Held,
    Ready,
    /// Others see to it.
    Given,
}

impl Grip<'_> {
    pub(crate) fn letter(&self) -> &Letter {
        &self.held.letter
    }

    /// What it holds, and over which channel that came, as the shelf counts them. It stays gripped until it is let go there.
    pub(crate) fn give(mut self) -> (Arc<Letter>, u64) {
        self.becomes = Becomes::Given;
        (self.held.letter.clone(), self.epoch)
    }

    /// It is ready again, in its place.
    pub(crate) fn put_back(mut self) {
        self.becomes = Becomes::Ready;
    }
}

impl Drop for Grip<'_> {
    fn drop(&mut self) {
        if matches!(self.becomes, Becomes::Given) {
            return;
        }
        self.queue.change(|shelf| {
            shelf.holds.let_go(self.held.letter.number);
            match self.becomes {
                Becomes::Held => shelf.hold_again(self.held.clone(), self.epoch),
                Becomes::Ready => shelf.put_back(self.held.letter.clone(), self.epoch),
                Becomes::Given => {}
            }
        });
    }
}
