//! Bytes that are no AMQP, or not at this place: each has its reply code, RabbitMQ's where it has one; none harms another.

use std::net::SocketAddr;
use std::time::Duration;

use forebay_acceptance::amqp::bytes::{
    Client, HEADER, consume, content_header, declare, frame, get, long, method, open, open_channel, publish,
    publish_method, short, start_ok, tune_ok,
};
use forebay_acceptance::daemon::Daemon;
use forebay_acceptance::programs::torture;
use forebay_acceptance::random::Random;
use forebay_contract::servers::rabbitmq::RabbitMq;

/// A server that says nothing for so long will say nothing.
const SILENCE: Duration = Duration::from_secs(6);

/// How far a client has come before it sends a case.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing was said.
    Silent,
    /// The server has begun: it awaits `start-ok`.
    Started,
    /// It awaits `tune-ok`.
    Tuned,
    /// The connection is open.
    Open,
    /// Channel 1 is open, and there is the queue `q`.
    Channel,
}
use Stage::{Channel, Open, Silent, Started, Tuned};

/// What is answered first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// The header that the server would have liked to see, then the end.
    Header,
    /// The connection is closed with this code.
    ConnectionClosed(u16),
    /// The channel is closed with this code.
    ChannelClosed(u16),
    /// The end, without a word.
    End,
    /// Neither a word nor the end.
    Nothing,
    /// Anything else.
    Method(u16, u16),
}
use Answer::{ChannelClosed, ConnectionClosed, End, Header};

fn at(stage: Stage, address: SocketAddr) -> Client {
    let mut client = Client::silent(address);
    if stage == Silent {
        return client;
    }
    client.ask(HEADER, (10, 10));
    if stage == Started {
        return client;
    }
    client.ask(&start_ok(), (10, 30));
    if stage == Tuned {
        return client;
    }
    client.ask(&[tune_ok(2047, 131_072), open()].concat(), (10, 41));
    if stage == Channel {
        client.ask(&open_channel(1), (20, 11));
        client.ask(&declare(1, "q", 2), (50, 11));
    }
    client
}

fn answered(stage: Stage, bytes: &[u8], address: SocketAddr) -> Answer {
    let mut client = at(stage, address);
    client.send(bytes);
    if stage == Silent {
        return if client.read_to_end() == HEADER { Header } else { End };
    }
    match client.read_within(SILENCE) {
        Err(_) => Answer::Nothing,
        Ok(None) => End,
        Ok(Some(frame)) => match (frame.method(), frame.close_code()) {
            (Some((10, _)), Some(code)) => ConnectionClosed(code),
            (Some((20, _)), Some(code)) => ChannelClosed(code),
            (Some((class, method)), _) => Answer::Method(class, method),
            (None, _) => Answer::Method(0, u16::from(frame.kind)),
        },
    }
}

/// A method of channel 1 with a table of these bytes.
fn declare_with(table: &[u8]) -> Vec<u8> {
    method(1, (50, 10), &[vec![0, 0], short("q"), vec![2], long(table)].concat())
}

/// `start-ok` with these parts.
fn start_ok_of(properties: &[u8], mechanism: &str, response: &[u8]) -> Vec<u8> {
    method(0, (10, 11), &[long(properties), short(mechanism), long(response), short("en_US")].concat())
}

/// A table of tables, so deep.
fn deep_table(depth: usize) -> Vec<u8> {
    (0..depth).fold(Vec::new(), |inner, _| [&b"\x01tF"[..], &long(&inner)].concat())
}

fn concat(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.concat()
}

/// Name, stage, bytes, answer.
fn cases() -> Vec<(&'static str, Stage, Vec<u8>, Answer)> {
    let bad_end = |mut frame: Vec<u8>| {
        *frame.last_mut().unwrap() = 0;
        frame
    };
    vec![
        ("another protocol", Silent, b"GET / HTTP/1.1\r\n\r\n".to_vec(), Header),
        ("AMQP 1.0", Silent, b"AMQP\0\x01\0\0".to_vec(), Header),
        ("AMQP 0-9-2", Silent, b"AMQP\0\0\x09\x02".to_vec(), Header),
        ("a method before it is asked for", Started, open(), ConnectionClosed(503)),
        ("start-ok with a wrong end", Started, bad_end(start_ok()), End),
        ("a mechanism that is none", Started, start_ok_of(b"", "MAGIC", b""), ConnectionClosed(503)),
        ("tune-ok with a small frame", Tuned, tune_ok(0, 100), ConnectionClosed(530)),
        ("tune-ok with a large frame", Tuned, tune_ok(0, 1 << 30), ConnectionClosed(530)),
        ("a frame on channel 0 that is a body", Open, frame(3, 0, b"x"), ConnectionClosed(505)),
        ("a frame of no known kind", Open, frame(7, 0, b""), ConnectionClosed(501)),
        ("a frame with a wrong end", Open, bad_end(open_channel(1)), ConnectionClosed(501)),
        ("an empty method", Channel, frame(1, 1, b""), ConnectionClosed(501)),
        ("half a method's number", Channel, frame(1, 1, &[0, 50, 0]), ConnectionClosed(501)),
        ("a class that is none", Channel, method(1, (99, 10), b""), ConnectionClosed(503)),
        ("a method that is none", Channel, method(1, (50, 99), b""), ConnectionClosed(503)),
        ("a method cut short", Channel, method(1, (50, 10), &[0, 0, 9, b'q']), ConnectionClosed(501)),
        ("a table cut short", Channel, declare_with(b"\x05x-m"), ConnectionClosed(502)),
        ("a table's value of no known type", Channel, declare_with(b"\x01a?1"), ConnectionClosed(502)),
        (
            "a table that says more than there is",
            Channel,
            declare_with(b"\x01aS\xff\xff\xff\xff"),
            ConnectionClosed(502),
        ),
        ("a heartbeat on a channel", Channel, frame(8, 1, b""), ConnectionClosed(505)),
        ("channel 0 opened", Open, open_channel(0), ConnectionClosed(504)),
        ("a channel above the limit", Open, open_channel(2048), ConnectionClosed(530)),
        ("a method on a channel not open", Open, declare(5, "q", 0), ConnectionClosed(504)),
        ("a body before its method", Channel, frame(3, 1, b"x"), ConnectionClosed(505)),
        (
            "a method instead of a header",
            Channel,
            concat(&[publish_method(1, "q"), get(1, "q")]),
            ConnectionClosed(505),
        ),
        (
            "a header instead of a body",
            Channel,
            concat(&[publish_method(1, "q"), content_header(1, 60, 5), content_header(1, 60, 5)]),
            ConnectionClosed(505),
        ),
        (
            "a header of another class",
            Channel,
            concat(&[publish_method(1, "q"), content_header(1, 50, 0)]),
            ConnectionClosed(505),
        ),
        (
            "a header cut short",
            Channel,
            concat(&[publish_method(1, "q"), frame(2, 1, &[0, 60, 0])]),
            ConnectionClosed(501),
        ),
        (
            "more body than was said",
            Channel,
            concat(&[publish_method(1, "q"), content_header(1, 60, 2), frame(3, 1, b"three")]),
            ConnectionClosed(501),
        ),
        (
            "a body larger than any",
            Channel,
            concat(&[publish_method(1, "q"), content_header(1, 60, u64::MAX)]),
            ChannelClosed(406),
        ),
        ("a queue that is not there", Channel, get(1, "absent"), ChannelClosed(404)),
        ("a consumer of none", Channel, consume(1, "absent", 0), ChannelClosed(404)),
        (
            "a tag nobody was given",
            Channel,
            method(1, (60, 80), &[0, 0, 0, 0, 0, 0, 0, 9, 0]),
            ChannelClosed(406),
        ),
        ("a queue declared otherwise", Channel, declare(1, "q", 0), ChannelClosed(406)),
        (
            "immediate",
            Channel,
            concat(&[method(1, (60, 40), &[0, 0, 0, 1, b'q', 2]), content_header(1, 60, 0)]),
            ConnectionClosed(540),
        ),
        ("prefetch by size", Channel, method(1, (60, 10), &[0, 0, 0, 1, 0, 0, 0]), ConnectionClosed(540)),
    ]
}

/// Where RabbitMQ answers otherwise. Mostly it cuts the line where we say why.
const RABBITMQ: &[(&str, Answer)] = &[
    ("a method before it is asked for", End),
    ("a mechanism that is none", End),
    ("tune-ok with a small frame", End),
    ("tune-ok with a large frame", End),
    ("a class that is none", End),
    ("a method that is none", End),
    ("a table cut short", End),
    ("a table's value of no known type", End),
    ("a table that says more than there is", End),
    // It counts channels, and does not mind their numbers.
    ("a channel above the limit", Answer::Method(20, 11)),
    // It waits for more.
    ("more body than was said", Answer::Nothing),
    ("a body larger than any", Answer::Nothing),
];

/// The cases that are answered otherwise than the table says, but for those in `excepted`.
fn differing(address: SocketAddr, excepted: &[(&str, Answer)]) -> Vec<String> {
    let mut differing = Vec::new();
    for (name, stage, bytes, expected) in cases() {
        let excepted = excepted.iter().find(|(excepted, _)| *excepted == name);
        let expected = excepted.map_or(expected, |(_, answer)| *answer);
        let answer = answered(stage, &bytes, address);
        if answer != expected {
            differing.push(format!("{name}: {answer:?}, expected {expected:?}"));
        }
    }
    differing
}

#[test]
fn rabbitmq_answers_malformed_frames_as_the_table_says() {
    let rabbitmq = RabbitMq::start();
    assert_eq!(differing(rabbitmq.address, RABBITMQ), Vec::<String>::new());
}

#[test]
fn every_malformed_frame_is_answered_with_its_code() {
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(data.path());
    assert_eq!(differing(daemon.amqp, &[]), Vec::<String>::new());
    assert!(!daemon.panicked());
    assert!(daemon.stop(), "the daemon stops cleanly");
}

#[test]
fn a_table_as_deep_as_a_frame_is_refused_before_anyone_has_logged_in() {
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(data.path());
    for depth in [100, 1_000, 9_000] {
        let mut client = at(Started, daemon.amqp);
        client.send(&start_ok_of(&deep_table(depth), "PLAIN", b"\0guest\0guest"));
        let answer = client.read();
        assert!(answer.is_none_or(|frame| frame.close_code().is_some()), "{depth}");
        client.finish();
    }
    assert!(!daemon.panicked());
    assert!(daemon.stop(), "the daemon stops cleanly");
}

/// What a client in good order would send from here on.
fn conversation(stage: Stage) -> Vec<Vec<u8>> {
    let begin = [HEADER.to_vec(), start_ok(), tune_ok(2047, 131_072), open(), open_channel(1)];
    let done = match stage {
        Silent => 0,
        Started => 1,
        Tuned => 2,
        Open => 4,
        Channel => 5,
    };
    let rest = [
        declare(1, "random", 2),
        declare_with(&deep_table(5)),
        method(1, (40, 10), &[vec![0, 0], short("random"), short("topic"), vec![2], long(b"")].concat()),
        method(
            1,
            (50, 20),
            &[vec![0, 0], short("q"), short("random"), short("a.#"), vec![0], long(b"")].concat(),
        ),
        method(1, (85, 10), &[0]),
        publish(1, "random", b"a body"),
        publish(1, "random", &[b'x'; 3000]),
        consume(1, "random", 0),
        method(1, (60, 80), &[0, 0, 0, 0, 0, 0, 0, 1, 1]),
        get(1, "q"),
        method(1, (20, 40), &[0, 200, 0, 0, 0, 0, 0]),
        frame(8, 0, b""),
    ];
    begin.into_iter().skip(done).chain(rest).collect()
}

/// Changes a conversation here and there: bytes, lengths, order.
fn spoil(mut frames: Vec<Vec<u8>>, random: &mut Random) -> Vec<u8> {
    for _ in 0..=random.below(4) {
        let place = random.below(frames.len());
        let length = frames[place].len();
        match random.below(6) {
            0 => frames[place][random.below(length)] = random.bits() as u8,
            1 => frames[place][random.below(length)] ^= 1 << random.below(8),
            2 => frames[place].truncate(random.below(length) + 1),
            3 => frames.swap(place, 0),
            4 => frames.insert(place, frames[random.below(frames.len())].clone()),
            _ => {
                let count = random.below(300) + 1;
                frames[place] = random.bytes(count);
            }
        }
    }
    frames.concat()
}

#[test]
fn random_bytes_before_and_after_login_harm_nobody() {
    let rounds = if torture() { 100_000 } else { 3_000 };
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(data.path());
    let mut random = Random::new(4);
    let mut bystander = at(Channel, daemon.amqp);
    // Exclusive: what the random ones ask for cannot take anything out of it.
    bystander.ask(&declare(1, "mine", 4), (50, 11));
    let before = daemon.resident_bytes();
    for round in 0..rounds {
        let stage = [Silent, Started, Tuned, Open, Channel][round % 5];
        let mut client = at(stage, daemon.amqp);
        client.send(&spoil(conversation(stage), &mut random));
        if random.once_in(2) {
            client.finish();
        }
        bystander.send(&publish(1, "mine", b"served"));
        bystander.ask(&get(1, "mine"), (60, 71));
        assert!(bystander.read().is_some() && bystander.read().is_some(), "round {round}");
        assert!(!daemon.panicked(), "round {round}");
    }
    let grown = daemon.resident_bytes().saturating_sub(before) >> 20;
    assert!(grown < 128, "{grown} MiB more after {rounds} rounds");
    assert!(!daemon.panicked());
    assert!(daemon.stop(), "the daemon stops cleanly");
}
