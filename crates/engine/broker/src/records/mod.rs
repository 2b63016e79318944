//! What the broker writes into the log: the kinds of records and their exact bytes.
//!
//! The state of every queue is the sum of these records in the order of the log; nothing else is on disk.
//! Numbers are little-endian. Every body begins with its kind `u8` and the version of its layout `u8`, 1. `time` is
//! `u64` milliseconds since the Unix epoch. `text8` and `text16` are UTF-8 behind a length of one or two bytes. `queue`
//! is a `u64` number (see *Declare*). `position` is the `u64` name of a message in its queue: the sequence of the
//! record that brought it there. `message` and `history` are laid out in [`message`] and [`history`].
//!
//! | kind | name | body after kind and version | what it says |
//! | --- | --- | --- | --- |
//! | 1 | Declare | number, settings, paused `u8` | the queue is there, and hands out messages unless it is paused; number 0 means the sequence of this very record, so that numbers never repeat over the life of the log |
//! | 2 | Delete | queue, changes | it is gone with all its messages, and with it what the changes of exchanges and bindings say |
//! | 3 | Purge | queue | its ready and delayed messages are gone |
//! | 4 | Put | queue, position or 0, published `time`, flags `u8`, what they name, message | with 0, the queue took a message, and its position is this record's sequence; else it is carried forward in its full state, so that older segments can go |
//! | 5 | Deliver | queue, position, attempt `u32`, token `u32`, held until `time` | it is in a consumer's hands |
//! | 6 | Extend | queue, position, held until `time` | it stays there |
//! | 7 | Settle | queue, position | it is finished: acknowledged, dropped or expired |
//! | 8 | Retry | queue, position, `time` | it is delivered again, from then on |
//! | 9 | Return | queue, position, seen `u8` | it is ready in its old place, and the attempt counts only if its consumer has seen it |
//! | 10 | Move | from queue, position, to queue, moved `time`, flags `u8`, expires `time` with 1, history, message | in one step it left one queue and is in another (a dead letter, or a dead letter sent back); its position there is this record's sequence; with 2 it has not left, and this is a copy; with 4 it is the newest of its key there |
//! | 11 | Marks | queue, count `u32`, of each: taken `time`, dedup id `text8` | messages with these dedup ids were taken then; their own records are about to go |
//! | 12 | Retain | queue, position | it is finished, and kept to be read again |
//! | 13 | End | queues | these queues were for the life of a process that is gone, and they with it |
//! | 14 | Route | changes | exchanges and bindings are there, or no more; one that comes to be is alone in its record, which is carried forward as it is |
//! | 15 | Reopen | queues | the process is gone for whose life messages of these queues were held: they are ready in their old places, and the attempts count |
//!
//! *settings*: name `text8`, `attempt_max u32`, backoff first and longest `u64` nanoseconds, jitter `f64`, hold `u64`
//! nanoseconds, dead-letter queue `text8` (empty for none), flags `u8` (1 dead-letter exchange, 2 its key, 4 `message_ttl`, 8
//! `length_bytes_max`), exchange `text8`, key `text8`, `message_ttl u64` nanoseconds and `length_bytes_max u64`, if named,
//! `length_max u64`, overflow `u8` (0 reject, 1 drop head, 2 reject and dead-letter),
//! order `u8` (0 arrival, 1 key), `priority_max u8`, `dedup_window` and retain (0 for nothing) `u64` nanoseconds,
//! `newest_by_key u8`, lifetime `u8` (0 durable, 1 of the process), declaration behind its length `u32`.
//! *changes*: of each, its bytes behind their length `u32`, as [`change`](crate::routing::change) lays them out.
//! *flags* name, in this order: 1 attempts `u32`; 2 expires `time`; 4 delayed until `time`; 8 held: token `u32`, until
//! `time`; 64 finished and retained; 128 replaces position or 0: the queue keeps the newest of a key, and the message at
//! that position has left in the same step; with 0 in a new one, that is whichever waits with its key, for it may have come in
//! the same batch; 16 history. With none of 4, 8 and 64 the message is ready. A message that waits takes the same space whether it
//! was published or carried: giving back segments never costs more than it brings.
//!
//! The body of a message lies in the Put or Move record that brought it to its present place, and every later record
//! about it lies behind that one. That of a large message is only a claim to its payload, which lies in a file of its own:
//! the file is durable before the record that brings it is written, goes only once the record that ends it is durable,
//! and whoever writes the message again, carrying or moving it, writes the same claim. So once no live body, no live Declare or Route and no Marks of which one still counts lie in the segments up to some point, no
//! record in them is needed any more, but for the dedup ids in them, which are written as Marks before: settled messages cannot come back when a *prefix* of the log is released, because
//! whatever settled them is released no sooner than they are.

mod bytes;
mod decode;
mod encode;
pub(crate) mod history;
pub(crate) mod message;

use forebay_core::delivery::History;
use forebay_core::queue::QueueSettings;
use forebay_core::time::Instant;

/// The layout of all bodies written today.
const VERSION: u8 = 1;

// What the flags of a Put record name.
const ATTEMPTS: u8 = 1;
const EXPIRES: u8 = 2;
const DELAYED: u8 = 4;
const HELD: u8 = 8;
const HISTORY: u8 = 16;
const FINISHED: u8 = 64;
const REPLACES: u8 = 128;

// What those of a Move record name,
const MOVE_EXPIRES: u8 = 1;
const MOVE_STAYS: u8 = 2;
const MOVE_NEWEST: u8 = 4;

// and those of a queue's settings.
const SETTINGS_EXCHANGE: u8 = 1;
const SETTINGS_KEY: u8 = 2;
const SETTINGS_TTL: u8 = 4;
const SETTINGS_BYTES: u8 = 8;

/// What a Put record of a new message has before the message, at most.
pub(crate) const NEW_BYTES_MAX: usize = 51;

/// The largest record about a message that does not bring one.
pub(crate) const SMALL_BYTES_MAX: usize = 34;

/// One record, as above.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record<'a> {
    Declare {
        number: u64,
        settings: QueueSettings,
        paused: bool,
    },
    Delete {
        queue: u64,
        changes: Vec<&'a [u8]>,
    },
    Route {
        changes: Vec<&'a [u8]>,
    },
    Purge {
        queue: u64,
    },
    Put {
        queue: u64,
        position: u64,
        published_at: Instant,
        attempts: u32,
        expires_at: Option<Instant>,
        status: Status,
        /// Present where the queue keeps the newest of a key and the message has one; 0 where it replaces none, or one of its
        /// own batch.
        replaces: Option<u64>,
        history: Vec<History>,
        message: MessageBytes<'a>,
    },
    Deliver {
        queue: u64,
        position: u64,
        attempt: u32,
        token: u32,
        held_until: Instant,
    },
    Extend {
        queue: u64,
        position: u64,
        held_until: Instant,
    },
    Settle {
        queue: u64,
        position: u64,
    },
    Retain {
        queue: u64,
        position: u64,
    },
    Retry {
        queue: u64,
        position: u64,
        at: Instant,
    },
    Return {
        queue: u64,
        position: u64,
        seen: bool,
    },
    Move {
        from: u64,
        position: u64,
        to: u64,
        at: Instant,
        expires_at: Option<Instant>,
        /// It stays where it was, too.
        stays: bool,
        /// Its queue keeps the newest of a key, and knows it as that.
        is_newest: bool,
        history: Vec<History>,
        message: MessageBytes<'a>,
    },
    End {
        queues: Vec<u64>,
    },
    Reopen {
        queues: Vec<u64>,
    },
    Marks {
        queue: u64,
        marks: Vec<(Instant, &'a str)>,
    },
}

impl Record<'_> {
    /// How the message came to where this record brings it.
    pub(crate) fn into_history(self) -> Vec<History> {
        match self {
            Self::Put { history, .. } | Self::Move { history, .. } => history,
            _ => Vec::new(),
        }
    }
}

/// An encoded message: one stretch when it was read, its head and its payload apart when it is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MessageBytes<'a> {
    pub(crate) head: &'a [u8],
    pub(crate) payload: &'a [u8],
}

/// Where in its queue a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Ready,
    Delayed { until: Instant },
    Held { token: u32, until: Instant },
    Finished,
}

#[cfg(test)]
mod tests;
