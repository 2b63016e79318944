//! What is written is read back, and nothing that is read can do harm.

use std::time::Duration;

use forebay_core::delivery::{History, Reason};
use forebay_core::error::Kind;
use forebay_core::limits;
use forebay_core::message::{Headers, Message, MessageId, Value};
use forebay_core::payload::Payload;
use forebay_core::queue::{
    Backoff, DeadLetterExchange, Lifetime, Order, Overflow, QueueName, QueueSettings, Retain, RetryPolicy,
};
use forebay_core::time::Instant;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::message::{Claim, Decoded};
use super::{MessageBytes, NEW_BYTES_MAX, Record, SMALL_BYTES_MAX, Status, history, message};

fn time() -> impl Strategy<Value = Instant> {
    any::<u64>().prop_map(Instant::from_ms)
}

fn name() -> impl Strategy<Value = QueueName> {
    "[a-zé.]{1,120}".prop_map(|name| QueueName::new(&name).unwrap())
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<u64>().prop_map(Value::UInt),
        (-1e300..1e300_f64).prop_map(Value::Float),
        time().prop_map(Value::Time),
        ".{0,20}".prop_map(Value::Text),
        vec(any::<u8>(), 0..20).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::List),
            vec((".{0,8}", inner), 0..4).prop_map(|pairs| Value::Table(pairs.into_iter().collect())),
        ]
    })
}

prop_compose! {
    fn any_message()(
        id in ".{1,60}", payload in vec(any::<u8>(), 0..200), content_type in option::of(".{0,60}"),
        headers in vec((".{0,12}", value()), 0..4), key in option::of(".{0,60}"),
        not_before in option::of(time()), expires_at in option::of(time()), priority: u8,
        dedup_id in option::of(".{1,60}"), exchange in option::of(".{0,60}"),
        routing_key in option::of(".{0,60}"), time_to_live in option::of(any::<u32>()),
    ) -> Message {
        let headers: Headers = headers.into_iter().collect();
        let id = MessageId::given(&id).unwrap();
        Message { id, payload: payload.into(), content_type, headers, key, not_before, expires_at, priority, dedup_id, exchange,
            routing_key, time_to_live: time_to_live.map(|ms| Duration::from_millis(ms.into())) }
    }
}

prop_compose! {
    fn any_claim()(file: u64, length: u32, checksum: u32) -> Claim {
        Claim { file, length, checksum }
    }
}

prop_compose! {
    fn any_history()(
        queue in name(), reason in 0..5, count: u64, at in time(), attempts: u32, note in option::of(".{0,99}"),
        exchange in option::of(".{0,60}"), routing_keys in vec(".{0,60}", 0..4), ttl in option::of(any::<u32>()),
    ) -> History {
        let reasons =
            [Reason::Rejected, Reason::AttemptsSpent, Reason::Expired, Reason::Overflow, Reason::DeliveryLimit];
        let reason = reasons[reason as usize];
        let time_to_live = ttl.map(|ms| Duration::from_millis(ms.into()));
        History { queue, reason, count, at, attempts, note, exchange, routing_keys, time_to_live }
    }
}

prop_compose! {
    fn any_settings()(
        name in name(), attempt_max in 1..=limits::ATTEMPTS_MAX, first in 0_u64..1 << 40, more in 0_u64..1 << 40,
        jitter in 0.0..=1.0_f64, hold in 1_000_000_u64..1 << 40, dead_letter in option::of("[A-Z]{1,50}"),
        length_max in 1_u64.., overflow in 0..3_usize, by_key: bool, priority_max: u8, dedup in 0_u64..1 << 40,
        retain in option::of(1_u64..1 << 20), newest_by_key: bool,
        of_process: bool, through in option::of((".{0,60}", option::of(".{0,60}"))),
        ttl in option::of(0_u64..1 << 40), length_bytes_max in option::of(any::<u64>()), declaration in vec(any::<u8>(), 0..300),
    ) -> QueueSettings {
        let backoff = Backoff {
            first: Duration::from_nanos(first), longest: Duration::from_nanos(first + more), jitter,
        };
        QueueSettings {
            name,
            retry: RetryPolicy { attempt_max, backoff },
            hold: Duration::from_nanos(hold),
            dead_letter: dead_letter.map(|name| QueueName::new(&name).unwrap()),
            length_max,
            dead_letter_exchange: through.map(|(exchange, key)| DeadLetterExchange { exchange, key }),
            message_ttl: ttl.map(Duration::from_nanos),
            length_bytes_max,
            overflow: [Overflow::Reject, Overflow::DropHead, Overflow::RejectDeadLetter][overflow],
            order: if by_key { Order::Key } else { Order::Arrival },
            priority_max: if by_key { 0 } else { priority_max },
            dedup_window: Duration::from_nanos(dedup),
            retain: retain.map_or(Retain::Nothing, |seconds| Retain::For(Duration::from_secs(seconds))),
            newest_by_key,
            lifetime: if of_process { Lifetime::Process } else { Lifetime::Durable },
            declaration: declaration.into(),
        }
    }
}

fn status() -> impl Strategy<Value = Status> {
    prop_oneof![
        Just(Status::Ready),
        time().prop_map(|until| Status::Delayed { until }),
        (any::<u32>(), time()).prop_map(|(token, until)| Status::Held { token, until }),
        Just(Status::Finished),
    ]
}

fn changes() -> impl Strategy<Value = Vec<&'static [u8]>> {
    vec(prop_oneof![Just(&b""[..]), Just(&b"\x02\x01/\x01x"[..])], 0..4)
}

/// A record with an empty message, which the tests add.
fn any_record() -> impl Strategy<Value = Record<'static>> {
    let message = MessageBytes { head: &[], payload: &[] };
    let place = || (any::<u64>(), any::<u64>());
    let histories = || vec(any_history(), 0..=limits::HISTORY_ENTRIES_MAX);
    prop_oneof![
        (any::<u64>(), any_settings(), any::<bool>())
            .prop_map(|(number, settings, paused)| Record::Declare { number, settings, paused }),
        (any::<u64>(), changes()).prop_map(|(queue, changes)| Record::Delete { queue, changes }),
        changes().prop_map(|changes| Record::Route { changes }),
        any::<u64>().prop_map(|queue| Record::Purge { queue }),
        (place(), any::<u32>(), any::<u32>(), time()).prop_map(
            |((queue, position), attempt, token, held_until)| {
                Record::Deliver { queue, position, attempt, token, held_until }
            }
        ),
        (place(), time()).prop_map(|((queue, position), held_until)| Record::Extend {
            queue,
            position,
            held_until
        }),
        place().prop_map(|(queue, position)| Record::Settle { queue, position }),
        place().prop_map(|(queue, position)| Record::Retain { queue, position }),
        (place(), time()).prop_map(|((queue, position), at)| Record::Retry { queue, position, at }),
        (place(), any::<bool>()).prop_map(|((queue, position), seen)| Record::Return {
            queue,
            position,
            seen
        }),
        vec(any::<u64>(), 0..9).prop_map(|queues| Record::End { queues }),
        vec(any::<u64>(), 0..9).prop_map(|queues| Record::Reopen { queues }),
        (place(), any::<u64>(), time(), option::of(time()), any::<(bool, bool)>(), histories()).prop_map(
            move |((from, position), to, at, expires_at, (stays, is_newest), history)| {
                Record::Move { from, position, to, at, expires_at, stays, is_newest, history, message }
            }
        ),
        (place(), time(), any::<u32>(), option::of(time()), status(), option::of(any::<u64>()), histories())
            .prop_map(
                move |((queue, position), published_at, attempts, expires_at, status, replaces, history)| {
                    Record::Put {
                        queue,
                        position,
                        published_at,
                        attempts,
                        expires_at,
                        status,
                        replaces,
                        history,
                        message,
                    }
                }
            ),
    ]
}

/// The whole body as the log would keep it.
fn body(record: &Record<'_>, message: &Message, claim: Option<Claim>) -> Vec<u8> {
    let mut body = record.head();
    if matches!(record.kind(), 4 | 10) {
        body.extend(message::head(message, claim));
        if claim.is_none() {
            body.extend_from_slice(&message.payload);
        }
    }
    body
}

proptest! {
    #[test]
    fn every_record_reads_back_with_its_message(
        record in any_record(), written in any_message(), claim in option::of(any_claim()),
    ) {
        let body = body(&record, &written, claim);
        let decoded = Record::decode(&body).unwrap();
        let bytes = decoded.message().head;
        prop_assert_eq!(decoded.head(), record.head());
        if !bytes.is_empty() {
            let start = body.len() - bytes.len();
            let payload = if claim.is_none() { written.payload.clone() } else { Payload::empty() };
            let message = Message { payload, ..written };
            let decoded = message::decode(&Payload::from(body.clone()), start).unwrap();
            prop_assert_eq!(decoded, Decoded { message, claim });
            prop_assert_eq!(message::glance(bytes).unwrap().claim, claim);
        }
    }

    #[test]
    fn garbage_gives_damaged_and_never_a_panic(kind in 0_u8..15, version in 0_u8..3, rest in vec(any::<u8>(), 0..200)) {
        let mut body = vec![kind, version];
        body.extend(rest);
        if let Err(error) = Record::decode(&body) {
            prop_assert_eq!(error.kind(), Kind::Damaged);
        }
        if let Err(error) = message::decode(&Payload::from(body), 0) {
            prop_assert_eq!(error.kind(), Kind::Damaged);
        }
    }

    #[test]
    fn a_changed_or_cut_record_gives_a_record_or_damaged(
        record in any_record(), written in any_message(), claim in option::of(any_claim()), place: prop::sample::Index, byte: u8, cut: prop::sample::Index,
    ) {
        let mut body = body(&record, &written, claim);
        let place = place.index(body.len());
        body[place] = byte;
        body.truncate(cut.index(body.len() + 1));
        if let Ok(Record::Put { message, .. } | Record::Move { message, .. }) =
            Record::decode(&body)
        {
            let start = body.len() - message.head.len();
            let _ = message::decode(&Payload::from(body.clone()), start);
        }
    }
}

#[test]
fn headers_deeper_than_the_limit_are_damaged_and_end_the_reading() {
    let depth = 100_000_u32;
    let mut table = Vec::new();
    for _ in 0..depth {
        table.extend([1, 0, 0, 0, 0, 0, 10]);
    }
    let mut bytes = vec![16, 0, 1, b'm'];
    let table = &table[..limits::HEADERS_BYTES_MAX.min(table.len())];
    bytes.extend((table.len() as u32).to_le_bytes());
    bytes.extend(table);
    assert_eq!(message::decode(&Payload::from(bytes), 0).unwrap_err().kind(), Kind::Damaged);
}

#[test]
fn the_deepest_and_the_largest_headers_that_are_taken_read_back() {
    let nested = |text: usize| {
        let innermost = [("t".to_owned(), Value::Text("x".repeat(text)))].into_iter().collect();
        (1..limits::HEADERS_DEPTH_MAX)
            .fold(innermost, |inner, _| [("t".to_owned(), Value::Table(inner))].into_iter().collect())
    };
    let with_headers = |headers| Message {
        headers,
        ..Message::new(MessageId::given("m").unwrap(), Payload::from("payload"))
    };
    let taken = |text: usize| with_headers(nested(text)).check().is_ok();
    let largest = (0..limits::HEADERS_BYTES_MAX).rfind(|text| taken(*text)).unwrap();
    for headers in [
        nested(largest),
        [("t".to_owned(), Value::Bytes(vec![7; limits::HEADERS_BYTES_MAX - 9]))].into_iter().collect(),
        (0..limits::HEADERS_BYTES_MAX / 9).map(|_| (String::new(), Value::Null)).collect(),
    ] {
        let written = with_headers(headers);
        written.check().unwrap();
        let mut bytes = message::head(&written, None);
        bytes.extend_from_slice(&written.payload);
        assert_eq!(message::decode(&Payload::from(bytes), 0).unwrap().message, written);
    }
}

#[test]
fn history_counts_on_and_the_oldest_gives_way_at_the_limit() {
    let entry = |queue: &str, at| History {
        note: Some("é".repeat(limits::NOTE_BYTES_MAX)),
        exchange: Some(format!("x{at}")),
        routing_keys: vec!["k".to_owned(); limits::HISTORY_KEYS_MAX + 1],
        ..History::new(QueueName::new(queue).unwrap(), Reason::Rejected, Instant::from_ms(at), 1)
    };
    let mut entries = Vec::new();
    for number in 0..limits::HISTORY_ENTRIES_MAX {
        history::add(&mut entries, entry(&format!("q{number}"), 1));
    }
    history::add(&mut entries, entry("q0", 2));
    assert_eq!(entries.len(), limits::HISTORY_ENTRIES_MAX);
    let newest = entries.last().unwrap();
    assert_eq!((newest.queue.as_str(), newest.count, newest.at.as_ms()), ("q0", 2, 2));
    assert_eq!(newest.note.as_ref().unwrap().len(), limits::NOTE_BYTES_MAX);
    assert_eq!(newest.exchange.as_deref(), Some("x1"), "how it had come the first time");
    assert_eq!(newest.routing_keys.len(), limits::HISTORY_KEYS_MAX);
    history::add(&mut entries, entry("one more", 3));
    assert_eq!(entries.len(), limits::HISTORY_ENTRIES_MAX);
    assert_eq!(entries[0].queue.as_str(), "q2", "q1 was the oldest");
}

#[test]
fn a_new_message_needs_no_more_beside_itself_than_room_is_asked_for() {
    let record = Record::Put {
        queue: u64::MAX,
        position: 0,
        published_at: Instant::from_ms(u64::MAX),
        attempts: 0,
        expires_at: Some(Instant::from_ms(u64::MAX)),
        status: Status::Delayed { until: Instant::from_ms(u64::MAX) },
        replaces: Some(u64::MAX),
        history: Vec::new(),
        message: MessageBytes { head: &[], payload: &[] },
    };
    assert_eq!(record.head().len(), NEW_BYTES_MAX);
}

#[test]
fn a_delivery_is_the_largest_of_the_small_records() {
    let (queue, position, attempt, token) = (u64::MAX, u64::MAX, u32::MAX, u32::MAX);
    let at = Instant::from_ms(u64::MAX);
    let deliver = Record::Deliver { queue, position, attempt, token, held_until: at };
    assert_eq!(deliver.head().len(), SMALL_BYTES_MAX);
    for smaller in [
        Record::Extend { queue, position, held_until: at },
        Record::Settle { queue, position },
        Record::Retain { queue, position },
        Record::Retry { queue, position, at },
        Record::Return { queue, position, seen: true },
    ] {
        assert!(smaller.head().len() <= SMALL_BYTES_MAX);
    }
}

#[test]
fn marks_read_back_and_what_is_cut_off_is_damaged() {
    let marks = vec![(Instant::from_ms(7), "a"), (Instant::from_ms(9), "another")];
    let record = Record::Marks { queue: 3, marks };
    let bytes = record.head();
    assert_eq!(Record::decode(&bytes).unwrap(), record);
    (0..bytes.len()).for_each(|end| assert!(Record::decode(&bytes[..end]).is_err()));
    let mut boasting = bytes[..10].to_vec();
    boasting.extend(u32::MAX.to_le_bytes());
    assert_eq!(Record::decode(&boasting).unwrap_err().kind(), Kind::Damaged);
}

proptest! {
    #[test]
    fn a_glance_at_a_message_sees_what_is_in_it(message in any_message()) {
        let head = message::head(&message, None);
        let glance = message::glance(&head).unwrap();
        prop_assert_eq!(glance.priority, message.priority);
        prop_assert_eq!(glance.key, message.key.as_deref());
        prop_assert_eq!(glance.dedup_id, message.dedup_id.as_deref());
    }

    #[test]
    fn a_glance_at_any_bytes_comes_to_an_end(bytes in vec(any::<u8>(), 0..80)) {
        drop(message::glance(&bytes));
    }
}
