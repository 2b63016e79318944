//! The second byte of a packet: what it is about.

use super::request::{Mode, Shows};

/// What an opcode says before anything else of its packet is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A read.
    Get(Shows),
    /// A read that gives a new end of life.
    GetAndTouch(Shows),
    /// A write with flags and an end of life.
    Store(Mode),
    /// A write that extends a value.
    Extend(Mode),
    /// A deletion.
    Delete,
    /// A counter, up or down.
    Count {
        /// Up.
        up: bool,
    },
    /// An end.
    Quit,
    /// An invalidation of everything.
    Flush,
    /// Nothing, to be answered in its turn.
    Noop,
    /// Who answers.
    Version,
    /// Numbers.
    Stat,
    /// Which mechanisms of SASL there are.
    SaslList,
    /// The beginning of an authentication, or a step of it.
    Sasl,
}

/// The kind of an opcode, and whether success (of a read: a miss) is to be passed over in silence. `None` where there is no such opcode.
pub(super) const fn kind(opcode: u8) -> Option<(Kind, bool)> {
    Some(match opcode {
        0x00 => (Kind::Get(Shows::Value), false),
        0x01 => (Kind::Store(Mode::Set), false),
        0x02 => (Kind::Store(Mode::Add), false),
        0x03 => (Kind::Store(Mode::Replace), false),
        0x04 => (Kind::Delete, false),
        0x05 => (Kind::Count { up: true }, false),
        0x06 => (Kind::Count { up: false }, false),
        0x07 => (Kind::Quit, false),
        0x08 => (Kind::Flush, false),
        0x09 => (Kind::Get(Shows::Value), true),
        0x0a => (Kind::Noop, false),
        0x0b => (Kind::Version, false),
        0x0c => (Kind::Get(Shows::KeyAndValue), false),
        0x0d => (Kind::Get(Shows::KeyAndValue), true),
        0x0e => (Kind::Extend(Mode::Append), false),
        0x0f => (Kind::Extend(Mode::Prepend), false),
        0x10 => (Kind::Stat, false),
        0x11 => (Kind::Store(Mode::Set), true),
        0x12 => (Kind::Store(Mode::Add), true),
        0x13 => (Kind::Store(Mode::Replace), true),
        0x14 => (Kind::Delete, true),
        0x15 => (Kind::Count { up: true }, true),
        0x16 => (Kind::Count { up: false }, true),
        0x17 => (Kind::Quit, true),
        0x18 => (Kind::Flush, true),
        0x19 => (Kind::Extend(Mode::Append), true),
        0x1a => (Kind::Extend(Mode::Prepend), true),
        0x1c => (Kind::GetAndTouch(Shows::Flags), false),
        0x1d => (Kind::GetAndTouch(Shows::Value), false),
        0x1e => (Kind::GetAndTouch(Shows::Value), true),
        0x20 => (Kind::SaslList, false),
        0x21 | 0x22 => (Kind::Sasl, false),
        0x23 => (Kind::GetAndTouch(Shows::KeyAndValue), false),
        0x24 => (Kind::GetAndTouch(Shows::KeyAndValue), true),
        _ => return None,
    })
}
