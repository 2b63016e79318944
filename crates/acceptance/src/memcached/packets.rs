//! Packets of the binary protocol as a client sends them, and what comes back, with versions made comparable.

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::raw::{Raw, text};

/// The length of what every packet begins with.
const HEADER_BYTES: usize = 24;
const NOOP: u8 = 0x0a;
const VERSION: u8 = 0x0b;
/// The opaque of the request that ends a question.
const MARK: u32 = u32::MAX;

/// One request.
#[derive(Clone, Debug, Default)]
pub struct Packet {
    /// What it is about.
    pub opcode: u8,
    /// What stands before the key.
    pub extras: Vec<u8>,
    /// The key.
    pub key: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
    /// The version that must be there, or 0.
    pub compare: u64,
}

impl Packet {
    /// A request with nothing but its opcode.
    pub fn new(opcode: u8) -> Self {
        Self { opcode, ..Self::default() }
    }

    /// The key.
    pub fn key(self, key: &[u8]) -> Self {
        Self { key: key.to_vec(), ..self }
    }

    /// Numbers of 32 bits before the key.
    pub fn extras(self, numbers: &[u32]) -> Self {
        Self { extras: numbers.iter().flat_map(|number| number.to_be_bytes()).collect(), ..self }
    }

    /// The value.
    pub fn value(self, value: &[u8]) -> Self {
        Self { value: value.to_vec(), ..self }
    }

    /// The version that must be there.
    pub fn compare(self, compare: u64) -> Self {
        Self { compare, ..self }
    }

    /// As it is sent.
    pub fn bytes(&self, opaque: u32) -> Vec<u8> {
        let body = self.extras.len() + self.key.len() + self.value.len();
        let mut bytes = vec![0x80, self.opcode];
        bytes.extend((self.key.len() as u16).to_be_bytes());
        bytes.extend([self.extras.len() as u8, 0, 0, 0]);
        bytes.extend((body as u32).to_be_bytes());
        bytes.extend(opaque.to_be_bytes());
        bytes.extend(self.compare.to_be_bytes());
        [&bytes, &self.extras[..], &self.key, &self.value].concat()
    }
}

/// A conversation with one server. Equal versions of a key stay equal, in the order in which they were first seen.
#[derive(Default)]
pub struct Renaming {
    seen: HashMap<Vec<u8>, Vec<u64>>,
}

impl Renaming {
    /// The answers to `asked`, whose opaques are their places, as text that may be compared.
    pub fn apply(&mut self, asked: &[Packet], answer: &[u8]) -> Vec<String> {
        let mut shown = Vec::new();
        let mut rest = answer;
        while let Some((response, after)) = Response::read(rest) {
            let key = asked.get(response.opaque as usize).map(|packet| &packet.key[..]);
            shown.push(self.show(&response, key.unwrap_or_default()));
            rest = after;
        }
        if !rest.is_empty() {
            shown.push(format!("and {}", text(rest)));
        }
        shown
    }

    fn show(&mut self, response: &Response<'_>, key: &[u8]) -> String {
        let version = match response.version {
            0 => "none".to_owned(),
            version => self.rename(key, version),
        };
        // Says who answers.
        let value = if response.opcode == VERSION { &b"-"[..] } else { response.value };
        format!(
            "{:#04x} of {}: {:#x}, version {version}, {} {} {}",
            response.opcode,
            response.opaque,
            response.status,
            response.extras.escape_ascii(),
            response.key.escape_ascii(),
            text(value)
        )
    }

    fn rename(&mut self, key: &[u8], version: u64) -> String {
        let seen = self.seen.entry(key.to_vec()).or_default();
        let place = seen.iter().position(|seen| *seen == version).unwrap_or_else(|| {
            seen.push(version);
            seen.len() - 1
        });
        format!("#{place}")
    }

    /// The version that this server last showed for `key`, or one that none ever has.
    pub fn version_of(&self, key: &[u8]) -> u64 {
        self.seen.get(key).and_then(|seen| seen.last()).copied().unwrap_or(u64::MAX / 2)
    }
}

struct Response<'a> {
    opcode: u8,
    status: u16,
    opaque: u32,
    version: u64,
    extras: &'a [u8],
    key: &'a [u8],
    value: &'a [u8],
}

impl<'a> Response<'a> {
    fn read(input: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (header, rest) = input.split_first_chunk::<HEADER_BYTES>()?;
        let [0x81, opcode, k0, k1, extras, _, s0, s1, b0, b1, b2, b3, o0, o1, o2, o3, version @ ..] = *header
        else {
            return None;
        };
        let body = u32::from_be_bytes([b0, b1, b2, b3]) as usize;
        let (body, after) = rest.split_at_checked(body)?;
        let (extras, body) = body.split_at_checked(usize::from(extras))?;
        let (key, value) = body.split_at_checked(usize::from(u16::from_be_bytes([k0, k1])))?;
        let (status, opaque) = (u16::from_be_bytes([s0, s1]), u32::from_be_bytes([o0, o1, o2, o3]));
        let version = u64::from_be_bytes(version);
        Some((Self { opcode, status, opaque, version, extras, key, value }, after))
    }
}

/// One connection, asked one request after another.
pub struct Conversation {
    raw: Raw,
    asked: Vec<Packet>,
    renaming: Renaming,
}

impl Conversation {
    /// Connects.
    pub fn with(address: SocketAddr) -> Self {
        Self { raw: Raw::connect(address), asked: Vec::new(), renaming: Renaming::default() }
    }

    /// What is answered to one request; `None` behind it if the connection has ended.
    pub fn ask(&mut self, packet: &Packet) -> (Vec<String>, bool) {
        let mark = Packet::new(NOOP).bytes(MARK);
        let opaque = self.asked.len() as u32;
        self.asked.push(packet.clone());
        self.raw.send(&[packet.bytes(opaque), mark].concat());
        let mut end = vec![0x81, NOOP];
        end.resize(HEADER_BYTES, 0);
        end[12..16].copy_from_slice(&MARK.to_be_bytes());
        let mut answer = Vec::new();
        while !answer.ends_with(&end) {
            let more = self.raw.read();
            if more.is_empty() {
                return (self.renaming.apply(&self.asked, &answer), false);
            }
            answer.extend_from_slice(&more);
        }
        answer.truncate(answer.len() - HEADER_BYTES);
        (self.renaming.apply(&self.asked, &answer), true)
    }

    /// The version that this server last showed for `key`, or one that none ever has.
    pub fn version_of(&self, key: &[u8]) -> u64 {
        self.renaming.version_of(key)
    }
}

/// What came back, as it came.
#[derive(Clone, Debug)]
pub struct Answered {
    /// 0 is well.
    pub status: u16,
    /// The version.
    pub version: u64,
    /// What stands before the value.
    pub extras: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
}

/// One connection on which every request is answered by one packet, before the next is sent.
pub struct Exchange {
    raw: Raw,
    unread: Vec<u8>,
}

impl Exchange {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Self {
        Self { raw: Raw::connect(address), unread: Vec::new() }
    }

    /// The answer to one request.
    pub fn ask(&mut self, packet: &Packet) -> Answered {
        self.raw.send(&packet.bytes(0));
        loop {
            if let Some((response, after)) = Response::read(&self.unread) {
                let answered = Answered {
                    status: response.status,
                    version: response.version,
                    extras: response.extras.to_vec(),
                    value: response.value.to_vec(),
                };
                self.unread = after.to_vec();
                return answered;
            }
            let more = self.raw.read();
            assert!(!more.is_empty(), "the connection has ended before the answer");
            self.unread.extend_from_slice(&more);
        }
    }
}
