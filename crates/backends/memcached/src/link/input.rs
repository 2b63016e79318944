//! Where replies are read. All that was read of the next one is kept here, so that whoever reads may stop at any time, and
//! another one goes on from there.

use std::io::{self, Error, ErrorKind};
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use forebay_core::limits::{MEMCACHED_REPLY_LINE_BYTES_MAX, VALUE_BYTES_MAX_CEILING};
use forebay_wire::memcached::reply::{Answer, ReplyLimits, read};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::awaited::Awaited;

/// What a server may answer.
pub(crate) const LIMITS: ReplyLimits =
    ReplyLimits { line_bytes_max: MEMCACHED_REPLY_LINE_BYTES_MAX, value_bytes_max: VALUE_BYTES_MAX_CEILING };
/// What is read at once while nothing larger is awaited.
const READ_BYTES: usize = 16 * 1024;
/// A read buffer that a large value made is given back above this size.
const BUFFER_BYTES_KEPT: usize = 256 * 1024;

/// The connection's input.
#[derive(Default)]
pub(super) struct Input {
    /// While it is carried.
    stream: Option<Box<dyn AsyncRead + Send + Unpin>>,
    buffer: BytesMut,
    /// Bytes that must be there before there can be a reply.
    needed: usize,
    /// Why the connection must end, until its task has been told.
    failed: Option<Error>,
}

impl Input {
    pub(super) fn open(&mut self, stream: Box<dyn AsyncRead + Send + Unpin>) {
        self.stream = Some(stream);
    }

    pub(super) fn close(&mut self) {
        *self = Self::default();
    }

    /// Leaves an error that it met to the connection's task.
    pub(super) fn fail(&mut self, error: Error) {
        self.failed = Some(error);
    }

    /// Reads and hands out replies. Ready where nobody waits for another one; with an error, where the connection must end.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, awaited: &Awaited) -> Poll<io::Result<()>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        loop {
            ready!(self.poll_fill(context))?;
            while !self.buffer.is_empty() && self.buffer.len() >= self.needed {
                match read(&self.buffer, &LIMITS) {
                    Answer::Complete { reply, consumed } => {
                        let is_idle = awaited.take(reply)?;
                        self.buffer.advance(consumed);
                        self.needed = 0;
                        if is_idle && self.buffer.is_empty() {
                            return Poll::Ready(Ok(()));
                        }
                    }
                    Answer::Incomplete { needed } => self.needed = needed,
                    Answer::Broken => {
                        let what = "no reply of memcached's";
                        return Poll::Ready(Err(Error::new(ErrorKind::InvalidData, what)));
                    }
                }
            }
        }
    }

    /// Reads something more.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Err(ErrorKind::NotConnected.into()));
        };
        if self.buffer.is_empty() && self.buffer.capacity() > BUFFER_BYTES_KEPT {
            self.buffer = BytesMut::new();
        }
        self.buffer.reserve(self.needed.saturating_sub(self.buffer.len()).max(READ_BYTES));
        // It has no state: a new one goes on with the old one's waiting.
        match ready!(pin!(stream.read_buf(&mut self.buffer)).poll(context))? {
            0 => Poll::Ready(Err(ErrorKind::UnexpectedEof.into())),
            _ => Poll::Ready(Ok(())),
        }
    }
}
