//! Tests of the envelope: it comes back as it was, its bytes stay what they are, and any other bytes are none.

use allocation_counter::measure;
use forebay_core::message::{Headers, Value};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

const NOW: Instant = Instant::from_ms(9);

fn id(id: &str) -> MessageId {
    MessageId::given(id).unwrap()
}

fn queue(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

fn bytes_of(envelope: &Envelope) -> Vec<u8> {
    envelope.encode((), (), usize::MAX)
}

fn read(bytes: &[u8]) -> Option<Envelope> {
    Envelope::decode::<(), ()>(bytes).map(|((), envelope, ())| envelope)
}

/// One with everything in it.
fn full() -> Envelope {
    let mut inner = Headers::new();
    inner.set("in", "x".into());
    let mut message = Message::new(id("m-1"), Payload::empty());
    let headers = [
        ("nil", Value::Null),
        ("yes", Value::Bool(true)),
        ("int", Value::Int(-2)),
        ("uint", Value::UInt(300)),
        ("float", Value::Float(1.5)),
        ("time", Value::Time(Instant::from_ms(1_000))),
        ("text", "till 3".into()),
        ("bytes", Value::Bytes(vec![0, 255])),
        ("list", Value::List(vec![Value::UInt(1), Value::Null])),
        ("table", Value::Table(inner)),
    ];
    headers.into_iter().for_each(|(name, value)| message.headers.set(name, value));
    message.content_type = Some("text/plain".into());
    message.key = Some("k".into());
    message.not_before = Some(Instant::from_ms(70));
    message.expires_at = Some(Instant::from_ms(9_000));
    message.priority = 3;
    message.dedup_id = Some("d".into());
    message.exchange = Some("x".into());
    message.routing_key = Some("r".into());
    message.time_to_live = Some(Duration::from_millis(5));
    let reasons = [Reason::Rejected, Reason::AttemptsSpent, Reason::Overflow, Reason::DeliveryLimit];
    let plain = reasons.map(|reason| History::new(queue("p"), reason, Instant::from_ms(6), 1));
    let told = History {
        count: 4,
        note: Some("why".into()),
        exchange: Some("x".into()),
        routing_keys: vec!["r".into(), "s".into()],
        time_to_live: Some(Duration::from_millis(1_500)),
        ..History::new(queue("q"), Reason::Expired, Instant::from_ms(8), 5)
    };
    Envelope {
        attempts: 2,
        history: plain.into_iter().chain([told]).collect(),
        ..Envelope::new(message, Instant::from_ms(7))
    }
}

fn assert_same(one: &Envelope, other: &Envelope) {
    assert_eq!(one.message, other.message);
    assert_eq!((one.attempts, one.published_at), (other.attempts, other.published_at));
    assert_eq!((one.due, &one.history), (other.due, &other.history));
}

#[test]
fn the_bytes_of_an_envelope_stay_what_they_are() {
    let bytes = "01036d2d31010a746578742f706c61696e19090a0a036e696c000a0379657301010a03696e7402030a0475696e7403ac020a\
        05666c6f617404000000000000f83f0a0474696d6505e8070a0474657874060674696c6c20330a056279746573070200ff0a\
        046c69737408020301000a057461626c6509010a02696e06017801016b014601a846030101640101780101720100c096b102\
        0207460501700001060100000000017001010601000000000170030106010000000001700401060100000000017102040805\
        01037768790101780201720173010180cab5ee01";
    let hexadecimal: String = bytes_of(&full()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hexadecimal, bytes);
}

#[test]
fn what_a_backend_adds_is_before_and_behind_it_and_comes_back() {
    let bytes = full().encode(300_u16, Some("origin"), usize::MAX);
    let plain = bytes_of(&full());
    assert_eq!(bytes[..3], [VERSION, 0xac, 0x02]);
    assert_eq!(bytes[3..plain.len() + 2], plain[1..]);
    let (before, envelope, behind) = Envelope::decode::<u16, Option<String>>(&bytes).unwrap();
    assert_eq!((before, behind.as_deref()), (300, Some("origin")));
    assert_same(&envelope, &full());
}

#[test]
fn a_payload_comes_back_to_what_was_said_of_it() {
    let envelope = read(&bytes_of(&full())).unwrap().with_payload("body".into());
    assert_eq!(*envelope.message, Message { payload: "body".into(), ..(*full().message).clone() });
}

#[test]
fn what_is_beyond_all_counting_stays_the_last_number() {
    assert_eq!(Envelope::new(Message::new(id("m"), Payload::empty()), NOW).attempt(), 1);
    assert_eq!(Envelope { attempts: u32::MAX, ..full() }.attempt(), u32::MAX);
    let line = History { count: u64::MAX, ..History::new(queue("q"), Reason::Rejected, NOW, 1) };
    let left = Envelope { history: vec![line], ..full() }.leave(&queue("q"), Reason::Rejected, 1, None, NOW);
    assert_eq!(left.history.last().unwrap().count, u64::MAX);
}

#[test]
fn a_dead_letter_begins_anew_and_tells_how_often_it_left_and_why() {
    let note = "é".repeat(limits::NOTE_BYTES_MAX);
    let once = full().leave(&queue("q"), Reason::Overflow, 5, Some("why"), Instant::from_ms(8));
    let twice = once.leave(&queue("q"), Reason::Overflow, 6, Some(&note), NOW);
    assert_eq!((twice.attempts, twice.published_at, twice.due), (0, NOW, NOW));
    assert_eq!((twice.message.expires_at, twice.message.not_before), (None, full().message.not_before));
    let line = twice.history.last().unwrap();
    assert_eq!((line.count, line.attempts, line.at), (2, 6, NOW));
    assert!(line.note.as_ref().is_some_and(|told| told.len() == limits::NOTE_BYTES_MAX));
    assert_eq!(twice.history.len(), full().history.len() + 1);
    assert_same(&read(&bytes_of(&twice)).unwrap(), &twice);
}

#[test]
fn a_history_at_its_limit_gives_way_to_what_is_new() {
    let mut envelope = Envelope::new(Message::new(id("m"), Payload::empty()), NOW);
    for round in 0..limits::HISTORY_ENTRIES_MAX + 3 {
        envelope = envelope.leave(&queue(&round.to_string()), Reason::Rejected, 1, None, NOW);
    }
    assert_eq!(envelope.history.len(), limits::HISTORY_ENTRIES_MAX);
    assert_eq!(envelope.history.first().unwrap().queue, queue("3"));
}

#[test]
fn of_a_history_that_is_too_long_the_newest_lines_are_told() {
    let mut envelope = full();
    for round in 0..20 {
        envelope = envelope.leave(&queue(&round.to_string()), Reason::Rejected, 1, Some("why"), NOW);
    }
    let whole = bytes_of(&envelope).len();
    let cut = envelope.encode((), (), whole - 1);
    assert!(cut.len() < whole);
    let back = read(&cut).unwrap();
    assert_eq!(back.history, envelope.history[1..]);
    let bare = read(&envelope.encode((), (), 0)).unwrap();
    assert_eq!((bare.message, bare.history), (envelope.message, Vec::new()));
}

#[test]
fn no_history_makes_it_longer_than_what_is_read() {
    let line = History {
        routing_keys: vec!["k".repeat(255); 128],
        ..History::new(queue("q"), Reason::Expired, NOW, 1)
    };
    let long = Envelope { history: vec![line; limits::HISTORY_ENTRIES_MAX], ..full() };
    let back = read(&bytes_of(&long)).unwrap();
    assert!((1..long.history.len()).contains(&back.history.len()));
}

#[test]
fn what_is_longer_than_an_envelope_can_be_is_none() {
    let with_text = |bytes: usize| {
        let headers = [("t".to_owned(), Value::Text("x".repeat(bytes)))].into_iter().collect();
        bytes_of(&Envelope::new(Message { headers, ..Message::new(id("m"), Payload::empty()) }, NOW))
    };
    let beside = with_text(ENVELOPE_BYTES_MAX).len() - ENVELOPE_BYTES_MAX;
    assert!(read(&with_text(ENVELOPE_BYTES_MAX - beside)).is_some());
    assert!(read(&with_text(ENVELOPE_BYTES_MAX - beside + 1)).is_none());
}

#[test]
fn a_message_without_a_name_is_none() {
    let mut stored = full().stored();
    stored.id.clear();
    assert!(read(&version::encode(VERSION, &stored)).is_none());
}

#[test]
fn headers_that_lie_are_none_and_lines_that_cannot_be_read_are_left_out() {
    let mut stored = full().stored();
    stored.headers = vec![Token::Table(u32::MAX)];
    assert!(read(&version::encode(VERSION, &stored)).is_none());
    let mut stored = full().stored();
    stored.history.insert(1, Line::of(&History::new(queue("?"), Reason::Expired, NOW, 1)));
    let bytes = version::encode(VERSION, &stored);
    let reason = bytes.windows(3).position(|three| three == [1, b'?', 2]).unwrap() + 2;
    let unknown = [&bytes[..reason], &[99], &bytes[reason + 1..]].concat();
    assert_same(&read(&unknown).unwrap(), &full());
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<u64>().prop_map(Value::UInt),
        (-1e9..1e9).prop_map(Value::Float),
        any::<u64>().prop_map(|ms| Value::Time(Instant::from_ms(ms))),
        ".{0,9}".prop_map(Value::Text),
        vec(any::<u8>(), 0..9).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(4, 20, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::List),
            vec((".{0,5}", inner), 0..4).prop_map(|pairs| Value::Table(pairs.into_iter().collect())),
        ]
    })
}

prop_compose! {
    fn line()(
        name in "[a-z]{1,9}",
        reason in prop::sample::select(vec![Reason::Rejected, Reason::Expired, Reason::DeliveryLimit]),
        numbers: (u64, u64, u32),
        texts in vec(option::of(".{0,9}"), 2),
        routing_keys in vec(".{0,5}", 0..3),
        time_to_live in option::of(any::<Duration>()),
    ) -> History {
        let (count, at, attempts) = numbers;
        let line = History::new(queue(&name), reason, Instant::from_ms(at), attempts);
        History { count, note: texts[0].clone(), exchange: texts[1].clone(), routing_keys, time_to_live, ..line }
    }
}

prop_compose! {
    fn envelope()(
        name in ".{1,9}",
        texts in vec(option::of(".{0,9}"), 5),
        moments in vec(option::of(any::<u64>()), 2),
        headers in vec((".{0,5}", value()), 0..5),
        time_to_live in option::of(any::<Duration>()),
        numbers: (u8, u32, u64, u64),
        history in vec(line(), 0..4),
    ) -> Envelope {
        let (priority, attempts, published_at, due) = numbers;
        let message = Message {
            content_type: texts[0].clone(),
            key: texts[1].clone(),
            dedup_id: texts[2].clone(),
            exchange: texts[3].clone(),
            routing_key: texts[4].clone(),
            not_before: moments[0].map(Instant::from_ms),
            expires_at: moments[1].map(Instant::from_ms),
            time_to_live,
            headers: headers.into_iter().collect(),
            priority,
            ..Message::new(id(&name), Payload::empty())
        };
        let (message, due) = (Arc::new(message), Instant::from_ms(due));
        Envelope { message, attempts, published_at: Instant::from_ms(published_at), due, history }
    }
}

/// What reading may take for each byte that it is given: a line of a history has nine bytes at least, and takes the most.
const TIMES: u64 = 256;
/// And beside that.
const CONSTANT: u64 = 1024;

fn read_within_bounds(bytes: &[u8]) -> Option<Envelope> {
    let mut envelope = None;
    let taken = measure(|| envelope = read(bytes)).bytes_max;
    assert!(taken <= TIMES * bytes.len() as u64 + CONSTANT, "{taken} bytes for {}", bytes.len());
    envelope
}

proptest! {
    #[test]
    fn an_envelope_reads_back_as_it_was(envelope in envelope()) {
        assert_same(&read_within_bounds(&bytes_of(&envelope)).unwrap(), &envelope);
    }

    #[test]
    fn any_bytes_are_an_envelope_or_none(bytes in vec(any::<u8>(), 0..300)) {
        read_within_bounds(&bytes);
        read_within_bounds(&[&[VERSION], &bytes[..]].concat());
    }

    #[test]
    fn what_is_left_of_an_envelope_is_one_or_none(
        envelope in envelope(),
        at: prop::sample::Index,
        put: u8,
        rest in vec(any::<u8>(), 0..9),
    ) {
        let whole = bytes_of(&envelope);
        let at = at.index(whole.len());
        let mut changed = whole.clone();
        changed[at] = put;
        read_within_bounds(&changed);
        read_within_bounds(&[&whole[..at], &rest[..], &whole[at..]].concat());
        prop_assert!(read_within_bounds(&whole[..at]).is_none());
        prop_assert_eq!(read_within_bounds(&[&whole[..], &rest[..]].concat()).is_some(), rest.is_empty());
    }
}

#[test]
fn numbers_that_promise_much_take_no_more_than_the_bytes_that_are_there() {
    let whole = bytes_of(&Envelope::new(Message::new(id("m"), Payload::empty()), NOW));
    let (much, five_thousand) = ([0xff, 0xff, 0xff, 0xff, 0x0f], [0x88, 0x27]);
    for at in 1..whole.len() {
        read_within_bounds(&[&whole[..at], &much, &whole[at + 1..]].concat());
        read_within_bounds(&[&whole[..at], &much, &[0; 5_000]].concat());
        read_within_bounds(&[&whole[..at], &five_thousand[..], &[0; 5_000]].concat());
    }
}
