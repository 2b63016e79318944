//! A connection without a socket: bytes go in as they come, what they mean comes out.

use forebay_wire::memcached::command::{Command, Refused};
use forebay_wire::memcached::parse::{Limits, Parsed, parse};

pub(crate) const LIMITS: Limits = Limits {
    key_bytes_max: 250,
    item_bytes_max: 4096,
    open_line_bytes_max: 2048,
    line_bytes_max: 16_384,
    get_line_bytes_max: 65_536,
};

/// The most that a command of these limits can need at once.
pub(crate) const NEEDED_MAX: usize = 65_536 + 4096;

/// Reads `pieces` one after another as a connection would and returns what they meant, commands in full.
pub(crate) fn read(pieces: &[&[u8]]) -> Vec<String> {
    let mut meant = Vec::new();
    let mut buffer = Vec::new();
    let (mut searched, mut swallowing) = (0, 0);
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let dropped = swallowing.min(buffer.len());
            buffer.drain(..dropped);
            swallowing -= dropped;
            if swallowing > 0 || buffer.is_empty() {
                break;
            }
            match parse(&buffer, searched, &LIMITS) {
                Parsed::Incomplete { needed, searched: without_end } => {
                    assert!(needed > buffer.len() && needed <= NEEDED_MAX, "{needed} of {}", buffer.len());
                    searched = without_end;
                    break;
                }
                Parsed::Complete { command, consumed, swallow } => {
                    assert!(consumed > 0 && consumed <= buffer.len(), "{consumed} of {}", buffer.len());
                    meant.push(format!("{command:?} then {swallow}"));
                    buffer.drain(..consumed);
                    (searched, swallowing) = (0, swallow);
                }
                Parsed::Close => {
                    meant.push("close".into());
                    return meant;
                }
            }
        }
    }
    meant
}

/// The answer to the first thing in `input` if it is a refusal, with a mark if it is not to be sent.
pub(crate) fn refusal(input: &[u8]) -> Option<String> {
    match parse(input, 0, &LIMITS) {
        Parsed::Complete { command: Command::Refused(Refused { refusal, quiet }), .. } => {
            Some(format!("{}{}", if quiet { "(quiet) " } else { "" }, refusal.text()))
        }
        Parsed::Complete { command: Command::Oversized(_), .. } => Some("too large".into()),
        Parsed::Close => Some("close".into()),
        Parsed::Incomplete { .. } => Some("incomplete".into()),
        Parsed::Complete { .. } => None,
    }
}
