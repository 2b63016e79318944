//! The bounds of the RabbitMQ backend.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Seconds between heartbeats with the server unless its URL says otherwise: one that has stopped is noticed after two.
pub const HEARTBEAT_S: u16 = 10;
/// How long making a connection may take.
pub const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long a call waits for a server that is away, and for each of its answers, unless the URL says otherwise.
pub const WAIT_DEFAULT: Duration = Duration::from_secs(10);
/// The longest that it may say.
pub const WAIT_MAX: Duration = Duration::from_secs(600);
/// The pause before the server is asked again; doubled for every failure, up to `BROKER_PAUSE_MAX`.
pub const PAUSE: Duration = Duration::from_millis(100);
/// The pause before something is tried again that is done with a message in the background, as long as its channel lives;
/// doubled each time, as each may leave a copy, up to the next.
pub const AGAIN: Duration = Duration::from_secs(1);
/// The longest such pause.
pub const AGAIN_MAX: Duration = Duration::from_secs(60);
/// How often the state of the connection and of unused queues is looked at.
pub const LOOK: Duration = Duration::from_millis(100);
/// How long closing a channel or a connection in good order may take.
pub const GOODBYE_MAX: Duration = Duration::from_secs(2);
/// Deliveries of one queue in one process, held ones and those kept ready, unless the URL says otherwise.
pub const PREFETCH_DEFAULT: u16 = 256;
/// By so many a delivery's number on its channel may be ahead of what has come: more than all consumers of a queue prefetch.
pub const TAGS_AHEAD_MAX: u64 = 1 << 20;
/// The prefix of a server's queues.
pub const PREFIX_BYTES_MAX: usize = 100;
/// A queue's name with its prefix; the rest of AMQP's 255 bytes is for what belongs to the queue.
pub const NAME_BYTES_MAX: usize = 220;
/// The greatest priority: each is a queue of the server.
pub const PRIORITY_MAX: u8 = 9;
/// What goes with a payload must fit into one frame of 128 KiB with AMQP's own properties.
pub const ENVELOPE_BYTES_MAX: usize = 120 * 1024;
/// Powers of two milliseconds for which messages can wait on the server: a quarter of a second to more than a year.
pub const WAIT_CLASSES: RangeInclusive<u32> = 8..=35;
/// Messages of a queue lie in this process unasked for no longer than this.
pub const IDLE: Duration = Duration::from_secs(1);
/// A message lies in this process without being held no longer than this: the server ends a channel after 30 minutes.
pub const UNHELD_MAX: Duration = Duration::from_secs(600);
/// How often that is looked at.
pub const RENEW: Duration = Duration::from_secs(30);
/// An empty answer takes at least so long: what is on the server needs time to come.
pub const EMPTY_MIN: Duration = Duration::from_millis(50);
/// Messages with a key of an ordered queue that are held or wait for their next attempt, whatever the prefetch says.
pub const TRIES_MAX: usize = 256;
/// Of what is tried again so much comes to this process: more than there may be, as what is past its time to live is beside it.
pub const TRIES_PREFETCH: u16 = 1_024;
/// How long the next of what is tried again may take to come before the rest of an ordered queue; longer where that has failed.
/// And how long others may take to give back what they had of it.
pub const ARRIVAL_MAX: Duration = Duration::from_secs(5);
/// How often it is looked whether others have given back what they had of an ordered queue.
pub const SETTLE_IN_LOOK: Duration = Duration::from_millis(5);
/// The pause before a queue's settings are asked for again that another process reads.
pub const LOCK_PAUSE: Duration = Duration::from_millis(20);
/// How long a queue's settings may be away because whoever read them has died.
pub const RECORD_AWAY_MAX: Duration = Duration::from_secs(1);
/// Who publishes at a time in one process, each on a channel of its own; further ones wait for their turn. RabbitMQ allows 2047
/// channels of a connection.
pub const PUBLISHERS_MAX: usize = 128;
/// Bytes of notices that the server keeps for processes that are away for a while.
pub const BUS_STREAM_BYTES: u64 = 64 * 1024 * 1024;
/// What the server lets go of at once.
pub const BUS_SEGMENT_BYTES: u64 = 8 * 1024 * 1024;
/// Notices that are on their way to this process without having been acknowledged.
pub const BUS_PREFETCH: u16 = 1_024;
/// Notices that are acknowledged at once.
pub const BUS_ACK_EVERY: u64 = 256;
/// A bus that has heard nothing for so long asks whether it still would.
pub const BUS_SILENCE: Duration = Duration::from_secs(10);
/// Publishes and questions for the head of one bus that wait at a time; further ones wait for their turn.
pub const BUS_CALLS_MAX: usize = 4_096;
