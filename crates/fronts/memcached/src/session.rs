//! One connection's place in its stream, without the connection: bytes in, answers out.

use forebay_core::limits::OUTPUT_BYTES_MAX;
use forebay_core::ports::local_store::LocalStore;
use forebay_wire::memcached::parse::{Parsed, parse};

use crate::execute::run::{Ran, run};
use crate::execute::turn::Turn;

/// The first byte of memcached's binary protocol, which no text command begins with.
const BINARY_MAGIC: u8 = 0x80;

/// What is left of a stream's past when its bytes are gone.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// Bytes still to be thrown away: the rest of a value that was refused.
    swallow: usize,
    /// Bytes at the head of the input that hold no line end.
    searched: usize,
    /// Where a command with many keys stopped because the output was full.
    resume: Option<usize>,
    /// Something was read before.
    begun: bool,
}

/// How far a turn has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Bytes of the input that are done with.
    pub(crate) consumed: usize,
    /// What to do next.
    pub(crate) next: Next,
}

/// What to do after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Read. There is nothing to do before the input holds so many bytes, what is left of it included.
    Read {
        /// The number of bytes.
        needed: usize,
    },
    /// Send, then go on with what is left of the input: the output is full.
    Send,
    /// Send, then end the connection.
    Close,
}

impl Session {
    /// Carries out every complete command of `input`, until the output is full.
    pub(crate) fn advance<S: LocalStore>(&mut self, input: &[u8], turn: &mut Turn<'_, S>) -> Progress {
        if !self.begun && !input.is_empty() {
            self.begun = true;
            // The binary protocol is deprecated and not spoken. Its clients understand a closed connection better than
            // a line of text.
            if input.first() == Some(&BINARY_MAGIC) {
                return Progress { consumed: input.len(), next: Next::Close };
            }
        }
        let mut consumed = 0;
        let next = loop {
            let swallowed = self.swallow.min(input.len().saturating_sub(consumed));
            consumed += swallowed;
            self.swallow -= swallowed;
            let rest = input.get(consumed..).unwrap_or_default();
            if rest.is_empty() {
                break Next::Read { needed: 1 };
            }
            if turn.out.len() >= OUTPUT_BYTES_MAX {
                break Next::Send;
            }
            match parse(rest, self.searched, &turn.shared.limits) {
                Parsed::Incomplete { needed, searched } => {
                    self.searched = searched;
                    break Next::Read { needed };
                }
                Parsed::Close => break Next::Close,
                Parsed::Complete { command, consumed: length, swallow } => {
                    self.searched = 0;
                    match run(turn, &command, self.resume.take()) {
                        Ran::Done => {
                            consumed += length;
                            self.swallow = swallow;
                        }
                        Ran::Paused(remaining) => {
                            self.resume = Some(remaining);
                            break Next::Send;
                        }
                        Ran::Quit => break Next::Close,
                    }
                }
            }
        };
        Progress { consumed, next }
    }
}
