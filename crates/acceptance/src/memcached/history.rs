//! What several clients saw of one key each moment, over the wire: the calls that `forebay_contract` looks for an order of.
//!
//! Values, flags and versions are the server's words. Ends of life and marks of use are left out of what is asked, so they are
//! the same in every call: entries last, and no look leaves a trace.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;

use forebay_contract::store::ask::{START, Seen};
use forebay_contract::store::linear::search::Call;
use forebay_contract::store::linear::sequential::{Answer, Asked};
use forebay_core::entry::{
    Arithmetic, Claim, Condition, Counted, Delete, Deleted, Mode, Read, State, Step, Version, Write, Written,
};

use crate::memcached::packets::{Exchange, Packet};
use crate::random::Random;
use crate::raw::{Raw, text};

/// None is empty: memcached reads on behind such a one when it counts.
const VALUES: [&str; 4] = ["0", "41", "x", "18446744073709551615"];
/// Those from which no step makes a shorter number.
const GROWING: [&str; 3] = ["7", "41", "x"];
/// Where a counter begins that is made, and what lies between two of them: who is shown such a number has made the counter.
const FIRST: u64 = 1_000_000_000_000_000;
const FIRST_STEP: u64 = 1_000_000;
/// Of the binary protocol: there is none, the value is not to be stored, the version differs, it is no number.
const NOT_FOUND: u16 = 1;
const EXISTS: u16 = 2;
const NOT_STORED: u16 = 5;
const NOT_NUMBER: u16 = 6;
/// How often that may be so one time after another.
const RACES_MAX: usize = 100;

/// How a history is made.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// All random choices follow from it; how the clients meet does not.
    pub seed: u64,
    /// Clients, each with a connection of its own; every second one speaks the binary protocol.
    pub clients: usize,
    /// Calls of each.
    pub calls: usize,
    /// Keys on which they meet.
    pub keys: usize,
    /// Numbers only grow. One that becomes shorter keeps its length in memcached unless somebody else is at the item.
    pub grows: bool,
}

/// Lets the clients loose on a server and writes down what each saw of each key.
pub fn record(address: SocketAddr, plan: Plan) -> Vec<Vec<Vec<Call>>> {
    let (ticks, start) = (AtomicU64::new(0), Barrier::new(plan.clients));
    let by_client: Vec<Vec<Vec<Call>>> = thread::scope(|scope| {
        let clients: Vec<_> = (0..plan.clients)
            .map(|number| {
                let (ticks, start) = (&ticks, &start);
                scope.spawn(move || {
                    let seed = plan.seed.wrapping_mul(31).wrapping_add(number as u64);
                    let client = Client {
                        number,
                        of: plan.clients,
                        speaks: if number % 2 == 0 { Speaks::text(address) } else { Speaks::binary(address) },
                        ticks,
                        random: Random::new(seed),
                        known: HashMap::new(),
                    };
                    start.wait();
                    client.run(plan)
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("a client does not panic")).collect()
    });
    let of_key = |key: usize| by_client.iter().filter_map(|keys| keys.get(key).cloned()).collect();
    (0..plan.keys).map(of_key).collect()
}

struct Client<'a> {
    /// Which of the clients it is, and how many there are.
    number: usize,
    of: usize,
    speaks: Speaks,
    ticks: &'a AtomicU64,
    random: Random,
    /// The version that it last saw of a key.
    known: HashMap<usize, Version>,
}

impl Client<'_> {
    fn run(mut self, plan: Plan) -> Vec<Vec<Call>> {
        let mut calls = vec![Vec::new(); plan.keys];
        for _ in 0..plan.calls {
            let key = self.random.below(plan.keys);
            let asked = self.choose(key, plan.grows);
            let name = format!("key{key}-{}", plan.seed);
            let began = self.ticks.fetch_add(1, SeqCst);
            let answer = self.speaks.answer(&name, &asked);
            let ended = self.ticks.fetch_add(1, SeqCst);
            match &answer {
                Answer::Read(Some(Seen { version, .. }))
                | Answer::Write(Written::Stored(version))
                | Answer::Count(Counted::Value { version, .. }) => _ = self.known.insert(key, *version),
                _ => {}
            }
            calls[key].push(Call { asked, answer, began, ended });
        }
        calls
    }

    /// The number of a counter that it would make: no other client has it, nor do steps from another one lead there.
    fn first(&self) -> u64 {
        FIRST + FIRST_STEP * (self.ticks.load(SeqCst) * self.of as u64 + self.number as u64)
    }

    fn choose(&mut self, key: usize, grows: bool) -> Asked {
        let known = self.known.get(&key).copied().unwrap_or(Version(u64::MAX / 2));
        let values: &[&str] = if grows { &GROWING } else { &VALUES };
        let value = self.random.pick(values).as_bytes().to_vec();
        let flags = self.random.below(3) as u32;
        let write = |mode, condition| Asked::Write {
            value: value.clone(),
            write: Write { flags, mode, condition, ..Write::at(START) },
            lease: None,
        };
        let count = Arithmetic {
            now: START,
            delta: self.random.below(12) as u64,
            step: if !grows && self.random.once_in(3) { Step::Down } else { Step::Up },
            version: None,
            create: self.random.once_in(2).then_some((self.first(), None)),
            touch: None,
            named: None,
        };
        match self.random.below(20) {
            0..=5 => Asked::Read(Read { counts: false, refresh_below_ms: None, ..Read::at(START) }),
            6..=7 => write(Mode::Set, Condition::None),
            8..=9 => write(Mode::Add, Condition::None),
            10 => write(Mode::Replace, Condition::None),
            11 => write(Mode::Append, Condition::None),
            12 => write(Mode::Prepend, Condition::None),
            13..=14 => write(Mode::Set, Condition::Version(known)),
            15..=17 => Asked::Count(count),
            18 => Asked::Delete(Delete { version: Some(known), ..Delete::at(START) }),
            _ => Asked::Delete(Delete::at(START)),
        }
    }
}

/// One connection, in one of the protocols.
enum Speaks {
    Text(Raw),
    Binary(Exchange),
}

impl Speaks {
    fn text(address: SocketAddr) -> Self {
        Self::Text(Raw::connect(address))
    }

    fn binary(address: SocketAddr) -> Self {
        Self::Binary(Exchange::connect(address))
    }

    fn answer(&mut self, key: &str, asked: &Asked) -> Answer {
        match self {
            Self::Text(raw) => in_text(raw, key, asked),
            Self::Binary(exchange) => in_packets(exchange, key, asked),
        }
    }
}

fn seen(value: &[u8], flags: u32, version: u64) -> Answer {
    Answer::Read(Some(Seen {
        value: value.to_vec(),
        flags,
        version: Version(version),
        expires_at: None,
        state: State::Fresh,
        claim: Claim::None,
        read_before: false,
        accessed_at: START,
    }))
}

/// In meta commands, which say the version that a write was given.
fn in_text(raw: &mut Raw, key: &str, asked: &Asked) -> Answer {
    match asked {
        Asked::Read(_) => {
            let answer = line(raw, &format!("gets {key}\r\n"));
            let Some(head) = answer.strip_prefix("VALUE ") else {
                assert_eq!(answer, "END");
                return Answer::Read(None);
            };
            let words: Vec<u64> =
                head.split(' ').skip(1).map(|word| word.parse().expect("a number")).collect();
            let [flags, length, version] = words[..] else { panic!("{head}") };
            let body = raw.read_exactly(length as usize + 2 + "END\r\n".len());
            seen(&body[..length as usize], flags as u32, version)
        }
        Asked::Write { value, write, .. } => {
            let mode = match write.mode {
                Mode::Set => "",
                Mode::Add => " ME",
                Mode::Replace => " MR",
                Mode::Append => " MA",
                Mode::Prepend => " MP",
            };
            let compare = match write.condition {
                Condition::Version(version) => format!(" C{}", version.0),
                _ => String::new(),
            };
            let (length, flags) = (value.len(), write.flags);
            let value = String::from_utf8_lossy(value);
            let answer = line(raw, &format!("ms {key} {length} c F{flags}{mode}{compare}\r\n{value}\r\n"));
            Answer::Write(match answer.split_at(2) {
                ("HD", version) => Written::Stored(version_in(version)),
                ("NS", _) => Written::NotStored,
                ("EX", _) => Written::Exists,
                ("NF", _) => Written::NotFound,
                _ => panic!("{answer}"),
            })
        }
        Asked::Delete(delete) => {
            let compare = delete.version.map_or_else(String::new, |version| format!(" C{}", version.0));
            deleted(&line(raw, &format!("md {key}{compare}\r\n")))
        }
        Asked::Count(count) => {
            let is_first = |number| count.create.is_some_and(|(first, _)| first == number);
            let mode = if count.step == Step::Up { "I" } else { "D" };
            let create = count.create.map_or_else(String::new, |(first, _)| format!(" N0 J{first}"));
            let answer = line(raw, &format!("ma {key} c v M{mode} D{}{create}\r\n", count.delta));
            Answer::Count(match answer.split_at(2) {
                ("VA", words) => {
                    let mut words = words.split_ascii_whitespace();
                    let length: usize = words.next().and_then(|word| word.parse().ok()).expect("a length");
                    let version = version_in(words.next().unwrap_or_default());
                    let body = raw.read_exactly(length + 2);
                    let number = String::from_utf8_lossy(&body[..length]).parse().expect("a number");
                    Counted::Value { number, version, expires_at: None, created: is_first(number) }
                }
                ("NF", _) => Counted::NotFound,
                ("CL", _) => Counted::NotNumber,
                _ => panic!("{answer}"),
            })
        }
        Asked::Lease(_) => panic!("there are none over the wire"),
    }
}

fn line(raw: &mut Raw, question: &str) -> String {
    raw.send(question.as_bytes());
    raw.read_line()
}

fn version_in(words: &str) -> Version {
    let number = words.trim().strip_prefix('c').and_then(|number| number.parse().ok());
    Version(number.expect("a version"))
}

fn deleted(answer: &str) -> Answer {
    Answer::Delete(match answer {
        "HD" => Deleted::Done,
        "NF" => Deleted::NotFound,
        "EX" => Deleted::Exists,
        _ => panic!("{answer}"),
    })
}

fn in_packets(exchange: &mut Exchange, key: &str, asked: &Asked) -> Answer {
    let packet = |opcode| Packet::new(opcode).key(key.as_bytes());
    match asked {
        Asked::Read(_) => {
            let answer = exchange.ask(&packet(0x00));
            match answer.status {
                0 => {
                    let flags = answer.extras.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
                    seen(&answer.value, flags, answer.version)
                }
                NOT_FOUND => Answer::Read(None),
                other => panic!("{other:#x}"),
            }
        }
        Asked::Write { value, write, .. } => {
            let opcode = match write.mode {
                Mode::Set => 0x01,
                Mode::Add => 0x02,
                Mode::Replace => 0x03,
                Mode::Append => 0x0e,
                Mode::Prepend => 0x0f,
            };
            let extends = matches!(write.mode, Mode::Append | Mode::Prepend);
            let extras: &[u32] = if extends { &[] } else { &[write.flags, 0] };
            let compare = match write.condition {
                Condition::Version(version) => version.0,
                _ => 0,
            };
            let answer = exchange.ask(&packet(opcode).extras(extras).value(value).compare(compare));
            Answer::Write(match (answer.status, write.mode, write.condition) {
                (0, ..) => Written::Stored(Version(answer.version)),
                (NOT_FOUND, _, Condition::Version(_)) => Written::NotFound,
                (EXISTS, _, Condition::Version(_)) => Written::Exists,
                (EXISTS, Mode::Add, _) | (NOT_FOUND, Mode::Replace, _) | (NOT_STORED, ..) => {
                    Written::NotStored
                }
                (other, mode, _) => panic!("{other:#x} to {mode:?}"),
            })
        }
        Asked::Delete(delete) => {
            let compare = delete.version.map_or(0, |version| version.0);
            Answer::Delete(match exchange.ask(&packet(0x04).compare(compare)).status {
                0 => Deleted::Done,
                NOT_FOUND => Deleted::NotFound,
                EXISTS => Deleted::Exists,
                other => panic!("{other:#x}"),
            })
        }
        Asked::Count(count) => {
            let is_first = |number| count.create.is_some_and(|(first, _)| first == number);
            let opcode = if count.step == Step::Up { 0x05 } else { 0x06 };
            let (first, exptime) = count.create.map_or((0, u32::MAX), |(first, _)| (first, 0));
            let halves = |number: u64| [(number >> 32) as u32, number as u32];
            let extras = [&halves(count.delta)[..], &halves(first), &[exptime]].concat();
            // memcached says so where another client made the counter at the same time: nothing has happened.
            let answer = (0..RACES_MAX)
                .map(|_| exchange.ask(&packet(opcode).extras(&extras)))
                .find(|answer| answer.status != NOT_STORED)
                .expect("not every time");
            Answer::Count(match answer.status {
                0 => {
                    let number = answer.value.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
                    let version = Version(answer.version);
                    Counted::Value { number, version, expires_at: None, created: is_first(number) }
                }
                NOT_FOUND => Counted::NotFound,
                NOT_NUMBER => Counted::NotNumber,
                other => panic!("{other:#x}"),
            })
        }
        Asked::Lease(_) => panic!("there are none over the wire: {}", text(key.as_bytes())),
    }
}
