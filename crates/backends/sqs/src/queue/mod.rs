//! One queue as this process knows it: its settings, where it is on SQS, and what of it lies here.

pub(crate) mod acks;
pub(crate) mod declare;
pub(crate) mod names;
pub(crate) mod record;
pub(crate) mod shelf;
pub(crate) mod waiting;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use forebay_core::delivery::{Delivery, DeliveryId};
use forebay_core::queue::{Order, QueueSettings};
use forebay_core::time::Instant;
use parking_lot::Mutex;
use tokio::sync::Notify;

use self::acks::Acks;
use self::shelf::{Held, Letter, Position, Shelf};

/// A queue that is there.
pub(crate) struct Queue {
    pub(crate) settings: QueueSettings,
    /// Where it is.
    pub(crate) url: String,
    /// Where its messages wait for their time.
    pub(crate) later: String,
    /// The largest message, and the largest request, that it takes.
    pub(crate) bytes_max: usize,
    shelf: Mutex<Shelf>,
    /// Notified of every change of the shelf.
    pub(crate) changed: Notify,
    pub(crate) acks: Acks,
    /// Held while messages are prolonged. Who says anything else of one first takes it out of what is prolonged and then waits
    /// for this, so that an earlier word does not arrive after a later one.
    pub(crate) hiding: tokio::sync::Mutex<()>,
    /// Somebody here sees to what becomes due.
    pub(crate) minded: AtomicBool,
    /// Who has it may move what becomes due.
    pub(crate) moving: tokio::sync::Mutex<()>,
}

impl Queue {
    pub(crate) fn new(settings: QueueSettings, url: String, later: String, bytes_max: usize) -> Self {
        let shelf = Mutex::new(Shelf::new(settings.order == Order::Key));
        let (changed, acks) = (Notify::new(), Acks::default());
        let (hiding, minded, moving) =
            (tokio::sync::Mutex::default(), AtomicBool::new(false), tokio::sync::Mutex::default());
        Self { settings, url, later, bytes_max, shelf, changed, acks, hiding, minded, moving }
    }

    pub(crate) fn is_ordered(&self) -> bool {
        self.settings.order == Order::Key
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

    /// A letter as it is handed out.
    pub(crate) fn delivery(&self, held: &Held) -> Delivery {
        let envelope = &held.letter.envelope;
        Delivery {
            id: DeliveryId { position: held.letter.number, token: held.token },
            queue: self.settings.name.clone(),
            message: envelope.message.clone(),
            attempt: held.attempt,
            retry: self.settings.retry,
            held_until: held.until,
            published_at: envelope.published_at,
            history: envelope.history.clone(),
        }
    }

    /// Takes a held delivery to settle it; `None` if it is not held, or is being settled.
    pub(crate) fn grip(&self, position: Position, token: u32, now: Instant) -> Option<Grip<'_>> {
        let (letter, attempt) = self.change_quietly(|shelf| shelf.grip(position, token, now))?;
        Some(Grip { queue: self, letter, attempt, settled: false })
    }
}

/// A held delivery that is being settled: nobody else settles it. It is held as before if that comes to nothing.
pub(crate) struct Grip<'a> {
    queue: &'a Queue,
    pub(crate) letter: Arc<Letter>,
    pub(crate) attempt: u32,
    settled: bool,
}

impl Grip<'_> {
    /// It is held no more.
    pub(crate) fn finish(mut self) {
        self.settled = true;
    }
}

impl Drop for Grip<'_> {
    fn drop(&mut self) {
        self.queue.change(|shelf| shelf.let_go(self.letter.number, self.settled));
    }
}
