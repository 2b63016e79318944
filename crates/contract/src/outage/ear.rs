//! Somebody who listens to a bus all the time, and what it knows of.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_core::error::{Error, Kind, Result};
use forebay_core::payload::Payload;
use forebay_core::ports::bus::{Bus, BusCapabilities, Heard, Listener, Position};
use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::load::only_unavailable;

/// The pause before a bus is asked again that has refused to be listened to.
const PAUSE: Duration = Duration::from_millis(50);

/// One who listens until it is dropped, and anew wherever a bus can promise nothing else.
pub struct Ear {
    known: Arc<Mutex<Known>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Known {
    /// How many notices.
    count: usize,
    /// The newest at each position.
    heard: BTreeMap<Position, Payload>,
    gaps: Vec<(Position, Position)>,
    /// What was heard at a position a second time.
    again: u64,
    /// The longest that a bus took to be listened to.
    slowest: Duration,
    /// What no bus may do.
    wrong: Option<String>,
}

impl Ear {
    /// Begins to listen to what is published from now on. Where the bus refuses that it is asked again for so long.
    pub fn of(handle: &Handle, bus: Arc<dyn Bus>, most: Duration) -> Self {
        let known = Arc::new(Mutex::new(Known::default()));
        let hearing = Hearing { bus, known: known.clone() };
        let (head, listener) = handle.block_on(hearing.begin(most));
        Self { known, task: handle.spawn(hearing.hear(head, listener)) }
    }

    /// How many notices it has heard.
    pub fn count(&self) -> usize {
        self.known().count
    }

    /// The gaps of which it was told.
    pub fn gaps(&self) -> Vec<(Position, Position)> {
        self.known().gaps.clone()
    }

    /// Whether it has heard the notice there, or of a gap.
    pub fn knows_of(&self, position: Position) -> bool {
        self.known().knows_of(position)
    }

    /// Of these the ones that it does not know of.
    pub(super) fn missing<'a>(&self, positions: impl Iterator<Item = &'a Position>) -> Vec<Position> {
        let known = self.known();
        positions.filter(|position| !known.knows_of(**position)).copied().collect()
    }

    /// Fails if something else was heard at a position than was published there.
    pub(super) fn check(&self, published: &BTreeMap<Position, Payload>) {
        let known = self.known();
        for (position, heard) in &known.heard {
            if let Some(notice) = published.get(position) {
                assert_eq!(heard, notice, "at {position:?}");
            }
        }
    }

    pub(super) fn again(&self) -> u64 {
        self.known().again
    }

    pub(super) fn slowest(&self) -> Duration {
        self.known().slowest
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        let known = self.known.lock();
        assert!(known.wrong.is_none(), "{}", known.wrong.as_deref().unwrap_or_default());
        known
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Known {
    /// Says up to where it knows now.
    fn note(&mut self, heard: Heard, last: Position, can: BusCapabilities) -> Position {
        match heard {
            Heard::Notice { position, notice } => {
                // A bus that has lost what it gave may give its positions to other notices.
                let in_doubt = self.gaps.iter().any(|(from, _)| *from == Position::START);
                let is_again = self.heard.insert(position, notice).is_some() && !in_doubt;
                if can.ordered && position <= last || can.once && is_again {
                    self.wrong = Some(format!("{position:?} is heard after {last:?}"));
                }
                self.count += 1;
                self.again += u64::from(is_again);
                position
            }
            Heard::Gap { from, to } => {
                self.gaps.push((from, to));
                to
            }
        }
    }

    fn knows_of(&self, position: Position) -> bool {
        let in_gap = |(from, to): &(Position, Position)| *from < position && position <= *to;
        self.heard.contains_key(&position) || self.gaps.iter().any(in_gap)
    }
}

/// What an ear's task does.
struct Hearing {
    bus: Arc<dyn Bus>,
    known: Arc<Mutex<Known>>,
}

impl Hearing {
    /// The head at some moment before it began to listen.
    async fn begin(&self, most: Duration) -> (Position, Box<dyn Listener>) {
        let begun = Instant::now();
        loop {
            let error = match self.bus.head().await {
                Ok(head) => match self.listen(None).await {
                    Ok(listener) => return (head, listener),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            only_unavailable(&error);
            assert!(begun.elapsed() < most, "nobody can listen: {error}");
            sleep(PAUSE).await;
        }
    }

    async fn listen(&self, after: Option<Position>) -> Result<Box<dyn Listener>> {
        let begun = Instant::now();
        let listener = self.bus.listen(after).await;
        let mut known = self.known.lock();
        known.slowest = known.slowest.max(begun.elapsed());
        listener
    }

    async fn hear(self, head: Position, mut listener: Box<dyn Listener>) {
        let can = self.bus.capabilities();
        let mut last = head;
        loop {
            match listener.next().await {
                Ok(heard) => last = self.known.lock().note(heard, last, can),
                Err(error) => match self.again(last, error).await {
                    Some(anew) => listener = anew,
                    None => return,
                },
            }
        }
    }

    /// Listens anew after all that was heard, as often as it is refused only because the bus cannot be reached. `None`: for
    /// another reason.
    async fn again(&self, last: Position, mut error: Error) -> Option<Box<dyn Listener>> {
        while error.kind() == Kind::Unavailable {
            sleep(PAUSE).await;
            match self.listen(Some(last)).await {
                Ok(listener) => return Some(listener),
                Err(refused) => error = refused,
            }
        }
        if error.kind() != Kind::Closed {
            self.known.lock().wrong = Some(error.to_string());
        }
        None
    }
}
