//! Two processes on one server, as two brokers with connections of their own.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use forebay_contract::broker::Rig;
use forebay_contract::servers::rabbitmq::RabbitMq;
use forebay_core::delivery::{Delivery, Outcome, Settled};
use forebay_core::error::{Kind, Result};
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::broker::{Broker, Receive};
use forebay_core::queue::{Order, QueueName, QueueSettings};
use futures_util::future::{join_all, try_join_all};
use lapin::options::BasicGetOptions;
use lapin::{Connection, ConnectionProperties};
use tokio::time::{sleep, timeout};

use super::{Real, SERVER, classic, quorum};

impl Real {
    /// Another process that uses the same queues.
    fn twin(&self) -> Self {
        let mut twin = quorum();
        twin.settings = self.settings.clone();
        twin.close();
        twin.reopen();
        twin
    }

    fn on<T>(&self, asked: impl Future<Output = T>) -> T {
        self.ground.run(asked)
    }

    fn declare(&self, settings: &QueueSettings) -> Result<()> {
        self.on(self.broker().ensure(settings))
    }

    fn publish(&self, queue: &QueueName, ids: &[&str]) {
        let message = |id: &&str| Message {
            key: Some(id.chars().take(1).collect()),
            ..Message::new(MessageId::given(id).unwrap(), "payload".into())
        };
        self.on(self.broker().publish(queue, ids.iter().map(message).collect())).unwrap();
    }

    fn receive(&self, queue: &QueueName, wait: Duration) -> Option<Delivery> {
        let asked = Receive { count_max: 1, hold: None, wait_until: self.now() + wait };
        self.on(self.broker().receive(queue, asked)).unwrap().pop()
    }

    fn finish(&self, delivery: &Delivery) -> Settled {
        let broker: Arc<dyn Broker> = self.broker();
        self.on(broker.settle(&delivery.queue, delivery.id, Outcome::Done, None)).unwrap()
    }
}

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(200);

/// A declaration waits so often until it has the lock on the settings: for a channel, and for the lock.
const STEPS_TO_LOCK: usize = 2;

fn id(delivery: Option<&Delivery>) -> &str {
    delivery.map_or("nothing", |delivery| delivery.message.id.as_str())
}

#[test]
fn a_queue_that_one_declares_is_there_for_the_other_with_its_settings() {
    let one = quorum();
    let other = one.twin();
    let queue = QueueName::new("shared").unwrap();
    let mut settings = QueueSettings::new(queue.clone());
    settings.retry.attempt_max = 3;
    one.declare(&settings).unwrap();
    other.publish(&queue, &["a"]);
    let delivery = other.receive(&queue, LONG).unwrap();
    assert_eq!(delivery.retry, settings.retry);
    let refused = other.declare(&QueueSettings::new(queue)).unwrap_err();
    assert_eq!(refused.kind(), Kind::Conflict);
    assert!(refused.to_string().contains("attempt_max is 3, not 5"), "{refused}");
}

#[test]
fn what_many_settle_together_is_exactly_what_never_comes_again() {
    for one in [quorum(), classic()] {
        let queue = QueueName::new("together").unwrap();
        one.declare(&QueueSettings::new(queue.clone())).unwrap();
        let ids: Vec<_> = (0..40).map(|number| format!("m{number:02}")).collect();
        one.publish(&queue, &ids.iter().map(String::as_str).collect::<Vec<_>>());
        let held: Vec<_> = ids.iter().map(|_| one.receive(&queue, LONG).unwrap()).collect();
        let (kept, mut settled): (Vec<_>, Vec<_>) =
            held.into_iter().partition(|delivery| delivery.message.id.as_str().ends_with('7'));
        settled.rotate_left(5);
        let broker = one.broker();
        for some in settled.chunks(15) {
            let settle = |one: &Delivery| broker.settle(&queue, one.id, Outcome::Done, None);
            let outcomes = one.on(try_join_all(some.iter().map(settle))).unwrap();
            assert!(outcomes.iter().all(|outcome| *outcome == Settled::Done));
        }
        let other = one.twin();
        one.close();
        let mut again: Vec<_> =
            kept.iter().map(|_| id(other.receive(&queue, LONG).as_ref()).to_owned()).collect();
        again.sort_unstable();
        assert_eq!(again, ["m07", "m17", "m27", "m37"]);
        assert_eq!(id(other.receive(&queue, SHORT).as_ref()), "nothing");
    }
}

#[test]
fn what_lies_unused_in_one_process_comes_to_the_other() {
    let one = quorum();
    let other = one.twin();
    let queue = QueueName::new("shared").unwrap();
    one.declare(&QueueSettings::new(queue.clone())).unwrap();
    one.publish(&queue, &["a", "b", "c"]);
    let held = one.receive(&queue, LONG).unwrap();
    // The first process has asked for one and was sent all of them.
    for expected in ["b", "c"] {
        let delivery = other.receive(&queue, LONG);
        assert_eq!(id(delivery.as_ref()), expected);
    }
    assert_eq!(one.finish(&held), Settled::Done, "what is held stays where it is");
    assert!(one.receive(&queue, SHORT).is_none());
}

#[test]
fn an_ordered_queue_is_handed_out_by_one_process_until_that_is_gone() {
    let mut one = quorum();
    let other = one.twin();
    let queue = QueueName::new("ordered").unwrap();
    let settings = QueueSettings { order: Order::Key, ..QueueSettings::new(queue.clone()) };
    one.declare(&settings).unwrap();
    one.publish(&queue, &["a1", "a2", "b1"]);
    let first = one.receive(&queue, LONG);
    assert_eq!(id(first.as_ref()), "a1");
    assert!(
        other.receive(&queue, Duration::from_secs(2)).is_none(),
        "b1 is another key, but it is not its turn"
    );
    one.crash();
    for expected in ["a1", "b1"] {
        let delivery = other.receive(&queue, LONG);
        assert_eq!(id(delivery.as_ref()), expected, "and a2 waits for a1");
    }
    assert!(other.receive(&queue, SHORT).is_none());
}

#[test]
fn an_ordered_queue_goes_to_another_process_when_nobody_here_asks_any_more() {
    let one = quorum();
    let other = one.twin();
    let queue = QueueName::new("ordered").unwrap();
    let settings = QueueSettings { order: Order::Key, ..QueueSettings::new(queue.clone()) };
    one.declare(&settings).unwrap();
    one.publish(&queue, &["a1", "a2"]);
    let first = one.receive(&queue, LONG).unwrap();
    one.finish(&first);
    let second = other.receive(&queue, LONG);
    assert_eq!(id(second.as_ref()), "a2");
}

#[test]
fn a_queue_that_one_deletes_is_gone_for_the_other() {
    let one = quorum();
    let other = one.twin();
    let queue = QueueName::new("shared").unwrap();
    one.declare(&QueueSettings::new(queue.clone())).unwrap();
    other.publish(&queue, &["a"]);
    let admin = one.admin().unwrap();
    let (broker, wait_until) = (other.broker(), other.now() + LONG);
    let held = other.receive(&queue, LONG).unwrap();
    let waits = async {
        let waiting = broker.receive(&queue, Receive { count_max: 1, hold: None, wait_until });
        let (waited, deleted) = tokio::join!(waiting, admin.delete(&queue));
        deleted.unwrap();
        waited.unwrap_err().kind()
    };
    assert_eq!(other.on(waits), Kind::NotFound);
    assert_eq!(other.finish(&held), Settled::NotHeld);
    let late = Message::new(MessageId::given("late").unwrap(), "payload".into());
    assert_eq!(other.on(broker.publish(&queue, vec![late])).unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn publishing_to_a_queue_that_another_has_deleted_is_not_found() {
    let one = quorum();
    let other = one.twin();
    let queue = QueueName::new("shared").unwrap();
    one.declare(&QueueSettings::new(queue.clone())).unwrap();
    other.publish(&queue, &["a"]);
    one.on(one.admin().unwrap().delete(&queue)).unwrap();
    let late = Message::new(MessageId::given("late").unwrap(), "payload".into());
    let refused = other.on(other.broker().publish(&queue, vec![late])).unwrap_err();
    assert_eq!(refused.kind(), Kind::NotFound, "and was not confirmed into nothing");
}

#[test]
fn settings_that_are_away_for_a_moment_are_neither_gone_nor_declared_again() {
    let one = quorum();
    let other = one.twin();
    let queue = QueueName::new("kept").unwrap();
    let mut settings = QueueSettings::new(queue.clone());
    settings.retry.attempt_max = 3;
    one.declare(&settings).unwrap();
    other.declare(&QueueSettings::new(QueueName::new("another").unwrap())).unwrap();
    // Whoever reads them dies of it.
    let record = format!("{}kept.forebay.settings", one.settings.prefix);
    let dying = one.on(async {
        let server = SERVER.get_or_init(RabbitMq::start);
        let connection = Connection::connect(&server.url(), ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let got = channel.basic_get(record.as_str().into(), BasicGetOptions::default()).await.unwrap();
        assert!(got.is_some());
        (connection, channel)
    });
    let dies = one.ground.handle().spawn(async move {
        sleep(Duration::from_millis(300)).await;
        dying.0.close(200, "".into()).await.unwrap();
    });
    let refused = other.declare(&QueueSettings::new(queue.clone())).unwrap_err();
    assert_eq!(refused.kind(), Kind::Conflict, "{refused}");
    one.on(dies).unwrap();
    other.publish(&queue, &["a"]);
}

#[test]
fn a_purge_that_was_given_up_half_way_leaves_nobody_deaf() {
    const AHEAD: u16 = 4;
    let mut one = quorum();
    one.settings.prefetch = AHEAD;
    one.crash();
    let queue = QueueName::new("purged").unwrap();
    one.declare(&QueueSettings::new(queue.clone())).unwrap();
    for polls_max in 1.. {
        one.publish(&queue, &["a", "b", "c", "d"]);
        let held = one.receive(&queue, LONG).unwrap();
        let admin = one.admin().unwrap();
        let (mut purge, mut polls) = (admin.purge(&queue), 0);
        let purged = one.on(poll_fn(|context| {
            polls += 1;
            if polls > polls_max { Poll::Ready(None) } else { purge.as_mut().poll(context).map(Some) }
        }));
        drop(purge);
        one.finish(&held);
        // What was asked of the server half-way may still end the first of them.
        let is_heard = || {
            one.publish(&queue, &["last"]);
            let mut came = std::iter::from_fn(|| one.receive(&queue, Duration::from_secs(2)));
            came.any(|delivery| {
                one.finish(&delivery);
                id(Some(&delivery)) == "last"
            })
        };
        assert!(is_heard() || is_heard(), "it is deaf after {polls_max} steps");
        if let Some(purged) = purged {
            purged.unwrap();
            break;
        }
    }
    // Nobody asks for long enough that all that lay here unheld is the server's again.
    one.pass(Duration::from_secs(3));
    let stats = one.on(one.admin().unwrap().queue(&queue)).unwrap().stats;
    assert_eq!((stats.ready, stats.held), (0, 0), "something lay here that nobody saw to");
}

#[test]
fn a_declaration_that_was_given_up_half_way_keeps_nobody_from_the_queue() {
    let one = quorum();
    let other = one.twin();
    for polls_max in 1.. {
        let settings = QueueSettings::new(QueueName::new(&format!("half{polls_max}")).unwrap());
        let broker = one.broker();
        let (mut declaration, mut polls) = (broker.ensure(&settings), 0);
        let declared = one.on(poll_fn(|context| {
            polls += 1;
            if polls > polls_max { Poll::Ready(None) } else { declaration.as_mut().poll(context).map(Some) }
        }));
        drop(declaration);
        other.declare(&settings).unwrap();
        if let Some(declared) = declared {
            declared.unwrap();
            assert!(polls_max > STEPS_TO_LOCK, "it was never given up once it had asked for the lock");
            break;
        }
    }
}

#[test]
fn what_is_published_beside_a_queue_that_is_gone_is_told_apart_from_it() {
    let one = quorum();
    let other = one.twin();
    let name = |name: &str| QueueName::new(name).unwrap();
    let there = name("there");
    one.declare(&QueueSettings::new(there.clone())).unwrap();
    let broker = one.broker();
    let publish = async |queue: &QueueName, id: String| {
        let message = Message::new(MessageId::given(&id).unwrap(), "payload".into());
        broker.publish(queue, vec![message]).await.map(|_| ()).map_err(|error| error.kind())
    };
    for round in 0..10 {
        let gone = name(&format!("gone{round}"));
        one.declare(&QueueSettings::new(gone.clone())).unwrap();
        one.on(publish(&gone, "first".to_owned())).unwrap();
        other.on(other.admin().unwrap().delete(&gone)).unwrap();
        let both = (0..300).map(async |number| {
            let id = format!("m{round}-{number}");
            tokio::join!(publish(&there, id.clone()), publish(&gone, id))
        });
        for (to_there, to_gone) in one.on(join_all(both)) {
            assert_eq!(to_gone, Err(Kind::NotFound), "it was confirmed into nothing");
            assert_eq!(to_there, Ok(()), "another queue is gone");
        }
    }
}

#[test]
fn a_settlement_that_was_given_up_holds_up_no_other_message_of_its_key() {
    let one = quorum();
    let other = one.twin();
    let queue = QueueName::new("ordered").unwrap();
    let settings = QueueSettings { order: Order::Key, ..QueueSettings::new(queue.clone()) };
    // This process has published nothing when it settles: it asks for a channel first, and is given up while it does.
    other.declare(&settings).unwrap();
    other.publish(&queue, &["a1", "a2"]);
    let first = one.receive(&queue, LONG).unwrap();
    let broker = one.broker();
    let given_up = one.on(async {
        let again = Outcome::RetryAt(one.now());
        timeout(Duration::ZERO, broker.settle(&queue, first.id, again, None)).await
    });
    assert!(given_up.is_err(), "it was given up");
    assert_eq!(one.finish(&first), Settled::Done, "it is held as before");
    let next = one.receive(&queue, LONG);
    assert_eq!(id(next.as_ref()), "a2");
}
