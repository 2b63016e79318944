//! What the cases say in one line each.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a suite fails by panicking")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_core::error::{Kind, Result};
use forebay_core::ports::BoxFuture;
use forebay_core::ports::bus::{Heard, Listener, Position};
use parking_lot::Mutex;

use super::Rig;

/// A bus that refuses a small notice so often in a row does not work.
const TRIES: usize = 100;
/// Nor does one that refuses it for so long, each time after it has waited for its server.
const TRIES_MAX: Duration = Duration::from_secs(60);
/// Nobody hears so much in one case.
const HEARD_MAX: usize = 1_000_000;

/// What was heard so far by one who listens.
pub(crate) struct Ear {
    listener: Box<dyn Listener>,
    began: Position,
    pub(crate) heard: Vec<(Position, String)>,
    pub(crate) gaps: Vec<(Position, Position)>,
}

impl Ear {
    pub(crate) fn new(rig: &dyn Rig) -> Self {
        let began = head(rig);
        Self::of(listen(rig, None).unwrap(), began)
    }

    pub(crate) fn after(rig: &dyn Rig, after: Position) -> Self {
        Self::of(listen(rig, Some(after)).unwrap(), after)
    }

    fn of(listener: Box<dyn Listener>, began: Position) -> Self {
        Self { listener, began, heard: Vec::new(), gaps: Vec::new() }
    }

    /// Hears all that there is now. Returns the error that ended it, if one did.
    pub(crate) fn listen(&mut self, rig: &dyn Rig) -> Option<Kind> {
        for _ in 0..HEARD_MAX {
            let put = Arc::new(Mutex::new(None));
            let get = put.clone();
            let listener = &mut self.listener;
            let mut next: BoxFuture<'_, ()> =
                Box::pin(async move { *put.lock() = Some(listener.next().await) });
            if !rig.poll(&mut next) {
                return None;
            }
            drop(next);
            match get.lock().take().unwrap() {
                Ok(Heard::Notice { position, notice }) => {
                    self.heard.push((position, String::from_utf8(notice.to_vec()).unwrap()));
                }
                Ok(Heard::Gap { from, to }) => self.gaps.push((from, to)),
                Err(error) => return Some(error.kind()),
            }
        }
        panic!("there is no end to what is heard");
    }

    /// Whether it has heard the notice at this position, or of a gap there.
    pub(crate) fn knows_of(&self, position: Position) -> bool {
        self.has_heard(position) || self.gaps.iter().any(|(from, to)| *from < position && position <= *to)
    }

    pub(crate) fn has_heard(&self, position: Position) -> bool {
        self.heard.iter().any(|(heard, _)| *heard == position)
    }

    /// The names of all notices heard.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.heard.iter().map(|(_, name)| name.as_str()).collect()
    }

    /// Up to where it knows of every one of these positions that come after its beginning.
    pub(crate) fn assert_knows(&self, positions: &[Position]) {
        for position in positions.iter().filter(|position| **position > self.began) {
            assert!(self.knows_of(*position), "{position:?} was lost in silence; gaps {:?}", self.gaps);
        }
    }
}

/// Runs a future to its end.
pub(crate) fn run<'a, T: Send + 'a>(rig: &dyn Rig, future: impl Future<Output = T> + Send + 'a) -> T {
    let output = Arc::new(Mutex::new(None));
    let put = output.clone();
    rig.run(Box::pin(async move { *put.lock() = Some(future.await) }));
    output.lock().take().unwrap()
}

pub(crate) fn try_publish(rig: &dyn Rig, notice: &str) -> Result<Position> {
    run(rig, rig.bus().publish(notice.into()))
}

/// Publishes until the bus has said that it was; also a bus that fails now and then takes it.
pub(crate) fn publish(rig: &dyn Rig, notice: &str) -> Position {
    let begun = Instant::now();
    for _ in 0..TRIES {
        match try_publish(rig, notice) {
            Ok(position) => return position,
            Err(error) => assert!(begun.elapsed() < TRIES_MAX, "it is not taken: {error}"),
        }
    }
    panic!("it is not taken, however often it is tried");
}

/// Publishes notices that are named by their number.
pub(crate) fn publish_many(rig: &dyn Rig, count: usize) -> Vec<Position> {
    (0..count).map(|number| publish(rig, &number.to_string())).collect()
}

pub(crate) fn head(rig: &dyn Rig) -> Position {
    run(rig, rig.bus().head()).unwrap()
}

pub(crate) fn listen(rig: &dyn Rig, after: Option<Position>) -> Result<Box<dyn Listener>> {
    run(rig, rig.bus().listen(after))
}
