//! Calls whose replies are awaited, in the order of their sending.

use std::collections::VecDeque;
use std::io::{self, Error, ErrorKind};

use forebay_core::limits::MEMCACHED_SENT_CALLS_MAX;
use forebay_core::payload::Payload;
use forebay_wire::memcached::reply::{Code, Marks, Reply};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use super::reader::Reader;
use crate::commands::Commands;

/// A reply that is the caller's own.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) code: Code,
    pub(crate) marks: Marks,
    pub(crate) body: Payload,
}

impl From<Reply<'_>> for Received {
    fn from(reply: Reply<'_>) -> Self {
        Self { code: reply.code, marks: reply.marks, body: Payload::from(reply.body) }
    }
}

/// A call whose answer is awaited.
pub(super) struct Sent {
    first: u64,
    count: u64,
    quiet: bool,
    seen: u64,
    replies: Vec<Received>,
    answer: oneshot::Sender<Vec<Received>>,
}

/// All of them, and who reads their replies.
pub(super) struct Awaited {
    pub(super) calls: Mutex<VecDeque<Sent>>,
    /// Calls that may still be sent before others are answered.
    pub(super) room: Semaphore,
    pub(super) reader: Reader,
}

impl Default for Awaited {
    fn default() -> Self {
        let room = Semaphore::new(MEMCACHED_SENT_CALLS_MAX);
        Self { calls: Mutex::default(), room, reader: Reader::default() }
    }
}

impl Awaited {
    /// Whether there are none, as far as can be seen without holding them.
    pub(super) fn is_empty(&self) -> bool {
        self.room.available_permits() == MEMCACHED_SENT_CALLS_MAX
    }

    /// Gives a reply to the call that is its turn, and says whether nobody waits for another one.
    pub(super) fn take(&self, reply: Reply<'_>) -> io::Result<bool> {
        let mut calls = self.calls.lock();
        let Some(call) = calls.front_mut() else {
            return Err(Error::new(ErrorKind::InvalidData, "a reply that nobody waits for"));
        };
        let last = if call.quiet { reply.code == Code::Noop } else { call.seen + 1 >= call.count };
        if !call.expects(&reply) {
            return Err(Error::new(ErrorKind::InvalidData, "a reply to another command"));
        }
        call.seen += 1;
        if !(call.answer.is_closed() || call.quiet && last) {
            call.replies.push(reply.into());
        }
        if last && let Some(call) = calls.pop_front() {
            self.room.add_permits(1);
            // Whoever comes next must find the reader that is meant for it.
            if calls.is_empty() {
                self.reader.rest();
            }
            // Whoever does not wait any more does not get it.
            let _ = call.answer.send(call.replies);
        }
        Ok(calls.is_empty())
    }
}

impl Sent {
    /// What was sent, and who waits for its answer.
    pub(super) fn new(commands: &Commands, answer: oneshot::Sender<Vec<Received>>) -> Self {
        let Commands { first, count, quiet, .. } = *commands;
        Self { first, count, quiet, seen: 0, replies: Vec::new(), answer }
    }

    /// Whether it can be a reply to this call: not more of them than commands, each with its command's number if any.
    fn expects(&self, reply: &Reply<'_>) -> bool {
        let number = reply.marks.opaque.map(|opaque| opaque.wrapping_sub(self.first));
        match (self.quiet, number) {
            (true, Some(number)) => number < self.count && self.seen < self.count,
            (false, Some(number)) => number == self.seen,
            (true, None) => self.seen < self.count || reply.code == Code::Noop,
            (false, None) => true,
        }
    }
}
