//! What a client of the binary protocol asks for. Keys and values are borrowed from the input. A key may hold any bytes.

use super::status::Status;
use crate::memcached::command::Section;

/// One request, or what is to be answered in its place.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What every answer to it repeats.
    pub echo: Echo,
    /// Success (of a read: a miss) is not answered.
    pub quiet: bool,
    /// What is asked for.
    pub operation: Operation<'a>,
}

/// What an answer repeats of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// Its second byte.
    pub opcode: u8,
    /// The client's own four bytes.
    pub opaque: [u8; 4],
}

/// What is asked for. Every key is within its limit and not empty.
#[derive(Clone, Copy, Debug)]
pub enum Operation<'a> {
    /// `Get`, `GAT`, `Touch` and their kin.
    Read(Read<'a>),
    /// `Set`, `Add`, `Replace`, `Append`, `Prepend`.
    Write(Write<'a>),
    /// A write whose value is too large; the value is not shown, it must be swallowed.
    Oversized {
        /// The key.
        key: &'a [u8],
        /// What is there must go, so that no reader takes it for the value that was sent.
        forget: bool,
    },
    /// `Delete`.
    Delete {
        /// The key.
        key: &'a [u8],
        /// The version that must be there; 0 means any.
        compare: u64,
    },
    /// `Increment`, `Decrement`.
    Count(Count<'a>),
    /// `Flush`.
    Flush {
        /// When, as the client wrote it; 0 is now.
        delay: u32,
    },
    /// `No-op`.
    Noop,
    /// `Version`.
    Version,
    /// `Quit`.
    Quit,
    /// `Stat`, of a section that there is.
    Stats(Section),
    /// `SASL list mechs`.
    SaslList,
    /// `SASL auth` and `SASL step`.
    Sasl(Sasl<'a>),
    /// Not understood or not allowed.
    Refused {
        /// Why.
        status: Status,
        /// Nothing after it can be understood: the connection ends.
        closes: bool,
    },
}

/// What a read that finds something answers, besides the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// The client's own 32 bits alone.
    Flags,
    /// The value too.
    Value,
    /// The key and the value too; the key also where nothing is found.
    KeyAndValue,
}

/// A read.
#[derive(Clone, Copy, Debug)]
pub struct Read<'a> {
    /// The key.
    pub key: &'a [u8],
    /// What it answers.
    pub shows: Shows,
    /// A new end of life, as the client wrote it.
    pub touch: Option<u32>,
}

/// What a write does with what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Replaces or creates.
    Set,
    /// Only where nothing is.
    Add,
    /// Only where something is.
    Replace,
    /// Behind what is there.
    Append,
    /// Before what is there.
    Prepend,
}

/// A write.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// The key.
    pub key: &'a [u8],
    /// What it does with what is there.
    pub mode: Mode,
    /// The client's own 32 bits.
    pub flags: u32,
    /// The end of life, as the client wrote it.
    pub exptime: u32,
    /// The version that must be there; 0 means any.
    pub compare: u64,
    /// The value.
    pub value: &'a [u8],
}

/// A change of a counter.
#[derive(Clone, Copy, Debug)]
pub struct Count<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Up, else down.
    pub up: bool,
    /// By how much.
    pub delta: u64,
    /// Where there is none, the number that one is made with, and its end of life as the client wrote it.
    pub create: Option<(u64, u32)>,
    /// The version that must be there; 0 means any.
    pub compare: u64,
}

/// What a client says of itself.
#[derive(Clone, Copy)]
pub struct Sasl<'a> {
    /// The mechanism.
    pub mechanism: &'a [u8],
    /// What the mechanism asks for.
    pub data: &'a [u8],
    /// It goes on with what an earlier request began.
    pub is_step: bool,
}

/// Without what may be a password.
impl std::fmt::Debug for Sasl<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mechanism = String::from_utf8_lossy(self.mechanism);
        f.debug_struct("Sasl")
            .field("mechanism", &mechanism)
            .field("is_step", &self.is_step)
            .finish_non_exhaustive()
    }
}
