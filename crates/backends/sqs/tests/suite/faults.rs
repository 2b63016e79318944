//! What goes wrong with SQS under load: nothing that was confirmed is lost, and nobody goes deaf. A restart is not among it:
//! moto keeps nothing over one, and SQS has none.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use forebay_contract::outage::away::Publisher;
use forebay_contract::outage::faults::Fault;
use forebay_contract::outage::{Bounds, Outage};
use forebay_contract::servers::moto::Moto;
use forebay_contract::servers::wire::{Does, Wire};
use forebay_core::delivery::{Outcome, Settled};
use forebay_core::error::Kind;
use forebay_core::message::{Message, MessageId};
use forebay_core::payload::Payload;
use forebay_core::ports::broker::{Broker, Receive};
use forebay_core::ports::clock::Clock;
use forebay_core::queue::{QueueName, QueueSettings};
use forebay_sqs::broker::SqsBroker;

use crate::ground::Ground;
use crate::moto::url;

/// A server in Python takes long to answer on a busy machine; what it does behind a time-out is there again only later.
const TIMEOUT: Duration = Duration::from_secs(2);
const WAIT: Duration = Duration::from_secs(2);
/// What a call may be late by on a busy machine.
const LATE: Duration = Duration::from_secs(3);

fn name(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

fn message(id: &str) -> Message {
    Message::new(MessageId::given(id).unwrap(), Payload::from(id))
}

fn options() -> String {
    format!("poll_s=1&visibility_s=4&timeout_ms={}&wait_ms={}", TIMEOUT.as_millis(), WAIT.as_millis())
}

/// What is stated of calls under load.
const BOUNDS: Bounds = Bounds {
    wait: WAIT,
    // Its own time-out comes after the wait, and once more where a batch is divided.
    slack: Duration::from_millis(2 * TIMEOUT.as_millis() as u64 + LATE.as_millis() as u64),
    consumers: 2,
    well: 20,
    pace: Duration::from_millis(100),
};

/// One load at a time: moto takes a processor.
static LOADED: Mutex<()> = Mutex::new(());

/// Loads a server over a wire, does something to either, and looks whether all is well afterwards.
fn survives(fault: &Fault<Moto>) {
    // A load that failed leaves nothing behind.
    let _alone = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let (moto, ground) = (Moto::start(), Ground::new());
    let wire = Wire::to(moto.address);
    let (broker, _works) = ground.broker(&url(wire.address, &options()));
    let held = |settings| QueueSettings { hold: Duration::from_secs(2), ..settings };
    let queues = Outage::queues().into_iter().map(held).collect();
    let mut load =
        Outage::begin(ground.handle(), Arc::new(broker.clone()), ground.clock.clone(), BOUNDS, queues);
    load.suffers(fault, "SQS (moto)", &moto, &wire);
    broker.close();
}

forebay_contract::outage! { survives:
    a_server_that_stands_still_loses_nothing_and_leaves_nobody_deaf
    a_server_that_stands_still_for_a_moment_is_waited_for
    a_wire_that_is_cut_again_and_again_loses_nothing_and_leaves_nobody_deaf
    answers_that_are_lost_cost_no_message_and_leave_nobody_deaf
    a_wire_that_carries_nothing_loses_nothing_and_leaves_nobody_deaf
}

#[test]
fn a_publish_during_an_outage_waits_for_its_end_up_to_the_stated_time() {
    let ground = Ground::new();
    let wire = Wire::to(Moto::shared().address);
    let url = url(wire.address, "");
    let (patient, _works) = ground.broker(&format!("{url}wait_ms=20000&timeout_ms=1000"));
    let (impatient, _works) = ground.broker(&format!("{url}wait_ms=500&timeout_ms=300"));
    let publisher = |broker: &SqsBroker, queue| {
        Publisher::begin(ground.handle(), Arc::new(broker.clone()), ground.clock.clone(), queue)
    };
    let (waits, is_refused) = (publisher(&patient, "waits"), publisher(&impatient, "refused"));
    wire.cut(Does::Refuse);
    waits.waits_until(|| wire.set(Does::Pass));
    let queue = name("refused");
    for does in [Does::Refuse, Does::Swallow] {
        wire.cut(does);
        is_refused.is_refused_within(Duration::from_millis(800) + LATE);
        let began = Instant::now();
        let asked = Receive { count_max: 1, hold: None, wait_until: ground.clock.now() };
        let failed = ground.run(impatient.receive(&queue, asked)).unwrap_err();
        assert_eq!(failed.kind(), Kind::Unavailable);
        assert!(began.elapsed() < Duration::from_millis(1_300) + LATE);
        assert!(!format!("{failed} {failed:?}").contains("secret"));
        wire.cut(Does::Pass);
    }
}

#[test]
fn a_hold_that_could_not_be_prolonged_is_over_here_before_others_have_the_message() {
    let ground = Ground::new();
    let wire = Wire::to(Moto::shared().address);
    let direct = url(Moto::shared().address, "poll_s=0&visibility_s=3");
    let cut = direct.replace(&Moto::shared().address.to_string(), &wire.address.to_string());
    let (broker, _works) = ground.broker(&format!("{cut}&timeout_ms=1500&wait_ms=1500"));
    let (other, _other_works) = ground.broker(&direct);
    let settings = QueueSettings::new(name("q"));
    ground.run(broker.ensure(&settings)).unwrap();
    ground.run(broker.publish(&settings.name, vec![message("m")])).unwrap();
    let asked = |wait| Receive { count_max: 1, hold: None, wait_until: ground.clock.now() + wait };
    let delivery =
        ground.run(broker.receive(&settings.name, asked(Duration::from_secs(5)))).unwrap().remove(0);
    thread::sleep(Duration::from_secs(4));
    let held = |broker: &SqsBroker| ground.run(broker.held(&settings.name, delivery.id)).unwrap();
    assert!(held(&broker).is_some(), "it is prolonged as long as that goes");
    wire.cut(Does::Refuse);
    let again = ground.run(other.receive(&settings.name, asked(Duration::from_secs(15)))).unwrap().remove(0);
    assert_eq!(again.message, delivery.message);
    assert!(held(&broker).is_none());
    let settled = ground.run(broker.settle(&settings.name, delivery.id, Outcome::Done, None)).unwrap();
    assert_eq!(settled, Settled::NotHeld);
    let settled = ground.run(other.settle(&settings.name, again.id, Outcome::Done, None)).unwrap();
    assert_eq!(settled, Settled::Done);
}
