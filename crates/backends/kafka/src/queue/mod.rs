//! One queue as this process knows it: its settings, what it is called in Kafka, and what of it lies here.

pub(crate) mod commit;
pub(crate) mod contiguous;
pub(crate) mod intake;
pub(crate) mod letter;
pub(crate) mod names;
pub(crate) mod ranges;
pub(crate) mod record;
pub(crate) mod shelf;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use forebay_core::delivery::{Delivery, DeliveryId};
use forebay_core::queue::{Order, QueueName, QueueSettings, Retain};
use forebay_envelope::envelope::Envelope;
use forebay_envelope::holds::{Held, Position};
use forebay_envelope::taken::Lying;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use self::commit::{Change, Fate};
use self::letter::Letter;
use self::names::Names;
use self::shelf::Shelf;

/// A queue that is there.
pub(crate) struct Queue {
    pub(crate) settings: QueueSettings,
    /// Which of the queues of this name it is.
    pub(crate) life: u64,
    pub(crate) names: Names,
    shelf: Mutex<Shelf>,
    /// Notified of every change of the shelf.
    pub(crate) changed: Notify,
    /// Notified when something waits to be committed.
    pub(crate) commits: Notify,
    turn_next: AtomicU64,
}

impl Queue {
    pub(crate) fn new(settings: QueueSettings, life: u64, names: Names) -> Self {
        let shelf = Mutex::new(Shelf::new(settings.order == Order::Key));
        let (changed, commits, turn_next) = (Notify::new(), Notify::new(), AtomicU64::new(0));
        Self { settings, life, names, shelf, changed, commits, turn_next }
    }

    pub(crate) fn name(&self) -> &QueueName {
        &self.settings.name
    }

    /// Whether it can be replayed.
    pub(crate) fn retains(&self) -> bool {
        self.settings.retain != Retain::Nothing
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

    /// A receiver's place among those who wait.
    pub(crate) fn turn(&self) -> Turn<'_> {
        let number = self.turn_next.fetch_add(1, Relaxed);
        self.change_quietly(|shelf| shelf.turns.push_back(number));
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
        let (held, generation) = self.change_quietly(|shelf| shelf.grip(position, token))?;
        Some(Grip { queue: self, generation, held: Some(held) })
    }

    /// Settles a held delivery; `None` if it is not held.
    pub(crate) fn settle(&self, position: Position, token: u32) -> Option<oneshot::Receiver<Fate>> {
        let fate = self.change_quietly(|shelf| {
            let (held, generation) = shelf.grip(position, token)?;
            Some(shelf.begin(held.letter.clone(), generation, Some(held), Change::Settled))
        })?;
        self.commits.notify_one();
        Some(fate)
    }

    /// Settles what nobody holds.
    pub(crate) fn finish(&self, letter: Arc<Letter>, generation: u64) -> oneshot::Receiver<Fate> {
        let fate = self.change(|shelf| shelf.begin(letter, generation, None, Change::Settled));
        self.commits.notify_one();
        fate
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
        let others_wait = self.queue.change_quietly(|shelf| {
            shelf.turns.retain(|number| *number != self.number);
            !shelf.turns.is_empty()
        });
        if others_wait {
            self.queue.changed.notify_waiters();
        }
    }
}

/// A held delivery that is being settled: nobody else finds it held. It is held again if that comes to nothing.
pub(crate) struct Grip<'a> {
    queue: &'a Queue,
    generation: u64,
    held: Option<Held<Letter>>,
}

impl Grip<'_> {
    /// `None` once it was given away, which consumes the grip.
    pub(crate) fn letter(&self) -> Option<&Arc<Letter>> {
        self.held.as_ref().map(|held| &held.letter)
    }

    /// Its partition is still here.
    pub(crate) fn is_ours(&self) -> bool {
        self.held.as_ref().is_some_and(|held| {
            self.queue.look(|shelf| shelf.is_current(held.letter.source, self.generation))
        })
    }

    /// Whatever becomes of its commit.
    pub(crate) fn begin(mut self, change: Change, copied: bool) -> Option<oneshot::Receiver<Fate>> {
        let held = self.held.take()?;
        let (letter, kept) = (held.letter.clone(), (!copied).then_some(held));
        let begin = |shelf: &mut Shelf| shelf.begin(letter, self.generation, kept, change);
        let fate = self.queue.change_quietly(begin);
        self.queue.commits.notify_one();
        Some(fate)
    }

    /// It is ready again, in its place.
    pub(crate) fn put_back(mut self) {
        if let Some(held) = self.held.take() {
            self.queue.change(|shelf| shelf.put_back(held.letter.clone(), self.generation));
        }
    }
}

impl Drop for Grip<'_> {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            self.queue.change(|shelf| shelf.hold_again(held, self.generation));
        }
    }
}
