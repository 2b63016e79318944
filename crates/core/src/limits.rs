//! Every bound: here what ports and rules state, whoever serves them, and each room's own in a file of its name. A new list,
//! queue, loop or wait brings its line here and a test at the limit.
//!
//! Names end in their unit. `_DEFAULT` can be configured, everything else is fixed.

pub mod amqp;
pub mod cache;
pub mod elsewhere;
pub mod http;
pub mod kafka;
pub mod log;
pub mod memcached;
pub mod memory;
pub mod near;
pub mod rabbitmq;
pub mod redis;
pub mod sqs;

use std::time::Duration;

/// Longest cache key, as memcached has it.
pub const KEY_BYTES_MAX: usize = 250;
/// Largest cached value unless configured otherwise.
pub const VALUE_BYTES_MAX_DEFAULT: usize = 1024 * 1024;
/// Largest value that can be configured: a value is one allocation and one reply.
pub const VALUE_BYTES_MAX_CEILING: usize = 128 * 1024 * 1024;

/// Longest queue name, as AMQP's short string has it.
pub const QUEUE_NAME_BYTES_MAX: usize = 255;
/// What the front that declared a queue knows it by.
pub const QUEUE_DECLARATION_BYTES_MAX: usize = 32 * 1024;
/// Longest exchange name, as AMQP's short string has it.
pub const EXCHANGE_NAME_BYTES_MAX: usize = 255;
/// Longest routing key of a binding, as the same has it; so a topic pattern has at most 256 words.
pub const ROUTING_KEY_BYTES_MAX: usize = 255;
/// Virtual hosts of one broker.
pub const VIRTUAL_HOSTS_MAX: usize = 10_000;
/// Longest name of a virtual host, as AMQP's short string has it.
pub const VIRTUAL_HOST_NAME_BYTES_MAX: usize = 255;
/// Exchanges of one virtual host.
pub const EXCHANGES_MAX: usize = 100_000;
/// Bindings of one virtual host.
pub const BINDINGS_MAX: usize = 1_000_000;
/// What the exchanges and bindings of one virtual host take in memory, by a generous count of keys and arguments.
pub const TOPOLOGY_BYTES_MAX: usize = 1024 * 1024 * 1024;
/// One change of exchanges or bindings in the log: four short texts and arguments.
pub const ROUTING_CHANGE_BYTES_MAX: usize = HEADERS_BYTES_MAX + 4 * 256 + 16;
/// Longest message id, ordering key or content type.
pub const MESSAGE_TEXT_BYTES_MAX: usize = 255;
/// Encoded headers of one message.
pub const HEADERS_BYTES_MAX: usize = 64 * 1024;
/// Tables and lists inside each other in one message's headers.
pub const HEADERS_DEPTH_MAX: usize = 32;
/// One message: payload and headers.
pub const MESSAGE_BYTES_MAX: usize = 128 * 1024 * 1024;
/// A longer payload lies in a file of its own beside the log, unless configured otherwise, and the log has a claim to it.
pub const CLAIM_ABOVE_BYTES_DEFAULT: usize = 1024 * 1024;
/// Callers that wait for such files to be written, and as many that wait for one to be read; further ones are refused as
/// full. Of each kind one is served at a time.
pub const CLAIM_WAITERS_MAX: usize = 1_000;
/// Messages in one publish call.
pub const PUBLISH_MESSAGES_MAX: usize = 1_000;
/// A delivery is held for so long while large payloads are read for it; its own hold begins when that is done.
pub const CLAIM_READ_HOLD: Duration = Duration::from_secs(600);
/// Deliveries handed out by one receive call.
pub const RECEIVE_DELIVERIES_MAX: usize = 1_000;
/// Bytes of the messages handed out by one receive call; the first one is handed out whatever its size.
pub const RECEIVE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Receivers that wait on one queue at a time.
pub const RECEIVERS_MAX: usize = 10_000;
/// What a consumer says of a failure; the rest is cut off.
pub const NOTE_BYTES_MAX: usize = 1024;
/// How long a delivery whose hold ran out stays with whoever took it to settle it, before it is offered again.
pub const EXPIRED_GRACE: Duration = Duration::from_secs(10);
/// How long a queue leaves alone what it could not do: read a damaged message, or write while the log is full.
pub const QUEUE_PAUSE: Duration = Duration::from_secs(1);
/// Messages of one queue that come to their time in one step; the queue is free for others between the steps.
pub const DUE_MESSAGES_MAX: usize = 1_000;
/// Messages of a purged or deleted queue that are forgotten in one step.
pub const SLICE_MESSAGES_MAX: usize = 1_000;
/// Messages that are looked at in one step of finding one by its id; each is read from the log.
pub const FIND_LOOKS_MAX: usize = 100;
/// Dead letters that are looked at in one step of redriving; each is read from the log.
pub const REDRIVE_LOOKS_MAX: usize = 100;
/// Deliveries whose hold ran out that wait to be offered; further ones are looked at again later.
pub const RUN_OUT_MAX: usize = 10_000;
/// Deliveries whose hold ran out handed out at once.
pub const EXPIRED_DELIVERIES_MAX: usize = 100;
/// Entries in a dead letter's history; the oldest give way, the count of each goes on.
pub const HISTORY_ENTRIES_MAX: usize = 64;
/// Routing keys that each of them tells; the rest, and longer ones than an exchange takes, are left out.
pub const HISTORY_KEYS_MAX: usize = 16;
/// Queues in one broker.
pub const QUEUES_MAX: usize = 100_000;
/// Queues beyond these that are declared because dead letters must go somewhere; with more, messages stay where they are.
pub const DEAD_LETTER_QUEUES_MAX: usize = 1_000;
/// Ready, delayed and held messages of one queue unless its settings say otherwise.
pub const QUEUE_LENGTH_DEFAULT: u64 = 10_000_000;
/// Payload bytes that all queues keep in memory; the rest is read from the log when it is delivered.
pub const QUEUE_HOT_BYTES_DEFAULT: usize = 64 * 1024 * 1024;
/// How long a queue remembers the dedup ids of messages it took, unless its settings say otherwise.
pub const DEDUP_WINDOW_DEFAULT: Duration = Duration::from_secs(120);
/// The longest such time.
pub const DEDUP_WINDOW_MAX: Duration = Duration::from_secs(24 * 3600);
/// The longest time to live that a queue can give what comes in.
pub const MESSAGE_TTL_MAX: Duration = Duration::from_secs(100 * 366 * 24 * 3600);
/// Dedup ids that one queue remembers; beyond it the oldest are forgotten before their time, and counted.
pub const DEDUP_IDS_MAX: usize = 1_000_000;
/// The longest that finished messages are kept to be read again.
pub const RETAIN_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// Finished messages that one queue retains; beyond it the oldest are forgotten before their time, and counted.
pub const RETAINED_MESSAGES_MAX: usize = 10_000_000;
/// The share of the log's disk, one in so many, from which on finished messages give way: publishes find it free.
pub const RETAINED_LEAVES_SHARE: u64 = 8;
/// Messages that one replay reads at most.
pub const REPLAY_MESSAGES_MAX: usize = 1_000;
/// Attempts before a message is dead-lettered, unless the queue's settings say otherwise.
pub const ATTEMPTS_DEFAULT: u32 = 5;
/// Most attempts that can be asked for.
pub const ATTEMPTS_MAX: u32 = 10_000;
/// How long a delivery is held for its consumer, unless asked otherwise.
pub const HOLD_DEFAULT: Duration = Duration::from_secs(30);
/// The longest hold.
pub const HOLD_MAX: Duration = Duration::from_secs(12 * 3600);
/// The longest delay of a message.
pub const DELAY_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// The longest time a receive waits for a message.
pub const RECEIVE_WAIT_MAX: Duration = Duration::from_secs(30);
/// Handlers that one worker runs at a time.
pub const WORKER_CONCURRENCY_MAX: usize = 1_000;
/// Handlers that a worker's rate lets begin at a time: it remembers when each began.
pub const WORKER_RATE_COUNT_MAX: usize = 10_000;
/// How often a worker tries to settle a finished delivery before it leaves it to run out.
pub const SETTLE_TRIES_MAX: u32 = 8;
/// The pause before a worker, consumer or expirer asks a broker again that has just refused; doubled for each refusal in a
/// row.
pub const BROKER_PAUSE: Duration = Duration::from_millis(500);
/// The longest such pause.
pub const BROKER_PAUSE_MAX: Duration = Duration::from_secs(5);

/// One notice on a bus.
pub const NOTICE_BYTES_MAX: usize = 64 * 1024;
/// Notices that a bus keeps for listeners that are behind, unless configured otherwise; who falls further behind is told of
/// a gap.
pub const BUS_NOTICES_DEFAULT: usize = 65_536;
/// Bytes of the same.
pub const BUS_BYTES_DEFAULT: usize = 16 * 1024 * 1024;
/// Listeners of one bus.
pub const BUS_LISTENERS_MAX: usize = 10_000;

/// Client connections of one front.
pub const CONNECTIONS_DEFAULT: usize = 10_000;
/// Unsent reply bytes of one connection before it stops being read.
pub const OUTPUT_BYTES_MAX: usize = 1024 * 1024;
/// Threads of one front's listeners.
pub const LISTENER_THREADS_MAX: usize = 64;
/// How long a listener rests after the system refused it a connection, descriptors run out most of all.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Nodes of one shared memcached.
pub const MEMCACHED_NODES_MAX: usize = 1_000;
/// Weight of one of them.
pub const MEMCACHED_WEIGHT_MAX: u32 = 1_000;
/// Connections to one of them.
pub const MEMCACHED_LINKS_MAX: usize = 64;
/// The same, unless configured otherwise.
pub const MEMCACHED_LINKS_DEFAULT: usize = 2;
/// How long a call to a shared memcached may take, unless configured otherwise.
pub const MEMCACHED_TIMEOUT_DEFAULT: Duration = Duration::from_millis(500);
/// Longest time-out of such a call that can be configured.
pub const MEMCACHED_TIMEOUT_MAX: Duration = Duration::from_secs(60);
/// Calls that wait to be sent over one connection; further ones wait for their turn within their time-out.
pub const MEMCACHED_QUEUED_CALLS_MAX: usize = 1_024;
/// Bytes of the same; one call has room whatever its size.
pub const MEMCACHED_QUEUED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Calls sent over one connection whose answers have not come.
pub const MEMCACHED_SENT_CALLS_MAX: usize = 4_096;
/// How long nobody watches a connection whose callers read their replies themselves, or one that is not polled any more does.
pub const MEMCACHED_UNWATCHED_MAX: Duration = Duration::from_millis(100);
/// Commands of one call.
pub const MEMCACHED_CALL_COMMANDS_MAX: usize = 500;
/// Bytes of several calls that are sent at once.
pub const MEMCACHED_WRITE_BYTES: usize = 64 * 1024;
/// A line of a memcached's answer.
pub const MEMCACHED_REPLY_LINE_BYTES_MAX: usize = 2_048;
/// Lines of a memcached's answer to a connection's first words.
pub const MEMCACHED_GREETING_LINES_MAX: usize = 1_000;
/// Calls in a row that a connection to a memcached may leave unanswered before it is looked whether its node is away.
pub const MEMCACHED_UNANSWERED_MAX: u32 = 5;
/// Keys whose invalidation a node has missed; with more of them all that it has is dropped.
pub const MEMCACHED_MISSED_KEYS_MAX: usize = 10_000;
/// The pause before the first attempt to reach a node again.
pub const MEMCACHED_RETRY_MIN: Duration = Duration::from_millis(50);
/// The longest pause between two attempts.
pub const MEMCACHED_RETRY_MAX: Duration = Duration::from_secs(2);
/// How long a peer may leave sent bytes without a sign of having received them, before its connection ends.
pub const MEMCACHED_SILENCE_MAX: Duration = Duration::from_secs(10);
/// How long an entry lives on another node while its own is away.
pub const MEMCACHED_GUEST_LIFE: Duration = Duration::from_secs(10);
/// How often a write is made anew because somebody else came between its look and its change.
pub const MEMCACHED_CHANGE_TRIES_MAX: usize = 16;
/// How long a stop waits for connections and workers to finish.
pub const DRAIN_DEFAULT: Duration = Duration::from_secs(10);
