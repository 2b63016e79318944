//! The load on buses sees what a bus does wrong: else it would prove nothing of one that withstands it.

#![cfg(feature = "servers")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use forebay_contract::ground::Ground;
use forebay_contract::outage::bus::Buses;
use forebay_contract::outage::{Bounds, Outage};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::payload::Payload;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::bus::{Bus, BusCapabilities, Heard, Listener, Position};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::sleep;

/// What it does wrong there is done once, when all goes on.
const AT: Position = Position(50);
/// No call takes longer, however busy the machine is.
const CALL_MAX: Duration = Duration::from_secs(60);
/// What never comes is waited for so long.
const DEAF_MAX: Duration = Duration::from_secs(3);
const BOUNDS: Bounds =
    Bounds { wait: Duration::ZERO, slack: CALL_MAX, consumers: 1, well: 20, pace: Duration::from_millis(1) };

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Nothing,
    LosesOne,
    GoesDeaf,
    TellsAGap,
    RepeatsOne,
    TellsAnother,
    GivesAPositionTwice,
    RefusesForGood,
    IsSlow,
}

/// A bus in one process, with one fault.
#[derive(Clone)]
struct Model {
    wrong: Wrong,
    notices: Arc<Mutex<Vec<Payload>>>,
    rung: watch::Sender<()>,
}

impl Model {
    fn does(&self, wrong: Wrong, at: Position) -> bool {
        self.wrong == wrong && at == AT
    }
}

impl Bus for Model {
    fn capabilities(&self) -> BusCapabilities {
        BusCapabilities { ordered: true, once: true, replay: true }
    }

    fn publish(&self, notice: Payload) -> BoxFuture<'_, Result<Position>> {
        Box::pin(async move {
            let mut position = {
                let mut notices = self.notices.lock();
                notices.push(notice);
                Position(notices.len() as u64)
            };
            self.rung.send_replace(());
            if self.does(Wrong::IsSlow, position) {
                sleep(BOUNDS.pace * 50).await;
            }
            if self.does(Wrong::RefusesForGood, position) {
                return Err(Error::new(Kind::Invalid, "publish notice", "a model"));
            }
            if self.wrong == Wrong::GivesAPositionTwice && position > AT {
                position = AT;
            }
            Ok(position)
        })
    }

    fn head(&self) -> BoxFuture<'_, Result<Position>> {
        Box::pin(async { Ok(Position(self.notices.lock().len() as u64)) })
    }

    fn listen(&self, after: Option<Position>) -> BoxFuture<'_, Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let last = after.unwrap_or(Position(self.notices.lock().len() as u64));
            let rung = self.rung.subscribe();
            Ok(Box::new(Listening { bus: self.clone(), rung, last, has_repeated: false })
                as Box<dyn Listener>)
        })
    }
}

struct Listening {
    bus: Model,
    rung: watch::Receiver<()>,
    last: Position,
    has_repeated: bool,
}

impl Listener for Listening {
    fn next(&mut self) -> BoxFuture<'_, Result<Heard>> {
        Box::pin(async move {
            loop {
                self.rung.mark_unchanged();
                let position = Position(self.last.0 + 1);
                let is_deaf = self.bus.wrong == Wrong::GoesDeaf && position > AT;
                let notice = self.bus.notices.lock().get(self.last.0 as usize).cloned();
                let Some(notice) = notice.filter(|_| !is_deaf) else {
                    self.rung.changed().await.unwrap();
                    continue;
                };
                self.last = position;
                if self.bus.does(Wrong::LosesOne, position) {
                    continue;
                }
                if self.bus.does(Wrong::TellsAGap, position) {
                    return Ok(Heard::Gap { from: Position(position.0 - 1), to: position });
                }
                if self.bus.does(Wrong::TellsAnother, position) {
                    return Ok(Heard::Notice { position, notice: "another".into() });
                }
                if self.bus.does(Wrong::RepeatsOne, position) && !self.has_repeated {
                    self.has_repeated = true;
                    self.last = Position(position.0 - 1);
                }
                return Ok(Heard::Notice { position, notice });
            }
        })
    }
}

/// What the load says of it, if anything.
fn verdict(wrong: Wrong, keep_all: bool, bounds: Bounds) -> Option<String> {
    let ground = Ground::new(CALL_MAX);
    let bus =
        Arc::new(Model { wrong, notices: Arc::default(), rung: watch::Sender::new(()) }) as Arc<dyn Bus>;
    let deaf_max = if wrong == Wrong::Nothing { CALL_MAX } else { DEAF_MAX };
    let buses = Buses { all: vec![bus.clone(), bus], keep_all, deaf_max };
    let seen = catch_unwind(AssertUnwindSafe(|| {
        let mut load = Outage::begin_on_buses(ground.handle(), &buses, bounds);
        load.goes_on("with nothing done to it");
        load.end("A model", "nothing");
    }));
    let said = |panic: Box<dyn Any + Send>| match panic.downcast::<String>() {
        Ok(said) => *said,
        Err(panic) => panic.downcast_ref::<&str>().expect("it says why").to_string(),
    };
    seen.err().map(said)
}

#[track_caller]
fn is_seen(wrong: Wrong, says: &str) {
    let said = verdict(wrong, true, BOUNDS).expect("it was not seen");
    assert!(said.contains(says), "{said}");
}

#[test]
fn a_bus_that_does_nothing_wrong_withstands_it() {
    assert_eq!(verdict(Wrong::Nothing, true, BOUNDS), None);
}

#[test]
fn a_notice_that_is_lost_in_silence_is_seen() {
    is_seen(Wrong::LosesOne, "confirmed messages do not come");
}

#[test]
fn a_listener_that_goes_deaf_is_seen() {
    is_seen(Wrong::GoesDeaf, "somebody is deaf");
}

#[test]
fn a_gap_is_seen_where_all_was_to_be_kept_and_taken_where_not() {
    is_seen(Wrong::TellsAGap, "kept all");
    assert_eq!(verdict(Wrong::TellsAGap, false, BOUNDS), None);
}

#[test]
fn a_notice_that_is_heard_twice_is_seen() {
    is_seen(Wrong::RepeatsOne, "is heard after");
}

#[test]
fn a_notice_that_is_heard_as_another_is_seen() {
    is_seen(Wrong::TellsAnother, "at Position(50)");
}

#[test]
fn a_position_that_is_given_twice_is_seen() {
    is_seen(Wrong::GivesAPositionTwice, "has failed");
}

#[test]
fn a_refusal_for_another_reason_than_the_servers_absence_is_seen() {
    is_seen(Wrong::RefusesForGood, "has failed");
}

#[test]
fn a_call_that_takes_longer_than_was_stated_is_seen() {
    let stated = Bounds { slack: BOUNDS.pace, ..BOUNDS };
    let said = verdict(Wrong::IsSlow, true, stated).expect("it was not seen");
    assert!(said.contains("a call took"), "{said}");
}
