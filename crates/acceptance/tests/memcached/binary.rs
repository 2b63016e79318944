//! The binary protocol: the same packets to memcached and to our front, chosen and random, whole or in pieces; every byte of the
//! answers compared but versions, which are compared as which equal which.

use std::net::SocketAddr;

use forebay_acceptance::front::Front;
use forebay_acceptance::memcached::near::NearFront;
use forebay_acceptance::memcached::packets::{Conversation, Packet, Renaming};
use forebay_acceptance::programs::torture;
use forebay_acceptance::random::Random;
use forebay_acceptance::raw::{Raw, converse};
use forebay_contract::servers::memcached::Memcached;

const MIB: usize = 1024 * 1024;
/// An end of life far enough from now that no second that passes matters.
const FAR: u32 = 7500;
/// A version that nothing has.
const NEVER: u64 = 9_000_000_000_000_000_000;

const GET: u8 = 0x00;
const SET: u8 = 0x01;
const ADD: u8 = 0x02;
const REPLACE: u8 = 0x03;
const DELETE: u8 = 0x04;
const INCREMENT: u8 = 0x05;
const DECREMENT: u8 = 0x06;
const QUIT: u8 = 0x07;
const FLUSH: u8 = 0x08;
const GETQ: u8 = 0x09;
const NOOP: u8 = 0x0a;
const VERSION: u8 = 0x0b;
const GETK: u8 = 0x0c;
const GETKQ: u8 = 0x0d;
const APPEND: u8 = 0x0e;
const PREPEND: u8 = 0x0f;
const STAT: u8 = 0x10;
const SETQ: u8 = 0x11;
const ADDQ: u8 = 0x12;
const REPLACEQ: u8 = 0x13;
const DELETEQ: u8 = 0x14;
const INCREMENTQ: u8 = 0x15;
const QUITQ: u8 = 0x17;
const FLUSHQ: u8 = 0x18;
const APPENDQ: u8 = 0x19;
const PREPENDQ: u8 = 0x1a;
const TOUCH: u8 = 0x1c;
const GAT: u8 = 0x1d;
const GATQ: u8 = 0x1e;
const SASL_LIST: u8 = 0x20;
const SASL_AUTH: u8 = 0x21;
const GATK: u8 = 0x23;
const GATKQ: u8 = 0x24;

fn plain(opcode: u8, key: &str) -> Packet {
    Packet::new(opcode).key(key.as_bytes())
}

fn store(opcode: u8, key: &str, value: &str) -> Packet {
    plain(opcode, key).extras(&[5, 0]).value(value.as_bytes())
}

fn extend(opcode: u8, key: &str, value: &str) -> Packet {
    plain(opcode, key).value(value.as_bytes())
}

fn touch(opcode: u8, key: &str) -> Packet {
    plain(opcode, key).extras(&[FAR])
}

fn count(opcode: u8, key: &str, delta: u32, initial: u32, exptime: u32) -> Packet {
    plain(opcode, key).extras(&[0, delta, 0, initial, exptime])
}

/// The answers to packets that are sent at once.
fn answers(address: SocketAddr, packets: &[Packet], cuts: &[usize]) -> Vec<String> {
    let bytes: Vec<u8> =
        packets.iter().enumerate().flat_map(|(place, packet)| packet.bytes(place as u32)).collect();
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut start = 0;
    let pieces: Vec<&[u8]> =
        ends.iter().map(|end| &bytes[std::mem::replace(&mut start, *end)..*end]).collect();
    Renaming::default().apply(packets, &converse(address, &pieces))
}

fn assert_same(ours: SocketAddr, theirs: SocketAddr, packets: &[Packet]) {
    let (answered, expected) = (answers(ours, packets, &[]), answers(theirs, packets, &[]));
    assert_eq!(answered, expected, "asked {packets:?}");
}

/// Cases without a flush, so that they mean the same before a shared store.
fn cases() -> Vec<Vec<Packet>> {
    let all_reads = |key: &str| {
        vec![
            plain(GET, key),
            plain(GETK, key),
            touch(TOUCH, key),
            touch(GAT, key),
            touch(GATK, key),
            plain(GETQ, key),
            plain(GETKQ, key),
            touch(GATQ, key),
            touch(GATKQ, key),
            plain(NOOP, ""),
        ]
    };
    vec![
        [vec![store(SET, "a", "value")], all_reads("a"), all_reads("none")].concat(),
        vec![
            store(ADD, "a", "x"),
            store(ADDQ, "a", "x"),
            store(REPLACE, "none", "x"),
            store(REPLACEQ, "none", "x"),
            store(ADD, "b", "x"),
            store(REPLACE, "b", "yy"),
            store(SETQ, "b", "z"),
            plain(GET, "b"),
        ],
        vec![
            store(SET, "a", "x").compare(NEVER),
            store(SET, "none", "x").compare(NEVER),
            store(ADD, "none", "x").compare(NEVER),
            store(ADD, "a", "x").compare(NEVER),
            store(REPLACE, "a", "x").compare(NEVER),
            store(SETQ, "none", "x").compare(NEVER),
            plain(DELETE, "a").compare(NEVER),
            extend(APPEND, "a", "x").compare(NEVER),
            extend(PREPENDQ, "a", "x").compare(NEVER),
            extend(APPEND, "none", "x").compare(NEVER),
        ],
        vec![
            extend(APPEND, "a", "++"),
            extend(PREPEND, "a", "--"),
            extend(APPENDQ, "a", "q"),
            extend(APPEND, "none", "x"),
            extend(APPENDQ, "none", "x"),
            extend(PREPENDQ, "none", "x"),
            plain(GETK, "a"),
        ],
        vec![
            count(INCREMENT, "none", 1, 7, u32::MAX),
            count(INCREMENTQ, "none", 1, 7, u32::MAX),
            count(INCREMENT, "n", 1, 7, 0),
            count(INCREMENT, "n", 2, 7, 0),
            count(INCREMENTQ, "n", 2, 7, 0),
            plain(GET, "n"),
            count(DECREMENT, "m", 1, 9, FAR),
            count(DECREMENT, "m", 2, 9, FAR),
            count(DECREMENT, "m", 200, 9, FAR),
            count(INCREMENT, "a", 1, 1, 0),
            count(INCREMENTQ, "a", 1, 1, 0),
        ],
        vec![
            plain(DELETE, "none"),
            plain(DELETEQ, "none"),
            plain(DELETEQ, "n"),
            plain(DELETE, "b"),
            plain(GET, "b"),
        ],
        vec![
            store(SET, "e", ""),
            plain(GET, "e"),
            plain(GETK, "e"),
            extend(APPEND, "e", ""),
            plain(GET, "e"),
        ],
        vec![Packet { extras: vec![0; 8], ..plain(SET, "wide") }.value(&[0; 70_000]), plain(GET, "wide")],
        vec![
            store(SET, "large", "x"),
            plain(SET, "large").extras(&[0, 0]).value(&vec![b'x'; MIB]),
            plain(GET, "large"),
            plain(ADD, "large").extras(&[0, 0]).value(&vec![b'x'; MIB]),
            plain(SETQ, "large").extras(&[0, 0]).value(&vec![b'x'; MIB]),
            plain(APPEND, "a").value(&vec![b'x'; MIB]),
            plain(GET, "a"),
        ],
        vec![plain(GET, &"k".repeat(250)), plain(NOOP, "")],
        vec![
            Packet::new(VERSION),
            Packet::new(NOOP),
            Packet::new(0x1b),
            Packet::new(0x55).value(b"abcd"),
            Packet::new(NOOP),
        ],
        vec![Packet::new(SASL_LIST), plain(SASL_AUTH, "PLAIN").value(b"\0user\0secret"), Packet::new(NOOP)],
        vec![Packet::new(QUIT), Packet::new(NOOP)],
        vec![Packet::new(QUITQ), Packet::new(NOOP)],
        vec![plain(STAT, "bogus"), plain(STAT, "conns"), plain(STAT, "reset"), plain(STAT, "sizes")],
    ]
}

/// What does not fit its opcode. Each ends its connection.
fn faults() -> Vec<Packet> {
    vec![
        plain(GET, ""),
        plain(GET, "k").value(b"v"),
        plain(GET, "k").extras(&[1]),
        plain(GET, &"k".repeat(251)),
        plain(SET, "k").value(b"v"),
        plain(SET, "").extras(&[0, 0]).value(b"v"),
        plain(DELETE, "k").extras(&[0]),
        plain(INCREMENT, "k").extras(&[0, 1]),
        plain(QUIT, "k"),
        plain(FLUSH, "k"),
        plain(NOOP, "k"),
        plain(VERSION, "k"),
        store(APPEND, "k", "v"),
        plain(STAT, "").extras(&[0]),
        plain(GAT, "k"),
        plain(SASL_LIST, "k"),
        plain(SASL_AUTH, ""),
    ]
}

#[test]
fn chosen_packets_are_answered_alike() {
    let (memcached, front) = (Memcached::start(), Front::start());
    for packets in cases() {
        assert_same(front.address, memcached.address, &packets);
    }
    for packet in faults() {
        assert_same(front.address, memcached.address, &[packet]);
    }
    let flushed = [
        store(SET, "a", "x"),
        Packet::new(FLUSH),
        plain(GET, "a"),
        Packet::new(FLUSH).extras(&[0]),
        Packet::new(FLUSHQ),
        Packet::new(NOOP),
        store(SET, "a b\r\n\0", "x"),
        plain(GETK, "a b\r\n\0"),
    ];
    assert_same(front.address, memcached.address, &flushed);
}

#[test]
fn chosen_packets_are_answered_alike_before_a_shared_store() {
    let (memcached, shared) = (Memcached::start(), Memcached::start());
    let front = NearFront::start(&[shared.address]);
    for packets in cases() {
        // Which version a counter then has is not known, and neither is the version of what another process has changed.
        let show = |address| -> Vec<String> {
            let shown = answers(address, &packets, &[]);
            shown
                .into_iter()
                .map(|line| {
                    line.split(", version ")
                        .map(|part| part.split_once(", ").map_or(part, |(_, rest)| rest))
                        .collect()
                })
                .collect()
        };
        assert_eq!(show(front.address), show(memcached.address), "asked {packets:?}");
    }
}

#[test]
fn a_flush_before_a_shared_store_is_refused_in_words() {
    let shared = Memcached::start();
    let front = NearFront::start(&[shared.address]);
    let shown = answers(front.address, &[Packet::new(FLUSH), Packet::new(NOOP)], &[]);
    assert!(shown[0].contains("0x83") && shown[0].contains("flush the shared store itself"), "{shown:?}");
    assert_eq!(shown.len(), 2);
}

#[test]
fn numbers_about_the_server_have_the_same_names() {
    let (memcached, front) = (Memcached::start(), Front::start());
    let names = |address, section: &str| -> Vec<String> {
        let packets = [store(SETQ, "a", "x"), plain(STAT, section)];
        let shown = answers(address, &packets, &[]);
        shown.iter().map(|line| line.split(' ').nth(7).unwrap_or_default().to_owned()).collect()
    };
    for section in ["", "settings", "items", "slabs", "sizes"] {
        let (ours, theirs) = (names(front.address, section), names(memcached.address, section));
        assert_eq!(ours, theirs, "stats {section}");
        assert!(ours.len() > 1);
    }
}

/// memcached takes so much of what follows for the rest of such a packet as its key and extras are long, and so loses its place.
#[test]
fn an_unknown_opcode_costs_nobody_the_next_request() {
    let front = Front::start();
    let packets = [Packet::new(0x1b).extras(&[1]), plain(0x55, "key").value(b"value"), Packet::new(NOOP)];
    let shown = answers(front.address, &packets, &[]);
    assert_eq!(shown.len(), 3, "{shown:?}");
    assert!(
        shown[0].contains("0x81")
            && shown[1].contains("Unknown command")
            && shown[2].starts_with("0x0a of 2: 0x0")
    );
}

#[test]
fn what_is_no_packet_ends_the_connection() {
    let front = Front::start();
    let noop = Packet::new(NOOP).bytes(1);
    let mut raw = Raw::connect(front.address);
    raw.send(&[&noop[..], b"version\r\n"].concat());
    assert_eq!(raw.finish().len(), noop.len());
    // The first byte decides.
    assert_eq!(converse(front.address, &[b"\x81\r\n"]), b"ERROR\r\n");
    assert_eq!(converse(front.address, &[&noop[..10]]), b"");
}

struct Stream {
    random: Random,
    /// Versions that a server has shown may be asked for.
    sees: bool,
}

impl Stream {
    fn packet(&mut self, version_of: &dyn Fn(&[u8]) -> u64) -> Packet {
        let random = &mut self.random;
        let key = random.pick(&["a", "b", "c", "d"]);
        let compare = match random.below(6) {
            0 => NEVER,
            1 if self.sees => version_of(key.as_bytes()),
            _ => 0,
        };
        let exptime = random.pick(&["0", "1500", "90500"]).parse().unwrap();
        let length = if random.once_in(20) { 3000 } else { random.below(80) };
        let mut value = random.bytes(length);
        // Not a number by chance.
        if let Some(first) = value.first_mut() {
            *first |= 0x40;
        }
        let opcode = |random: &mut Random, opcodes: &[u8]| opcodes[random.below(opcodes.len())];
        match random.below(12) {
            0..4 => {
                let opcode = opcode(random, &[SET, SET, SETQ, ADD, ADDQ, REPLACE, REPLACEQ]);
                plain(opcode, key)
                    .extras(&[random.below(1000) as u32, exptime])
                    .value(&value)
                    .compare(compare)
            }
            4 => {
                let opcode = opcode(random, &[APPEND, APPENDQ, PREPEND, PREPENDQ]);
                plain(opcode, key).value(&value).compare(compare)
            }
            5 | 6 => plain(opcode(random, &[GET, GETQ, GETK, GETKQ]), key),
            7 => plain(opcode(random, &[TOUCH, GAT, GATQ, GATK, GATKQ]), key).extras(&[exptime]),
            8 => plain(opcode(random, &[DELETE, DELETEQ]), key).compare(compare),
            // Where a number gets shorter, memcached's answer depends on what else it is doing.
            9 | 10 => {
                let opcode = opcode(random, &[INCREMENT, INCREMENT, INCREMENTQ]);
                let exptime = if random.once_in(4) { u32::MAX } else { exptime };
                let key = random.pick(&["n", "m", "a"]);
                count(opcode, key, random.below(50) as u32, random.below(50) as u32, exptime)
            }
            _ if random.once_in(10) => Packet::new(opcode(random, &[FLUSH, FLUSHQ])),
            _ if random.once_in(10) => faults()[random.below(faults().len())].clone(),
            _ => Packet::new(opcode(random, &[NOOP, VERSION, 0x1b, 0x25, 0xff])),
        }
    }
}

fn rounds(quick: u64) -> u64 {
    if torture() { quick * 50 } else { quick }
}

#[test]
fn one_request_after_another_is_answered_alike() {
    let (memcached, front) = (Memcached::start(), Front::start());
    for seed in 0..rounds(40) {
        let mut stream = Stream { random: Random::new(seed), sees: true };
        let (mut theirs, mut ours) =
            (Conversation::with(memcached.address), Conversation::with(front.address));
        let flush = Packet::new(FLUSH);
        assert_eq!(ours.ask(&flush), theirs.ask(&flush));
        for _ in 0..150 {
            // The same question, each with its own version.
            let random = stream.random.clone();
            let to_us = stream.packet(&|key| ours.version_of(key));
            stream.random = random;
            let to_them = stream.packet(&|key| theirs.version_of(key));
            let (answered, expected) = (ours.ask(&to_us), theirs.ask(&to_them));
            assert_eq!(answered, expected, "seed {seed}, asked {to_us:?}");
            if !answered.1 {
                break;
            }
        }
    }
}

#[test]
fn everything_at_once_or_in_pieces_is_answered_alike() {
    let (memcached, front) = (Memcached::start(), Front::start());
    for seed in 0..rounds(200) {
        let mut stream = Stream { random: Random::new(1_000_000 + seed), sees: false };
        let mut packets = vec![Packet::new(FLUSH)];
        for _ in 0..stream.random.below(80) {
            let packet = stream.packet(&|_| NEVER);
            // memcached drops what it has not sent where it ends a connection.
            if faults().iter().all(|fault| fault.bytes(0) != packet.bytes(0)) {
                packets.push(packet);
            }
        }
        let cuts: Vec<usize> = (0..stream.random.below(10)).map(|_| stream.random.below(20_000)).collect();
        let expected = answers(memcached.address, &packets, &[]);
        let answered = answers(front.address, &packets, &cuts);
        assert_eq!(answered, expected, "seed {seed}");
    }
}
