//! What SQS is asked for, and what it is not.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use forebay_contract::servers::moto::Moto;
use forebay_contract::servers::within;
use forebay_core::delivery::{Delivery, Outcome, Reason, Settled};
use forebay_core::error::Kind;
use forebay_core::message::{Message, MessageId};
use forebay_core::payload::Payload;
use forebay_core::ports::broker::{Broker, BrokerAdmin, Receive};
use forebay_core::ports::clock::Clock;
use forebay_core::queue::{Order, PARKED, QueueName, QueueSettings};
use forebay_sqs::broker::SqsBroker;
use parking_lot::Mutex;

use crate::gate;
use crate::ground::Ground;
use crate::moto::url;

fn queue(name: &str) -> QueueSettings {
    QueueSettings::new(QueueName::new(name).unwrap())
}

fn message(id: &str) -> Message {
    Message::new(MessageId::given(id).unwrap(), Payload::from(id))
}

fn receive(ground: &Ground, broker: &SqsBroker, queue: &QueueName, count_max: usize) -> Vec<Delivery> {
    let wait_until = ground.clock.now() + Duration::from_secs(10);
    ground.run(broker.receive(queue, Receive { count_max, hold: None, wait_until })).unwrap()
}

#[test]
fn another_process_finds_queues_with_their_settings_and_shares_their_messages() {
    let ground = Ground::new();
    let url = url(Moto::shared().address, "poll_s=0&pollers=1");
    let (one, _one) = ground.broker(&url);
    let (two, _two) = ground.broker(&url);
    let mut orders = queue("orders of Zoë");
    orders.retry.attempt_max = 17;
    ground.run(one.ensure(&orders)).unwrap();
    let told = ground.run(two.queues()).unwrap();
    assert_eq!(told.iter().map(|info| info.settings.clone()).collect::<Vec<_>>(), [orders.clone()]);
    let differs = QueueSettings { retry: queue("q").retry, ..orders.clone() };
    let refused = ground.run(two.ensure(&differs)).unwrap_err();
    assert!(refused.kind() == Kind::Conflict && refused.to_string().contains("attempt_max"), "{refused}");
    ground.run(one.publish(&orders.name, vec![message("a"), message("b")])).unwrap();
    let first = receive(&ground, &one, &orders.name, 1);
    let second = receive(&ground, &two, &orders.name, 1);
    let ids: HashSet<_> = [&first[0], &second[0]].map(|delivery| delivery.message.id.clone()).into();
    assert_eq!(ids.len(), 2, "each has one of them");
    let later = Outcome::RetryAt(ground.clock.now() + Duration::from_millis(1_200));
    ground.run(one.settle(&orders.name, first[0].id, later, None)).unwrap();
    let again = receive(&ground, &two, &orders.name, 1);
    assert_eq!((again[0].message.id.as_str(), again[0].attempt), ("a", 2), "attempts are told to all");
}

#[test]
fn one_key_is_in_one_process_at_a_time_and_in_order() {
    const KEYS: usize = 3;
    const EACH: usize = 6;
    let ground = Ground::new();
    let url = url(Moto::shared().address, "poll_s=0&pollers=1");
    let brokers: Vec<_> = (0..2).map(|_| ground.broker(&url)).collect();
    let ordered = QueueSettings { order: Order::Key, ..queue("q") };
    ground.run(brokers[0].0.ensure(&ordered)).unwrap();
    let messages = (0..KEYS * EACH).map(|number| {
        let key = Some(format!("customer {}", number % KEYS));
        Message { key, ..message(&format!("{number:03}")) }
    });
    ground.run(brokers[0].0.publish(&ordered.name, messages.collect())).unwrap();
    let seen: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let busy: Arc<Mutex<HashSet<String>>> = Arc::default();
    for (broker, _) in &brokers {
        let (broker, name, clock) = (broker.clone(), ordered.name.clone(), ground.clock.clone());
        let (seen, busy) = (seen.clone(), busy.clone());
        ground.handle().spawn(async move {
            while seen.lock().len() < KEYS * EACH {
                let wait_until = clock.now() + Duration::from_millis(500);
                let asked = Receive { count_max: 4, hold: None, wait_until };
                for delivery in broker.receive(&name, asked).await.unwrap() {
                    let key = delivery.message.key.clone().unwrap();
                    assert!(busy.lock().insert(key.clone()), "{key} is in two hands");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    seen.lock().push((key.clone(), delivery.message.id.as_str().to_owned()));
                    busy.lock().remove(&key);
                    broker.settle(&name, delivery.id, Outcome::Done, None).await.unwrap();
                }
            }
        });
    }
    within(Duration::from_secs(60), "all have come", || seen.lock().len() >= KEYS * EACH);
    for key in 0..KEYS {
        let key = format!("customer {key}");
        let of_key: Vec<_> =
            seen.lock().iter().filter(|(of, _)| *of == key).map(|(_, id)| id.clone()).collect();
        assert!(of_key.is_sorted() && of_key.len() == EACH, "{key}: {of_key:?}");
    }
}

#[test]
fn a_request_that_waits_brings_what_comes_meanwhile_and_what_waited_for_its_time() {
    let ground = Ground::new();
    let (broker, _works) = ground.broker(&url(Moto::shared().address, "poll_s=5"));
    let settings = queue("q");
    ground.run(broker.ensure(&settings)).unwrap();
    let waits = ground.handle().spawn({
        let (broker, name, wait_until) =
            (broker.clone(), settings.name.clone(), ground.clock.now() + Duration::from_secs(20));
        async move { broker.receive(&name, Receive { count_max: 1, hold: None, wait_until }).await }
    });
    std::thread::sleep(Duration::from_millis(300));
    ground.run(broker.publish(&settings.name, vec![message("now")])).unwrap();
    let delivery = ground.run(waits).unwrap().unwrap().remove(0);
    assert_eq!(delivery.message.id.as_str(), "now");
    let begun = ground.clock.now();
    let not_before = Some(begun + Duration::from_millis(1_500));
    ground.run(broker.publish(&settings.name, vec![Message { not_before, ..message("later") }])).unwrap();
    let delivery = receive(&ground, &broker, &settings.name, 1).remove(0);
    assert_eq!(delivery.message.id.as_str(), "later");
    assert!(ground.clock.now() >= begun + Duration::from_millis(1_500));
}

#[test]
fn many_at_once_are_taken_by_several_requests_and_none_is_missing() {
    let ground = Ground::new();
    let (broker, _works) = ground.broker(&url(Moto::shared().address, "poll_s=1&pollers=4"));
    let settings = queue("q");
    ground.run(broker.ensure(&settings)).unwrap();
    let ids: HashSet<String> = (0..100).map(|number| number.to_string()).collect();
    ground.run(broker.publish(&settings.name, ids.iter().map(|id| message(id)).collect())).unwrap();
    let mut seen = HashSet::new();
    while seen.len() < ids.len() {
        let deliveries = receive(&ground, &broker, &settings.name, 50);
        assert!(!deliveries.is_empty(), "{} are missing", ids.len() - seen.len());
        seen.extend(deliveries.iter().map(|delivery| delivery.message.id.as_str().to_owned()));
        ground.run(async {
            let done = deliveries
                .iter()
                .map(|delivery| broker.settle(&settings.name, delivery.id, Outcome::Done, None));
            // As consumers do that finish together.
            futures_util::future::join_all(done)
                .await
                .into_iter()
                .for_each(|settled| assert_eq!(settled.unwrap(), Settled::Done));
        });
    }
    assert_eq!(seen, ids);
    let info = ground.run(broker.queue(&settings.name)).unwrap();
    assert_eq!((info.stats.ready, info.stats.held), (0, 0));
}

#[test]
fn a_payload_that_sqs_does_not_take_is_claimed_or_refused_by_name() {
    let ground = Ground::new();
    let url = url(Moto::shared().address, "poll_s=0");
    let claims = tempfile::tempdir().unwrap();
    let (without, _without) = ground.broker(&url);
    let (with, _with) = ground.broker(&format!("{url}&claims={}", claims.path().display()));
    let settings = QueueSettings { dead_letter: Some(QueueName::new("d").unwrap()), ..queue("q") };
    ground.run(with.ensure(&settings)).unwrap();
    let large = Message { payload: vec![b'x'; 1_100_000].into(), ..message("large") };
    let refused = ground.run(without.publish(&settings.name, vec![large.clone()])).unwrap_err();
    assert!(refused.kind() == Kind::TooLarge && refused.to_string().contains("claims="), "{refused}");
    ground.run(with.publish(&settings.name, vec![large.clone(), message("small")])).unwrap();
    let files = || std::fs::read_dir(claims.path()).unwrap().count();
    assert_eq!(files(), 1, "only the large one");
    let delivery = receive(&ground, &with, &settings.name, 1).remove(0);
    let given_up = Outcome::DeadLetter(Reason::Rejected);
    ground.run(with.settle(&settings.name, delivery.id, given_up, None)).unwrap();
    assert_eq!(files(), 1, "the dead letter has it");
    let dead = receive(&ground, &with, &QueueName::new("d").unwrap(), 1).remove(0);
    assert_eq!(*dead.message, large);
    ground.run(with.settle(&dead.queue, dead.id, Outcome::Done, None)).unwrap();
    assert_eq!(files(), 0, "nobody claims it any more");
}

#[test]
fn the_largest_message_that_is_taken_can_be_tried_again_and_tells_why_it_is_dead() {
    let ground = Ground::new();
    let url = url(Moto::shared().address, "poll_s=0");
    let claims = tempfile::tempdir().unwrap();
    let (without, _without) = ground.broker(&url);
    let (with, _with) = ground.broker(&format!("{url}&claims={}", claims.path().display()));
    let files = || std::fs::read_dir(claims.path()).unwrap().count();
    let dead = QueueName::new("d").unwrap();
    let settings = QueueSettings { dead_letter: Some(dead.clone()), ..queue("q") };
    ground.run(without.ensure(&settings)).unwrap();
    let of = |bytes: usize| Message { payload: vec![b'x'; bytes].into(), ..message("m") };
    let largest = |broker: &SqsBroker| {
        // The last bytes of what SQS takes are not for publishers.
        let taken = |bytes| ground.run(broker.publish(&settings.name, vec![of(bytes)])).is_ok();
        (0..64).map(|less| 1_048_576 - less * 64).find(|bytes| taken(*bytes)).unwrap()
    };
    let bytes = largest(&without);
    let first = receive(&ground, &without, &settings.name, 1).remove(0);
    let again = Outcome::RetryAt(ground.clock.now());
    ground.run(without.settle(&settings.name, first.id, again, None)).unwrap();
    let second = receive(&ground, &without, &settings.name, 1).remove(0);
    assert_eq!((second.attempt, second.message.payload.len()), (2, bytes));
    let note = "n".repeat(1_024);
    let given_up = Outcome::DeadLetter(Reason::Rejected);
    ground.run(without.settle(&settings.name, second.id, given_up, Some(&note))).unwrap();
    assert_eq!(ground.run(without.redrive(&dead, 1)).unwrap(), 1, "it is known where it came from");
    let third = receive(&ground, &without, &settings.name, 1).remove(0);
    assert_eq!((third.history[0].note.as_deref(), files()), (Some(note.as_str()), 0));
    // With a place beside SQS nothing is refused, nor left out where it has no room.
    ground.run(without.settle(&settings.name, third.id, Outcome::Done, None)).unwrap();
    ground.run(with.publish(&settings.name, vec![of(bytes + 64)])).unwrap();
    assert_eq!(files(), 1);
}

#[test]
fn a_payload_beside_sqs_is_in_use_as_long_as_its_message_waits() {
    let ground = Ground::new();
    let claims = tempfile::tempdir().unwrap();
    let url = url(Moto::shared().address, &format!("poll_s=0&claims={}", claims.path().display()));
    let (broker, _works) = ground.broker(&url);
    let settings = queue("q");
    ground.run(broker.ensure(&settings)).unwrap();
    let not_before = Some(ground.clock.now() + Duration::from_secs(3));
    let large = Message { payload: vec![b'x'; 1_100_000].into(), not_before, ..message("large") };
    ground.run(broker.publish(&settings.name, vec![large])).unwrap();
    let file = std::fs::read_dir(claims.path()).unwrap().next().unwrap().unwrap().path();
    let modified = || std::fs::metadata(&file).unwrap().modified().unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(14 * 86_400);
    std::fs::File::options().write(true).open(&file).unwrap().set_modified(long_ago).unwrap();
    assert_eq!(receive(&ground, &broker, &settings.name, 1).len(), 1);
    assert!(modified() > long_ago + Duration::from_secs(86_400), "whoever tidies sees that it is in use");
}

#[test]
fn a_message_whose_payload_is_lost_holds_up_its_key_only_for_a_while() {
    let ground = Ground::new();
    let claims = tempfile::tempdir().unwrap();
    let url = url(Moto::shared().address, &format!("poll_s=0&claims={}", claims.path().display()));
    let (broker, _works) = ground.broker(&url);
    let ordered = QueueSettings { order: Order::Key, ..queue("q") };
    ground.run(broker.ensure(&ordered)).unwrap();
    let of_key = |id, payload: Vec<u8>| Message {
        key: Some("customer".to_owned()),
        payload: payload.into(),
        ..message(id)
    };
    let messages = vec![of_key("large", vec![b'x'; 1_100_000]), of_key("next", Vec::new())];
    ground.run(broker.publish(&ordered.name, messages)).unwrap();
    let file = std::fs::read_dir(claims.path()).unwrap().next().unwrap().unwrap().path();
    let kept = claims.path().join("elsewhere");
    std::fs::rename(&file, &kept).unwrap();
    let mut found = Vec::new();
    within(Duration::from_secs(120), "the next of its key comes", || {
        found = receive(&ground, &broker, &ordered.name, 1);
        !found.is_empty()
    });
    assert_eq!(found[0].message.id.as_str(), "next");
    // The payload was not there for a while, and nothing is lost.
    std::fs::rename(&kept, &file).unwrap();
    let parked = QueueName::new(PARKED).unwrap();
    let mut dead = Vec::new();
    within(Duration::from_secs(120), "it is parked", || {
        dead = receive(&ground, &broker, &parked, 1);
        !dead.is_empty()
    });
    assert_eq!((dead[0].message.id.as_str(), dead[0].message.payload.len()), ("large", 1_100_000));
    assert!(dead[0].history[0].note.as_deref().unwrap().contains("cannot be had"));
}

#[test]
fn a_retry_later_than_sqs_can_hide_a_message_is_refused_and_leaves_it_held() {
    let ground = Ground::new();
    let (broker, _works) = ground.broker(&url(Moto::shared().address, "poll_s=0"));
    let ordered = QueueSettings { order: Order::Key, ..queue("q") };
    ground.run(broker.ensure(&ordered)).unwrap();
    ground.run(broker.publish(&ordered.name, vec![message("m")])).unwrap();
    let delivery = receive(&ground, &broker, &ordered.name, 1).remove(0);
    let settle = |outcome| ground.run(broker.settle(&ordered.name, delivery.id, outcome, None));
    let far = Outcome::RetryAt(ground.clock.now() + Duration::from_secs(12 * 3_600));
    let refused = settle(far).unwrap_err();
    assert!(refused.kind() == Kind::Unsupported && refused.to_string().contains("11 hours"), "{refused}");
    assert_eq!(settle(Outcome::Done).unwrap(), Settled::Done);
}

#[test]
fn a_deletion_that_ended_half_way_is_made_again_and_leaves_nothing_to_the_next_queue() {
    let ground = Ground::new();
    let moto = Moto::shared().address;
    let direct = url(moto, "poll_s=0");
    let (broker, _works) = ground.broker(&direct);
    let gate = gate::before(moto, "AmazonSQS.DeleteQueue\r\n", 1).to_string();
    let (cut, _cut) = ground.broker(&format!("{}&wait_ms=200", direct.replace(&moto.to_string(), &gate)));
    let settings = queue("q");
    ground.run(broker.ensure(&settings)).unwrap();
    let not_before = Some(ground.clock.now() + Duration::from_secs(2));
    ground.run(broker.publish(&settings.name, vec![Message { not_before, ..message("old") }])).unwrap();
    assert_eq!(ground.run(cut.delete(&settings.name)).unwrap_err().kind(), Kind::Unavailable);
    ground.run(broker.delete(&settings.name)).unwrap();
    assert_eq!(ground.run(broker.delete(&settings.name)).unwrap_err().kind(), Kind::NotFound);
    ground.run(broker.ensure(&settings)).unwrap();
    let stats = ground.run(broker.queue(&settings.name)).unwrap().stats;
    assert_eq!((stats.ready, stats.delayed), (0, 0));
}

#[test]
fn a_name_that_sqs_does_not_take_is_refused_and_no_error_shows_the_key() {
    let ground = Ground::new();
    let (broker, _works) = ground.broker(&url(Moto::shared().address, "").replace("secret", "hush"));
    let refused = ground.run(broker.ensure(&queue(&"q".repeat(80)))).unwrap_err();
    assert_eq!(refused.kind(), Kind::Unsupported);
    let (lost, _works) = ground.broker("sqs://key:hush@eu-central-1?endpoint=http://127.0.0.1:9&wait_ms=200");
    let failed = ground.run(lost.ensure(&queue("q"))).unwrap_err();
    assert_eq!(failed.kind(), Kind::Unavailable);
    assert!(!format!("{refused} {refused:?} {failed} {failed:?}").contains("hush"));
}

#[test]
fn who_does_not_wait_is_not_kept_by_one_who_does() {
    let ground = Ground::new();
    let (broker, _works) = ground.broker(&url(Moto::shared().address, "poll_s=20&pollers=1"));
    let settings = queue("q");
    ground.run(broker.ensure(&settings)).unwrap();
    let asked = |wait| Receive { count_max: 1, hold: None, wait_until: ground.clock.now() + wait };
    let waits = ground.handle().spawn({
        let (broker, name, asked) = (broker.clone(), settings.name.clone(), asked(Duration::from_secs(20)));
        async move { broker.receive(&name, asked).await }
    });
    std::thread::sleep(Duration::from_millis(300));
    let begun = ground.clock.now();
    assert!(ground.run(broker.receive(&settings.name, asked(Duration::ZERO))).unwrap().is_empty());
    assert!(ground.clock.now().since(begun) < Duration::from_secs(3));
    ground.run(broker.publish(&settings.name, vec![message("m")])).unwrap();
    assert_eq!(ground.run(waits).unwrap().unwrap().len(), 1);
}

#[test]
fn an_https_endpoint_is_spoken_to_in_tls() {
    let ground = Ground::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let options = format!("endpoint=https://{address}&wait_ms=200&timeout_ms=2000");
    let (broker, _works) = ground.broker(&format!("sqs://key:secret@eu-central-1?{options}"));
    let hello = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut first = [0; 2];
        std::io::Read::read_exact(&mut stream, &mut first).unwrap();
        first
    });
    assert_eq!(ground.run(broker.ensure(&queue("q"))).unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(hello.join().unwrap(), [22, 3], "a handshake of TLS");
}

#[test]
fn what_comes_at_the_end_of_a_long_wait_is_held_for_its_time() {
    let ground = Ground::new();
    let (broker, _works) = ground.broker(&url(Moto::shared().address, "poll_s=20&visibility_s=3"));
    let settings = queue("q");
    ground.run(broker.ensure(&settings)).unwrap();
    let waits = ground.handle().spawn({
        let (broker, name, wait_until) =
            (broker.clone(), settings.name.clone(), ground.clock.now() + Duration::from_secs(20));
        async move { broker.receive(&name, Receive { count_max: 1, hold: None, wait_until }).await }
    });
    std::thread::sleep(Duration::from_millis(4_500));
    ground.run(broker.publish(&settings.name, vec![message("m")])).unwrap();
    let delivery = ground.run(waits).unwrap().unwrap().remove(0);
    std::thread::sleep(Duration::from_secs(4));
    let settled = ground.run(broker.settle(&settings.name, delivery.id, Outcome::Done, None)).unwrap();
    assert_eq!(settled, Settled::Done);
}
