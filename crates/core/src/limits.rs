//! Every bound in one table. A new list, queue, loop or wait brings its line here and a test at the limit.
//!
//! Names end in their unit. `_DEFAULT` can be configured, everything else is fixed.

pub mod elsewhere;
pub mod kafka;
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
/// Memory for cached entries, keys and overhead included, unless configured otherwise.
pub const MEMORY_BYTES_DEFAULT: usize = 256 * 1024 * 1024;
/// Smallest memory budget: below it a shard could not hold one entry.
pub const MEMORY_BYTES_MIN: usize = 1024 * 1024;
/// Entries that one background sweep may look at before it rests; and those of one segment more, which it does not leave half
/// looked at.
pub const SWEEP_ENTRIES_MAX: usize = 3_000;
/// Entries that one background sweep drops before it rests, and those of one more hold of a shard.
pub const SWEEP_DROPPED_MAX: usize = 1_000;
/// Entries that a sweep drops before it lets others have the shard for a moment.
pub const SWEEP_HOLD_DROPPED_MAX: usize = 256;
/// Candidates for the keys that are read most.
pub const MEMORY_TOP_KEYS: usize = 128;
/// Of these, how many are shown.
pub const MEMORY_TOP_SHOWN_MAX: usize = 32;
/// Every so many reads of a shard one is looked at for that, once there were many.
pub const MEMORY_SAMPLE_READS: u64 = 512;
/// After such a time a read counts half as much for that.
pub const MEMORY_TOP_FADE: Duration = Duration::from_secs(60);
/// Bytes of a snapshot of the store that are put together before they are written; the last entry of them may be longer.
pub const SNAPSHOT_CHUNK_BYTES: usize = 256 * 1024;
/// Shards of the memory store.
pub const MEMORY_SHARDS_MAX: usize = 1024;
/// Smallest shard, unless the whole budget is smaller; a shard also has room for several of the largest values.
pub const MEMORY_SHARD_BYTES_MIN: usize = 1024 * 1024;
/// Smallest segment of a shard; there are up to 256 of them before they grow.
pub const MEMORY_SEGMENT_BYTES_MIN: usize = 4 * 1024;
/// Largest segment of a shard.
pub const MEMORY_SEGMENT_BYTES_MAX: usize = 64 * 1024;
/// Groups of keys in one shard that share what is known of removed versions.
pub const MEMORY_LEASE_STRIPES: usize = 256;
/// Memory for pinned results, keys and overhead included, unless configured otherwise.
pub const PINNED_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;
/// Prefixes whose keys are pinned results.
pub const PINNED_PREFIXES_MAX: usize = 64;
/// Groups of pinned keys that share what is known of removed versions.
pub const PINNED_LEASE_STRIPES: usize = 4_096;
/// Changes of pinned results that are written together, in bytes; one larger than that is written alone.
pub const PINNED_BATCH_BYTES_MAX: usize = 1024 * 1024;
/// The same in records.
pub const PINNED_BATCH_RECORDS_MAX: usize = 4_096;
/// Smallest file of the log of pinned results.
pub const PINNED_SEGMENT_BYTES_MIN: u64 = 4 * 1024 * 1024;
/// Files that the log of pinned results has beyond twice what is in it, before old ones are emptied.
pub const PINNED_SEGMENTS_SLACK: u64 = 4;
/// Files that it may have beyond twice its memory: those, and what a log keeps ready and in reserve.
pub const PINNED_SEGMENTS_BEYOND: u64 = 32;
/// How long the log of pinned results rests after the disk had no room for it.
pub const PINNED_RETRY_PAUSE: Duration = Duration::from_millis(100);
/// How often pinned results whose time is over are looked for.
pub const PINNED_SWEEP_PAUSE: Duration = Duration::from_secs(1);
/// Entries that one write may spare while it makes room; then the oldest go, used or not.
pub const MEMORY_SPARED_MAX: usize = 1024;
/// Entries that a write pushes out before it lets others have the shard for a moment, and goes on.
pub const MEMORY_EVICTED_MAX: usize = 4_096;
/// Bytes that a write moves about before it lets others have the shard for a moment, and goes on.
pub const MEMORY_MOVED_BYTES_MAX: usize = 256 * 1024;
/// How often a write takes the shard to make room, and how much more often for each mebibyte of it; then it is refused.
pub const MEMORY_HOLDS_MAX: usize = 256;
/// What a shard's budget shrinks by before others have the shard for a moment.
pub const MEMORY_SHRINK_STEP_BYTES: usize = 64 * 1024;
/// Memory for the entries of queues that is added to what cache and payloads were given, unless a total was set: room for
/// about ten million messages.
pub const QUEUE_ENTRIES_BYTES_DEFAULT: u64 = 704 * 1024 * 1024;
/// The share of its budget, one in so many, that pressure leaves to the cache.
pub const CACHE_FLOOR_SHARE: u64 = 4;
/// The share of the total, one in so many, that must be free again before the governor takes a measure back.
pub const GOVERNOR_SLACK_SHARE: u64 = 32;
/// The steps in which the governor moves the cache's budget.
pub const GOVERNOR_CACHE_STEPS: u64 = 32;
/// How many of these steps the cache shrinks by at a time.
pub const GOVERNOR_SHRINK_STEPS_MAX: u64 = 4;
/// The pause between two looks of the governor.
pub const GOVERNOR_PAUSE: Duration = Duration::from_millis(100);
/// The governor rests at least so many times as long as it has looked.
pub const GOVERNOR_REST_FACTOR: u32 = 20;
/// Keys that one cache loads at one time; beyond it a miss is refused as full.
pub const CACHE_FLIGHTS_MAX: usize = 10_000;
/// Callers that wait for the load of one key; beyond it a miss is refused as full.
pub const CACHE_WAITERS_MAX: usize = 100_000;
/// Keys that one batch get may ask for; beyond it the call is refused as too large.
pub const CACHE_BATCH_KEYS_MAX: usize = 10_000;
/// Loads that one source is asked for at one time, unless configured otherwise.
pub const LOADS_CONCURRENT_DEFAULT: usize = 64;
/// Loads that wait for their turn at one source, unless configured otherwise; beyond it a load is refused as full.
pub const LOADS_WAITING_DEFAULT: usize = 1_000;
/// Most of either that can be configured.
pub const LOADS_CEILING: usize = 100_000;
/// How long one load may take, unless configured otherwise.
pub const LOAD_HARD_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// How often a caller begins the load of a key again that was cut off before it ended.
pub const LOAD_STARTS_MAX: u32 = 3;
/// How many absent keys one source's cache remembers within one negative time to live, unless configured otherwise; further
/// ones are not remembered, so that made-up keys cannot push out values.
pub const NEGATIVES_MAX_DEFAULT: u64 = 100_000;
/// Keys that a guard can be made for: at one in a hundred wrongly let through, 1.2 GB.
pub const GUARD_KEYS_MAX: usize = 1_000_000_000;
/// Places in which tags and namespaces note when they were made invalid; names that share one are made so together.
pub const CACHE_TAG_STRIPES: usize = 16 * 1024;
/// Tags of one cached entry.
pub const CACHE_ENTRY_TAGS_MAX: usize = 16;
/// Longest name of a namespace; the rest of a key is left to the keys in it.
pub const CACHE_NAMESPACE_BYTES_MAX: usize = 100;
/// How often a change of a session is made anew because somebody else was faster.
pub const CACHE_CHANGE_TRIES_MAX: usize = 1_000;
/// Longest lease of a lock.
pub const CACHE_LOCK_LEASE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Largest number that a rate limit can allow in its window.
pub const CACHE_RATE_LIMIT_MAX: u64 = 1 << 40;
/// Longest window of a rate limit.
pub const CACHE_RATE_WINDOW_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// Keys with a write that the source of a write-behind has not yet, unless configured otherwise; beyond it writes of other
/// keys are refused as full.
pub const WRITE_BEHIND_KEYS_DEFAULT: usize = 100_000;
/// Bytes of these writes, unless configured otherwise.
pub const WRITE_BEHIND_BYTES_DEFAULT: usize = 64 * 1024 * 1024;
/// What one of them counts beside its key and value.
pub const WRITE_BEHIND_ENTRY_BYTES: usize = 256;
/// Keys of one write-behind that are written to the source at one time, unless configured otherwise.
pub const WRITE_BEHIND_CONCURRENCY_DEFAULT: usize = 8;
/// How long a write-behind hears nothing of a write before it looks whether that is still in the queue.
pub const WRITE_BEHIND_CHECK_PAUSE: Duration = Duration::from_secs(60);
/// How long the queue of a write-behind retains what was written: the least that lets its messages be read without taking
/// them.
pub const WRITE_BEHIND_RETAIN: Duration = Duration::from_secs(1);

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

/// Size of one log segment; also the bound of one record.
pub const SEGMENT_BYTES_DEFAULT: u32 = 16 * 1024 * 1024;
/// Records appended and not yet written; beyond it appends are refused as full.
pub const LOG_PENDING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Disk for all segments unless configured otherwise. Publishes are refused as full before it is used up.
pub const LOG_DISK_BYTES_DEFAULT: u64 = 8 * 1024 * 1024 * 1024;
/// The share of the log's disk, one in so many, that publishes leave to the records that empty queues: deliveries,
/// settles, and live messages carried out of old segments.
pub const LOG_RESERVE_SHARE: u64 = 8;
/// The same in segments, for a small disk: those made ready ahead, what is garbage before it is worth carrying live
/// messages out of its way, and the copies of these.
pub const LOG_RESERVE_SEGMENTS_MIN: u64 = 8;
/// Fewest segments in use before live messages are carried out of the oldest one.
pub const CARRY_SEGMENTS_MIN: u64 = 4;
/// Fewest segments that a broker's disk must have room for: with less, publishes would be refused for ever.
pub const BROKER_SEGMENTS_MIN: u64 = LOG_RESERVE_SEGMENTS_MIN + CARRY_SEGMENTS_MIN;
/// Smallest segment that can be configured.
pub const SEGMENT_BYTES_MIN: u32 = 512;
/// Largest segment that can be configured: recovery reads one at a time into memory.
pub const SEGMENT_BYTES_MAX: u32 = 1024 * 1024 * 1024;
/// Segments made ready before they are needed; more of them while a batch waits that needs more.
pub const SEGMENTS_AHEAD: usize = 4;
/// Of these, the last that records which bring something new leave to others.
pub const SEGMENTS_LEFT_BY_NEW: usize = 2;
/// The last that steps towards freeing space leave to what frees it.
pub const SEGMENTS_LEFT_BY_STEPS: usize = 1;
/// Segments made ready when retired ones can be reused for it; more are removed.
pub const SEGMENTS_SPARE_MAX: usize = 5;
/// Batches of one class that wait for room in the log; further ones are refused as full.
pub const LOG_WAITERS_MAX: usize = 10_000;
/// Finished segments whose files are kept open for reading.
pub const SEGMENT_HANDLES_MAX: usize = 64;
/// How often something is tried again that the log refused because it was not ready, each time after it was.
pub const LOG_TRIES_MAX: u32 = 8;
/// Missing segments in a row that recovery replaces when it sets damage aside.
pub const SEGMENTS_MISSING_MAX: u64 = 64;
/// How long the log waits before it tries again to find room on a full disk.
pub const LOG_FULL_RETRY: Duration = Duration::from_millis(500);
/// The longest that the log holds a batch open for callers whose records have just become durable.
pub const LOG_GATHER_MAX: Duration = Duration::from_micros(100);
/// A written batch's buffer is kept for the next one up to this size.
pub const BATCH_BUFFER_BYTES_KEPT: usize = 4 * 1024 * 1024;

/// Client connections of one front.
pub const CONNECTIONS_DEFAULT: usize = 10_000;
/// Unsent reply bytes of one connection before it stops being read.
pub const OUTPUT_BYTES_MAX: usize = 1024 * 1024;
/// Threads of one front's listeners.
pub const LISTENER_THREADS_MAX: usize = 64;
/// How long a listener rests after the system refused it a connection, descriptors run out most of all.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A memcached command line whose end has not come.
pub const MEMCACHED_OPEN_LINE_BYTES_MAX: usize = 2048;
/// A memcached command line whose end has come: what memcached reads at once.
pub const MEMCACHED_LINE_BYTES_MAX: usize = 16 * 1024;
/// A memcached `get` or `gets`, which may name thousands of keys.
pub const MEMCACHED_GET_LINE_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of one connection that are read and answered before others have their turn.
pub const MEMCACHED_INPUT_BYTES: usize = 64 * 1024;
/// Half-read commands and half-sent answers of all memcached connections, unless configured otherwise. Beyond it a
/// value is refused, and a connection that does not take its answers ends.
pub const MEMCACHED_BUFFERS_BYTES_DEFAULT: usize = 128 * 1024 * 1024;
/// What a connection may have of either without its being counted.
pub const MEMCACHED_BUFFER_BYTES_FREE: usize = 64 * 1024;
/// Keys of one memcached `get` that are answered before other connections have their turn.
pub const MEMCACHED_TURN_KEYS_MAX: usize = 1_000;
/// Connections that `stats conns` lists.
pub const MEMCACHED_CONNECTIONS_SHOWN_MAX: usize = 1_000;
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
/// Calls in a row that a node may leave unanswered before it is taken to be away.
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
/// Largest AMQP frame that is agreed to.
pub const AMQP_FRAME_BYTES_MAX: u32 = 128 * 1024;
/// Channels of one AMQP connection.
pub const AMQP_CHANNELS_MAX: u16 = 2047;
/// How often an AMQP peer is to give a sign of life, as the server proposes it.
pub const AMQP_HEARTBEAT: Duration = Duration::from_secs(60);
/// How long an AMQP client may take to open its connection.
pub const AMQP_HANDSHAKE_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long a connection or channel that was refused something is kept open for the client's answer to that.
pub const AMQP_CLOSE_WAIT_MAX: Duration = Duration::from_secs(5);
/// What is read of an AMQP connection at once, beyond the frame that is awaited.
pub const AMQP_INPUT_BYTES: usize = 16 * 1024;
/// Bodies of all AMQP connections whose frames are still coming, and messages of transactions that are not committed;
/// beyond it they are refused.
pub const AMQP_BODIES_BYTES_MAX: usize = 512 * 1024 * 1024;
/// A body up to this size is not counted there while it comes.
pub const AMQP_BODY_BYTES_FREE: usize = 64 * 1024;
/// Bytes of the messages, with properties and headers, and these anew for each queue that a message goes to, that one AMQP
/// connection has published and that are not yet durable, before it stops being read; a batch of one channel ends there, too.
pub const AMQP_PUBLISHING_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The same in messages.
pub const AMQP_PUBLISHING_MESSAGES_MAX: usize = 10_000;
/// Queues into which one batch of an AMQP channel goes at once; into more by and by.
pub const AMQP_PUBLISHING_QUEUES_MAX: usize = 1_000;
/// Frames of one AMQP connection that wait for what their channels published before them, while other channels go on; at
/// it the connection stops being read.
pub const AMQP_PARKED_FRAMES_MAX: usize = 4096;
/// The same in bytes, beyond a last frame.
pub const AMQP_PARKED_BYTES_MAX: usize = 1024 * 1024;
/// Deliveries that one AMQP consumer is handed at once, so that others have theirs.
pub const AMQP_DELIVERIES_AT_ONCE: usize = 64;
/// Deliveries of one AMQP channel that are not settled; its consumers wait beyond it, whatever their prefetch.
pub const AMQP_UNSETTLED_MAX: usize = 256 * 1024;
/// Acknowledgements of one AMQP connection on their way into the log before it stops being read.
pub const AMQP_SETTLING_MAX: usize = 64 * 1024;
/// How often a message of a quorum queue may be given back, unless its arguments say otherwise.
pub const AMQP_DELIVERY_LIMIT_DEFAULT: u64 = 20;
/// How often it is looked for queues that nobody has used for their time.
pub const AMQP_UNUSED_LOOK: Duration = Duration::from_millis(100);
/// Memory that looking at one password may take, in KiB.
pub const PASSWORD_KIB_MAX: u32 = 256 * 1024;
/// The same over all its passes.
pub const PASSWORD_COST_MAX: u64 = 1024 * 1024;
/// Passwords that are looked at at a time; further ones wait.
pub const PASSWORDS_AT_ONCE: usize = 2;
/// Messages in the transactions of one AMQP connection.
pub const AMQP_TX_MESSAGES_MAX: usize = 10_000;
/// Their bytes, with properties and headers.
pub const AMQP_TX_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Replies to one AMQP connection, sent straight to it, that it has not yet passed on; further ones are lost.
pub const AMQP_REPLIES_MAX: usize = 10_000;
/// Their bytes; the first one has room whatever its size.
pub const AMQP_REPLIES_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Consumers of one AMQP channel.
pub const AMQP_CONSUMERS_MAX: usize = 4096;
/// Body of one HTTP request.
pub const HTTP_BODY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Request bodies of all HTTP connections together; beyond it requests are refused as full.
pub const HTTP_BODIES_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How long an HTTP client may take to send a request's head, and how long a connection may stay idle.
pub const HTTP_HEAD_WAIT_MAX: Duration = Duration::from_secs(30);
/// How long an HTTP client may take to send a request's body.
pub const HTTP_BODY_WAIT_MAX: Duration = Duration::from_secs(60);
/// A longer HTTP body is read aside, so that the other requests of its thread need not wait.
pub const HTTP_BODY_READ_AT_ONCE_BYTES_MAX: usize = 1024 * 1024;
/// One message's headers as JSON, which escapes and spaces make longer than the headers are.
pub const HTTP_HEADERS_JSON_BYTES_MAX: usize = 8 * HEADERS_BYTES_MAX;
/// Values in the headers of all messages of one HTTP request: two bytes of JSON make one.
pub const HTTP_HEADER_VALUES_MAX: usize = 256 * 1024;
/// How long an HTTP client may take none of an answer that waits for it.
pub const HTTP_WRITE_WAIT_MAX: Duration = Duration::from_secs(30);
/// Messages of one HTTP look into a queue.
pub const HTTP_PEEK_MAX: usize = 100;
/// Queues that the metrics name; the rest are summed up under one label.
pub const METRICS_QUEUES_MAX: usize = 1_000;
/// Failures that the health page remembers.
pub const HEALTH_FAILURES_MAX: usize = 16;
/// The longest life that can be asked for a cached value over HTTP.
pub const TTL_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 3600);
/// How long a stop waits for connections and workers to finish.
pub const DRAIN_DEFAULT: Duration = Duration::from_secs(10);

// RabbitMQ as a backend.
/// Seconds between heartbeats with the server unless its URL says otherwise: one that has stopped is noticed after two.
pub const RABBITMQ_HEARTBEAT_S: u16 = 10;
/// How long making a connection may take.
pub const RABBITMQ_CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long a call waits for a server that is away, and for each of its answers, unless the URL says otherwise.
pub const RABBITMQ_WAIT_DEFAULT: Duration = Duration::from_secs(10);
/// The longest that it may say.
pub const RABBITMQ_WAIT_MAX: Duration = Duration::from_secs(600);
/// The pause before the server is asked again; doubled for every failure, up to `BROKER_PAUSE_MAX`.
pub const RABBITMQ_PAUSE: Duration = Duration::from_millis(100);
/// How often the state of the connection and of unused queues is looked at.
pub const RABBITMQ_LOOK: Duration = Duration::from_millis(100);
/// How long closing a channel or a connection in good order may take.
pub const RABBITMQ_GOODBYE_MAX: Duration = Duration::from_secs(2);
/// Deliveries of one queue in one process, held ones and those kept ready, unless the URL says otherwise.
pub const RABBITMQ_PREFETCH_DEFAULT: u16 = 256;
/// By so many a delivery's number on its channel may be ahead of what has come: more than all consumers of a queue prefetch.
pub const RABBITMQ_TAGS_AHEAD_MAX: u64 = 1 << 20;
/// The prefix of a server's queues.
pub const RABBITMQ_PREFIX_BYTES_MAX: usize = 100;
/// A queue's name with its prefix; the rest of AMQP's 255 bytes is for what belongs to the queue.
pub const RABBITMQ_NAME_BYTES_MAX: usize = 220;
/// The greatest priority: each is a queue of the server.
pub const RABBITMQ_PRIORITY_MAX: u8 = 9;
/// What goes with a payload must fit into one frame of 128 KiB with AMQP's own properties.
pub const RABBITMQ_ENVELOPE_BYTES_MAX: usize = 120 * 1024;
/// Powers of two milliseconds for which messages can wait on the server: a quarter of a second to more than a year.
pub const RABBITMQ_WAIT_CLASSES: std::ops::RangeInclusive<u32> = 8..=35;
/// Messages of a queue lie in this process unasked for no longer than this.
pub const RABBITMQ_IDLE: Duration = Duration::from_secs(1);
/// An empty answer takes at least so long: what is on the server needs time to come.
pub const RABBITMQ_EMPTY_MIN: Duration = Duration::from_millis(50);
/// How long what is tried again may take to come before the rest of an ordered queue.
pub const RABBITMQ_ARRIVAL_MAX: Duration = Duration::from_secs(5);
/// The pause before a queue's settings are asked for again that another process reads.
pub const RABBITMQ_LOCK_PAUSE: Duration = Duration::from_millis(20);
/// Payloads beyond this are published on a channel of their own.
pub const RABBITMQ_SHARED_BYTES_MAX: usize = 1024 * 1024;
