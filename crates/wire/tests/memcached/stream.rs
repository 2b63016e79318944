//! A connection without a socket: bytes go in as they come, what they mean comes out.

use forebay_wire::memcached::command::{Command, Refused};
use forebay_wire::memcached::parse::{Limits, Parsed, parse};
use forebay_wire::memcached::{auth, binary};

pub(crate) const LIMITS: Limits = Limits {
    key_bytes_max: 250,
    item_bytes_max: 4096,
    open_line_bytes_max: 2048,
    line_bytes_max: 16_384,
    get_line_bytes_max: 65_536,
};

/// The most that a command of these limits can need at once.
pub(crate) const NEEDED_MAX: usize = 65_536 + 4096;

/// Reads the head of what is there, of which so many bytes are known to hold no line end.
pub(crate) type Parser = for<'a> fn(&'a [u8], usize, &Limits) -> Parsed<'a>;

/// The text protocol.
pub(crate) const TEXT: Parser = parse;
/// The same before its client has said who it is.
pub(crate) const WAY_IN: Parser = auth::parse;
/// The binary protocol.
pub(crate) const BINARY: Parser = |input, _, limits| binary::parse::parse(input, limits);

/// The first byte says how long the pieces are, the rest is a stream: it means the same in pieces and as a whole.
pub(crate) fn assert_same_in_pieces(parser: Parser, input: &[u8]) {
    let Some((length, stream)) = input.split_first() else { return };
    let pieces: Vec<&[u8]> = stream.chunks(usize::from(*length) + 1).collect();
    let (whole, in_pieces) = (read_as(parser, &[stream]), read_as(parser, &pieces));
    // A longer line is given up or read depending on whether its end has come.
    if stream.split(|byte| *byte == b'\n').all(|line| line.len() <= LIMITS.open_line_bytes_max) {
        assert_eq!(whole, in_pieces);
    }
}

/// Reads `pieces` of the text protocol.
pub(crate) fn read(pieces: &[&[u8]]) -> Vec<String> {
    read_as(TEXT, pieces)
}

/// Reads `pieces` one after another as a connection would and returns what they meant, commands in full.
pub(crate) fn read_as(parser: Parser, pieces: &[&[u8]]) -> Vec<String> {
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
            match parser(&buffer, searched, &LIMITS) {
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
