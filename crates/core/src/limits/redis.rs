//! The bounds of the Redis backend.

use std::time::Duration;

/// Servers that one URL names.
pub const NODES_MAX: usize = 100;
/// The prefix of all keys.
pub const PREFIX_BYTES_MAX: usize = 64;
/// How long a call takes at most once there is a connection, unless the URL says otherwise.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(1);
/// How long a broker's call waits for a connection, unless the URL says otherwise.
pub const PATIENCE_DEFAULT: Duration = Duration::from_secs(5);
/// The longest of either.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(60);
/// The share of a second that a mebibyte of what is sent adds to a call's time.
pub const TIMEOUT_PER_MEBIBYTE: Duration = Duration::from_millis(100);
/// The least time to make a connection in, sentinels and greetings included.
pub const CONNECT_MIN: Duration = Duration::from_secs(2);
/// The pause before a connection is tried again; doubled for each failure in a row.
pub const CONNECT_PAUSE: Duration = Duration::from_millis(50);
/// The longest such pause.
pub const CONNECT_PAUSE_MAX: Duration = Duration::from_secs(2);
/// How often a connection is asked for a sign of life, and the sentinels who is the master.
pub const PING_PAUSE: Duration = Duration::from_secs(1);
/// Commands that a connection takes in and has not sent yet: far more than can come until it is given up.
pub const QUEUED_MAX: usize = 1 << 20;
/// Keys that one command reads.
pub const GET_KEYS_MAX: usize = 1_000;
/// Reads of different callers that one command does.
pub const READS_MAX: usize = 256;
/// Plain writes of different callers that one pipeline has.
pub const WRITES_MAX: usize = 256;
/// Pipelines of plain writes whose answers have not come.
pub const WRITES_SENT_MAX: usize = 4;
/// A plain write with more bytes goes alone.
pub const WRITE_BYTES_TOGETHER_MAX: usize = 4 * 1024;
/// Entries that one step of removing a tag looks at; others are served between the steps.
pub const TAG_STEP: usize = 500;
/// What each such step adds to the time in which a tag is removed.
pub const TIMEOUT_PER_TAG_STEP: Duration = Duration::from_millis(10);
/// A lease or hold lives at least so long.
pub const LEASE_MIN: Duration = Duration::from_secs(2);
/// Tags of one entry: their number is one byte.
pub const TAGS_MAX: usize = 255;
/// A tag: its length is one byte.
pub const TAG_BYTES_MAX: usize = 250;
/// How long a tag still knows a key whose entry was removed or overwritten: a lease of it goes with the tag so long.
pub const TAG_KNOWS: Duration = Duration::from_secs(3600);
/// The longest life of an entry; what is asked for beyond it lives so long.
pub const LIFE_MAX: Duration = Duration::from_secs(100 * 366 * 24 * 3600);
/// How long the answer to taking messages is waited for: a late one still tells what is held.
pub const TAKE_WAIT_MAX: Duration = Duration::from_secs(30);
/// Messages that a script which takes them also tells; more are read by a command behind it.
pub const TAKE_TOLD_MAX: usize = 16;
/// How often a queue that somebody waits on is looked at without word that something came.
pub const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// How often holds that run out are looked for.
pub const OFFER_PAUSE: Duration = Duration::from_millis(250);
/// Receivers of one broker that have not yet been seen to.
pub const REQUESTS_MAX: usize = 10_000;
/// Acknowledgements that one script carries out.
pub const ACKS_MAX: usize = 1_000;
/// Acknowledgements that wait for a script, of all queues of a broker, beside those that have not yet been seen to.
pub const ACKS_WAITING_MAX: usize = 10_000;
/// Words of the bell that have not yet been seen to.
pub const RUNG_MAX: usize = 1_024;
/// Bytes that one script takes in; a larger message goes alone.
pub const PUBLISH_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Messages that one step of an administration's work looks at or moves; others are served between the steps.
pub const STEP_MESSAGES_MAX: usize = 100;
/// Messages that one look shows.
pub const PEEK_MAX: usize = 1_000;
/// Notices that a listener reads at once.
pub const BUS_READ_MAX: usize = 100;
/// How long listeners of a closed bus may still hear what was published before.
pub const BUS_DRAIN: Duration = Duration::from_secs(5);
/// How long a message waits that a process cannot read, until it is handed out again.
pub const UNREAD_PAUSE: Duration = Duration::from_secs(10);
/// How often a process finds that it cannot read a message before that is a dead letter.
pub const UNREAD_TIMES_MAX: u32 = 6;
/// Messages that a process could not read of which it remembers how often; with one more it begins anew.
pub const UNREAD_KNOWN_MAX: usize = 1_000;
/// How often it is tried to give back what was taken by a call whose answer was lost.
pub const RECLAIM_TRIES_MAX: u32 = 100;
/// A consumer that holds nothing and did nothing for so long is forgotten.
pub const CONSUMER_IDLE_MAX: Duration = Duration::from_secs(3600);
/// How often a cluster is asked which of its servers has which slots.
pub const SLOTS_PAUSE: Duration = Duration::from_secs(5);
/// How long sentinels have to answer.
pub const SENTINELS_MAX: Duration = Duration::from_millis(500);
/// How long what a sentinel has said counts when it is not heard any more. They tell each other every two seconds.
pub const SENTINEL_KNOWS: Duration = Duration::from_secs(60);
/// How long the other servers of a cluster, or the other sentinels, have to tell something newer when one has answered.
pub const MAP_PAUSE: Duration = Duration::from_millis(100);
/// Queues with messages whose time is over that one step sees to.
pub const SWEEP_QUEUES_MAX: usize = 10;
