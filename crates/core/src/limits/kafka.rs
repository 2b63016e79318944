//! The bounds of the Kafka backend.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Servers that one URL names.
pub const SERVERS_MAX: usize = 100;
/// The prefix of all topics.
pub const PREFIX_BYTES_MAX: usize = 64;
/// A topic's name as Kafka takes it, with room for what belongs to it.
pub const TOPIC_BYTES_MAX: usize = 220;
/// Partitions of a new queue, unless the URL says otherwise: so many processes can share it.
pub const PARTITIONS_DEFAULT: u16 = 4;
/// The most that the URL may say.
pub const PARTITIONS_MAX: u16 = 1_000;
/// How long a call waits for servers that are away, unless the URL says otherwise.
pub const WAIT_DEFAULT: Duration = Duration::from_secs(10);
/// The range that it may say.
pub const WAIT_RANGE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(600);
/// The longest that the client waits for an answer on a connection, whatever the calls wait for: it takes no more.
pub const SOCKET_WAIT_MAX: Duration = Duration::from_secs(300);
/// After so long without a sign of life a process's partitions go to others, unless the URL says otherwise.
pub const SESSION_DEFAULT: Duration = Duration::from_secs(10);
/// The range that it may say; servers have a range of their own.
pub const SESSION_RANGE: RangeInclusive<Duration> = Duration::from_millis(500)..=Duration::from_secs(600);
/// The longest pause between two signs of life.
pub const HEARTBEAT_MAX: Duration = Duration::from_secs(1);
/// A message with all that goes with it: a server takes requests of at most 100 MiB.
pub const MESSAGE_BYTES_MAX: usize = 96 * 1024 * 1024;
/// What goes with a payload. Of a history that is too long the oldest lines are left out.
pub const ENVELOPE_BYTES_MAX: usize = 256 * 1024;
/// A payload and its key: whatever goes with them later, there is room for it.
pub const PAYLOAD_BYTES_MAX: usize = MESSAGE_BYTES_MAX - ENVELOPE_BYTES_MAX - 1024;
/// Bytes of messages on their way to the servers; further publishes wait.
pub const SENDING_KIB_MAX: usize = 256 * 1024;
/// Messages of the same.
pub const SENDING_MESSAGES_MAX: usize = 100_000;
/// The pause before a message is offered again for which there was no room among these.
pub const SENDING_PAUSE: Duration = Duration::from_millis(5);
/// Bytes that one queue has received and not yet looked at, beyond the last ones that were asked for. Each partition has its
/// share of it.
pub const FETCHED_KIB_MAX: usize = 32 * 1024;
/// The least share.
pub const FETCHED_KIB_MIN: usize = 64;
/// Bytes that are asked for of one partition at a time, if its share is not less.
pub const FETCH_KIB_MAX: usize = 1_024;
/// Messages of one partition that were received and not yet looked at; at it no more is asked for.
pub const FETCHED_MESSAGES_MAX: usize = 2_000;
/// The longest that a server holds back the answer to a request for messages while it has none. A partition that is to be read
/// again, because there is room again, waits for the end of such a request.
pub const FETCH_WAIT: Duration = Duration::from_millis(250);
/// Messages of one partition that are read before they are taken in, and whoever waits for some is told.
pub const READ_MAX: usize = 32;
/// The same in bytes, beyond a last one.
pub const READ_BYTES_MAX: usize = 1024 * 1024;
/// How often it is looked whether more messages come that can be settled by the same commit.
pub const GATHER_MAX: usize = 100;
/// The size of a file of a topic; what is finished goes file by file.
pub const SEGMENT_BYTES: usize = 128 * 1024 * 1024;
/// Messages of one partition in this process that are not settled; at it no more is read of the partition. With it and the
/// next what a commit says fits into Kafka's 4,096 bytes.
pub const OPEN_MAX: usize = 1_024;
/// From the first message of a partition that is not settled to the newest that was read; at it no more is read.
pub const SPAN_MAX: u64 = 16_384;
/// As so many of these counts at most what was skipped together: its length takes at most nine bytes more of what a commit says
/// than that of a single message, and of what is read a byte more takes 128 messages.
pub const SKIPPED_SPAN_MAX: u64 = 9 * 128;
/// Bytes of the messages of one partition in this process, with what goes with them, beyond a last one; at it no more is read.
pub const OPEN_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The same of all partitions of one queue: each has its share of it, if that is less.
pub const QUEUE_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Messages with a key of one partition of an ordered queue that are held or wait for their next attempt.
pub const TRIES_MAX: usize = 64;
/// Powers of two milliseconds for which messages wait in Kafka, one partition for each: half a second to 99 days. A longer
/// wait is made of several; the rest is waited for in this process.
pub const WAIT_LEVELS: [u32; 9] = [9, 12, 15, 18, 21, 24, 27, 30, 33];
/// Messages that are moved to where they wait or become ready in one step.
pub const CARRY_MAX: usize = 500;
/// The same in bytes, beyond a last one.
pub const CARRY_BYTES_MAX: usize = 1024 * 1024;
/// The pause before something is tried again that the servers refused.
pub const PAUSE: Duration = Duration::from_millis(100);
/// The longest pause before a server is tried again.
pub const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How often it is looked whether a queue is still asked for.
pub const LOOK: Duration = Duration::from_millis(100);
/// Nobody asks for a queue's messages for so long, and its partitions go to other processes.
pub const IDLE: Duration = Duration::from_secs(5);
/// An empty answer takes at least so long: what is on a server needs time to come.
pub const EMPTY_MIN: Duration = Duration::from_millis(50);
/// How often what is finished is removed from the servers.
pub const TRIM_PAUSE: Duration = Duration::from_secs(10);
/// How often that is tried when nobody asks for a queue's messages any more.
pub const TRIM_TRIES: usize = 6;
/// Bytes of one replay, beyond a last message.
pub const REPLAY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Messages of one replay.
pub const REPLAY_MAX: usize = 1_000;
/// Bytes of notices that the servers keep for processes that are away for a while.
pub const BUS_TOPIC_BYTES: u64 = 64 * 1024 * 1024;
/// What they let go of at once.
pub const BUS_SEGMENT_BYTES: u64 = 8 * 1024 * 1024;
/// They let go of notices that are older, too.
pub const BUS_TOPIC_AGE: Duration = Duration::from_secs(7 * 24 * 3_600);
/// A bus that has heard nothing for so long asks whether there was nothing.
pub const BUS_SILENCE: Duration = Duration::from_secs(10);
/// What reads a bus waits at least so long for an answer when it begins, however short calls wait.
pub const BUS_JOIN_MIN: Duration = Duration::from_secs(10);
/// Publishes of one bus that wait at a time; further ones wait for their turn.
pub const BUS_CALLS_MAX: usize = 256;
/// Questions for the end of the topic at a time, a thread each; further ones wait for their turn.
pub const BUS_ASKS_MAX: usize = 16;
