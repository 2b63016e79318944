//! Every bound and measure of the demo in one table.

use std::time::Duration;

/// Length of the replay unless asked otherwise; with start and end the demo stays under a minute.
pub(super) const SECONDS_DEFAULT: u64 = 40;
/// Shortest replay: a crash half-way needs something before and after it.
pub(super) const SECONDS_MIN: u64 = 4;
/// Longest replay.
pub(super) const SECONDS_MAX: u64 = 600;

/// Fewest accesses that a trace must have: with less, there would be no orders to judge.
pub(super) const TRACE_ACCESSES_MIN: u64 = 1_000;
/// Most accesses that are used of one trace.
pub(super) const TRACE_ACCESSES_MAX: u64 = 50_000_000;
/// Most products; a trace is used up to the access that would need one more.
pub(super) const PRODUCTS_MAX: usize = 200_000;
/// Memory that decoding a trace may take, in KiB; the largest preset of `xz` needs half of it.
pub(super) const TRACE_MEMORY_KIB_MAX: u32 = 128 * 1024;

/// Customers who read pages at the same time.
pub(super) const READERS: usize = 8;
/// How long after the end of the replay a page view that was due before may still begin.
pub(super) const VIEW_LATE_MAX: Duration = Duration::from_millis(250);
/// One page view in so many becomes an order.
pub(super) const VIEWS_PER_ORDER: u64 = 25;
/// Orders that are placed and not done yet; whoever comes then is turned away. On a slow machine the shop sells less, and the last order is done in time all the same.
pub(super) const OPEN_ORDERS_MAX: u64 = 600;
/// Longest time between two bursts of orders.
pub(super) const BURST_EVERY_MAX: Duration = Duration::from_secs(3);
/// Publishes that a burst is made of at least, so that a crash can fall between them.
pub(super) const BURST_BATCHES_MIN: usize = 4;
/// Orders that are published before their confirms are waited for.
pub(super) const BATCH_ORDERS_MAX: usize = 100;
/// Workers on the order queue.
pub(super) const WORKERS: usize = 4;
/// Workers' rate in percent of the mean rate of orders: just enough to catch up between bursts.
pub(super) const WORK_RATE_PERCENT: u32 = 115;
/// Workers' rate before there was an order, per second.
pub(super) const WORK_RATE_MIN: f64 = 10.0;
/// How long a worker waits for an order before it looks whether it is to stop.
pub(super) const RECEIVE_WAIT: Duration = Duration::from_millis(250);
/// How long after the replay the last orders may take.
pub(super) const DRAIN_MAX: Duration = Duration::from_secs(15);
/// Pause between two looks whether the queue is empty.
pub(super) const DRAIN_LOOK_EVERY: Duration = Duration::from_millis(50);

/// How old a page may be: a read that starts later than this after an invalidation returned shows the new version.
pub(super) const STALE_AFTER: Duration = Duration::from_secs(1);
/// Invalidations of one product that are remembered one by one until they are older than [`STALE_AFTER`].
pub(super) const FLOORS_PENDING_MAX: usize = 64;

/// Time to live of a cached page: longer than the demo, so that no expiry hides a stale page.
pub(super) const PAGE_TTL: Duration = Duration::from_secs(3_600);
/// How long a fill may take before another reader gets the lease.
pub(super) const LEASE_TTL: Duration = Duration::from_secs(30);
/// How often a reader asks again while another one fills; then it reads the database itself.
pub(super) const LEASE_TRIES_MAX: u32 = 20;
/// The pause between.
pub(super) const LEASE_PAUSE: Duration = Duration::from_millis(1);

/// First pause after a failed call to the daemon.
pub(super) const BACKOFF_FIRST: Duration = Duration::from_millis(5);
/// Longest pause after failed calls.
pub(super) const BACKOFF_LONGEST: Duration = Duration::from_millis(40);
/// How long one answer of the cache may take.
pub(super) const CACHE_ANSWER_MAX: Duration = Duration::from_secs(1);
/// How long one call to the queue may take, a new connection included, apart from waiting for a message.
pub(super) const QUEUE_ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long a declaration may take: longer than a daemon waits for a broker that is away by default, so that it is the daemon who
/// says what is away.
pub(super) const DECLARE_ANSWER_MAX: Duration = Duration::from_secs(15);
/// Longest line that the cache may answer with.
pub(super) const CACHE_LINE_BYTES_MAX: usize = 2_048;
/// Longest value that the cache may answer with; a page is a fraction of it.
pub(super) const CACHE_VALUE_BYTES_MAX: usize = 64 * 1024;
/// Longest answer to the question how deep the queue is.
pub(super) const QUEUE_BODY_BYTES_MAX: usize = 64 * 1024;
/// Longest AMQP frame; a client keeps buffers for 64 of them, and an order is a fraction of one.
pub(super) const QUEUE_FRAME_BYTES_MAX: u32 = 8 * 1024;
/// Heartbeats of an AMQP connection, in seconds: one that says nothing for twice as long is given up.
pub(super) const QUEUE_HEARTBEAT_SECONDS: u16 = 5;

/// How long an order is a worker's where it was taken over HTTP: a daemon that is killed leaves it held.
pub(super) const HTTP_HOLD: Duration = Duration::from_secs(3);

/// How long the daemon may take from start to ready, recovery included.
pub(super) const START_MAX: Duration = Duration::from_secs(10);
/// Lines the daemon may print before it is ready.
pub(super) const START_LINES_MAX: usize = 100;
/// The end of the daemon's log that is shown when it fails.
pub(super) const LAST_WORDS_BYTES_MAX: u64 = 2_048;
/// How long the demo waits for the burst it wants to crash; then it crashes anyway.
pub(super) const CRASH_LATE_MAX: Duration = Duration::from_secs(1);
/// Pause between two questions whether the daemon answers again.
pub(super) const PROBE_EVERY: Duration = Duration::from_millis(2);
/// How long cache and queue may take to answer after the kill.
pub(super) const RECOVERY_MAX: Duration = Duration::from_secs(15);
/// How long the demo's own threads may take to end.
pub(super) const STOP_MAX: Duration = Duration::from_secs(2);
/// The pause between two lines of progress.
pub(super) const PROGRESS_EVERY: Duration = Duration::from_secs(1);
