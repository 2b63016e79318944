//! Many connections, many queues, and clients that take without giving: the daemon serves others and stays small.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use forebay_acceptance::amqp::bytes::{Client, Frame, consume, declare, get, method, open_channel, publish};
use forebay_acceptance::daemon::Daemon;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const MIB: u64 = 1 << 20;
/// Bystanders are answered within this, whatever others do.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Opens a connection with a channel.
fn opened(amqp: SocketAddr) -> Client {
    let mut client = Client::open(amqp);
    client.ask(&open_channel(1), (20, 11));
    client
}

/// Declares a durable queue and returns how many messages it has.
fn messages(client: &mut Client, queue: &str, flags: u8) -> u32 {
    let frame = client.ask(&declare(1, queue, flags), (50, 11));
    let counts = &frame.payload[5 + queue.len()..];
    u32::from_be_bytes(counts[..4].try_into().unwrap())
}

/// A new client publishes and gets back, in good time.
fn assert_served(amqp: SocketAddr) {
    let begun = Instant::now();
    let mut client = opened(amqp);
    messages(&mut client, "bystander", 2);
    client.send(&publish(1, "bystander", b"served"));
    client.ask(&get(1, "bystander"), (60, 71));
    assert_eq!(client.read().map(|frame| frame.kind), Some(2));
    assert_eq!(client.read(), Some(Frame { kind: 3, channel: 1, payload: b"served".to_vec() }));
    assert!(begun.elapsed() < ANSWER_MAX, "{:?}", begun.elapsed());
}

fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}

/// Ends a test: nothing in the daemon has panicked, and it stops.
fn end(daemon: Daemon) {
    assert_served(daemon.amqp);
    assert!(!daemon.panicked());
    assert!(daemon.stop(), "the daemon stops cleanly");
}

#[test]
fn a_thousand_connections_of_ten_channels_are_served() {
    const CONNECTIONS: usize = 1000;
    raise_descriptors();
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(data.path());
    let (amqp, before) = (daemon.amqp, daemon.resident_bytes());
    messages(&mut opened(amqp), "crowd", 2);
    let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| Client::open(amqp)).collect();
    let channels: Vec<u8> = (1..=10).flat_map(open_channel).collect();
    for client in &mut clients {
        client.send(&channels);
    }
    for client in &mut clients {
        for channel in 1..=10 {
            assert_eq!(client.expect((20, 11)).channel, channel);
        }
    }
    let each = daemon.resident_bytes().saturating_sub(before) / CONNECTIONS as u64;
    println!("{CONNECTIONS} connections of ten channels: {each} bytes each");
    assert!(each < 128 * 1024, "{each} bytes each");
    // All at once publish, and all consume: each is given one of the messages, since none acknowledges.
    for client in &mut clients {
        client.send(&method(10, (60, 10), &[0, 0, 0, 0, 0, 1, 0]));
        client.expect((60, 11));
        client.send(&[publish(9, "crowd", b"one"), consume(10, "crowd", 0)].concat());
    }
    for client in &mut clients {
        client.expect((60, 21));
        assert_eq!(client.expect((60, 60)).channel, 10);
    }
    drop(clients);
    end(daemon);
}

#[test]
fn ten_thousand_queues_are_there_after_a_kill() {
    const QUEUES: usize = 10_000;
    const CLIENTS: usize = 20;
    let data = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(data.path());
    let (amqp, begun) = (daemon.amqp, Instant::now());
    let names = |part: usize| (part..QUEUES).step_by(CLIENTS).map(|number| format!("queue-{number}"));
    thread::scope(|scope| {
        for part in 0..CLIENTS {
            scope.spawn(move || {
                let mut client = opened(amqp);
                client.ask(&method(1, (85, 10), &[0]), (85, 11));
                for queue in names(part) {
                    client.send(&declare(1, &queue, 2));
                    client.expect((50, 11));
                    client.send(&publish(1, &queue, queue.as_bytes()));
                    client.expect((60, 80));
                }
            });
        }
    });
    println!("{QUEUES} queues declared and published to in {:?}", begun.elapsed());
    let begun = Instant::now();
    daemon.kill();
    daemon.restart();
    println!("and there again in {:?}, in {} MiB", begun.elapsed(), daemon.resident_bytes() / MIB);
    let mut client = opened(amqp);
    for queue in (0..CLIENTS).flat_map(names) {
        client.ask(&get(1, &queue), (60, 71));
        assert_eq!(client.read().map(|frame| frame.kind), Some(2));
        assert_eq!(client.read().unwrap().payload, queue.as_bytes());
    }
    end(daemon);
}

#[test]
fn a_publisher_that_never_reads_is_not_read_either() {
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(data.path());
    let (mut client, before) = (opened(daemon.amqp), daemon.resident_bytes());
    // Each message goes nowhere, and is given back whole.
    let mut back = method(1, (60, 40), &[vec![0, 0], vec![0], b"\x06absent".to_vec(), vec![1]].concat());
    back.extend(publish(1, "absent", &[b'x'; 100_000]).split_off(back.len()));
    let mut sent = 0;
    for _ in 0..5_000 {
        let count = client.send_within(&back, Duration::from_secs(3));
        sent += count as u64;
        if count < back.len() {
            break;
        }
    }
    assert!(sent < 5_000 * back.len() as u64, "it is read for ever");
    let grown = daemon.resident_bytes().saturating_sub(before);
    println!("{} MiB were taken of it, the daemon grew by {} MiB", sent / MIB, grown / MIB);
    assert!(grown < 64 * MIB, "{} MiB", grown / MIB);
    assert_served(daemon.amqp);
    drop(client);
    end(daemon);
}

#[test]
fn a_consumer_that_never_acknowledges_keeps_the_daemon_small_and_loses_nothing() {
    const COUNT: u32 = 100_000;
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(data.path());
    let mut client = opened(daemon.amqp);
    messages(&mut client, "held", 2);
    for _ in 0..COUNT / 1000 {
        client.send(&publish(1, "held", &[b'x'; 1000]).repeat(1000));
    }
    assert_eq!(messages(&mut client, "held", 1), COUNT);
    let before = daemon.resident_bytes();
    let mut consumer = opened(daemon.amqp);
    consumer.ask(&consume(1, "held", 0), (60, 21));
    for _ in 0..COUNT {
        consumer.expect((60, 60));
        assert!(consumer.read().is_some() && consumer.read().is_some());
    }
    let each = daemon.resident_bytes().saturating_sub(before) / u64::from(COUNT);
    println!("{COUNT} deliveries that nobody settles: {each} bytes each");
    assert!(each < 1024, "{each} bytes each");
    assert_eq!(messages(&mut client, "held", 1), 0);
    drop(consumer);
    let begun = Instant::now();
    while messages(&mut client, "held", 1) < COUNT {
        assert!(begun.elapsed() < Duration::from_secs(30), "they are not given back");
        thread::yield_now();
    }
    end(daemon);
}

#[test]
fn connections_that_are_never_opened_are_closed_and_keep_nobody_out() {
    const EACH: usize = 50;
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(data.path());
    let begun = Instant::now();
    let halves: Vec<_> = ["", "AMQP", "AMQP\0\0\x09\x01"]
        .into_iter()
        .flat_map(|beginning| std::iter::repeat_n(beginning, EACH))
        .map(|beginning| {
            let mut client = Client::silent(daemon.amqp);
            client.send(beginning.as_bytes());
            client
        })
        .collect();
    assert_served(daemon.amqp);
    for client in halves {
        client.read_to_end();
    }
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    end(daemon);
}
