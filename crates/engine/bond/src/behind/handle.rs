//! A write-behind as a program holds it.

use std::sync::Arc;
use std::time::Duration;

use forebay_cache::Cache;
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::KEY_BYTES_MAX;
use forebay_core::payload::Payload;
use forebay_core::ports::broker::BrokerAdmin;
use forebay_core::ports::clock::{Clock, Spawn, Work};
use forebay_core::ports::loader::Loader;
use forebay_core::queue::QueueName;
use forebay_queue::queues::Queues;
use forebay_queue::worker::{Failure, Worker, WorkerOptions};

use super::check::checker;
use super::deliver::deliver;
use super::letter::SourceWrite;
use super::names::{Claim, Names};
use super::options::{WriteBehindOptions, WriteBehindStats, settings};
use super::table::{Table, Writing};

/// What a write-behind joins.
pub struct Joined {
    /// Where values that the source has are kept.
    pub cache: Arc<Cache>,
    /// Where writes wait.
    pub queues: Queues,
    /// The operator's side of the same queues.
    pub admin: Arc<dyn BrokerAdmin>,
    /// The time of both.
    pub clock: Arc<dyn Clock>,
    /// Where writes to the source run.
    pub spawn: Arc<dyn Spawn>,
    /// The names in use.
    pub names: Arc<Names>,
}

/// A cache in front of a source that is written through a queue.
///
/// A write is confirmed when the queue has it on disk, and every read through this handle that begins later sees it or a newer
/// one. A worker brings it to the source: in order for each key, of writes that wait the newest only, again and again as the
/// retry policy says, and at last as a dead letter.
///
/// The cache holds only what the source has. A write that the source has not yet is in a bounded table in memory, which a read
/// looks at first; whether the cache has forgotten the key makes no difference. When the source has taken the newest write of
/// a key, that goes into the cache, which makes the fill of every older load void, and only then it leaves the table.
///
/// Keys and values of the source are to be written through this handle alone, else nobody knows which write was the last.
/// Who reads the cache past it is shown the older value until the source has the newer.
///
/// Dropping it stops the worker; what waits in the queue is written after the next opening.
pub struct WriteBehind {
    shared: Arc<Shared>,
    worker: Worker,
    _claim: Arc<Claim>,
}

/// What the handle, the worker and the check have in common.
pub(super) struct Shared {
    pub(super) table: Arc<Table>,
    pub(super) queue: QueueName,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) admin: Arc<dyn BrokerAdmin>,
    dead_letters: QueueName,
    cache: Arc<Cache>,
    queues: Queues,
    life: Option<Duration>,
}

impl WriteBehind {
    /// Opens the write-behind of that name: declares its queue, and looks through it for writes that the source has not
    /// yet, so that readers see them from the start. Returns what must be run for it to work. `writer` is called with one
    /// write at a time for each key; it must not own the handle, which would then never be dropped.
    ///
    /// `Conflict`: it is open already, or its queue is there with another retry policy. `Invalid`: the name or an option.
    pub async fn open<W, F>(
        joined: Joined,
        name: &str,
        options: WriteBehindOptions,
        writer: W,
    ) -> Result<(Self, Vec<Work>)>
    where
        W: Fn(SourceWrite) -> F + Send + Sync + 'static,
        F: Future<Output = std::result::Result<(), Failure>> + Send + 'static,
    {
        let settings = settings(name, &options)?;
        let Joined { cache, queues, admin, clock, spawn, names } = joined;
        let claim = Arc::new(names.claim(name)?);
        queues.ensure(&settings).await?;
        let dead_letters = settings.dead_letter.unwrap_or_else(|| settings.name.clone());
        let shared = Arc::new(Shared {
            table: Arc::new(Table::new(options.keys_max, options.bytes_max)),
            queue: settings.name.clone(),
            clock: Arc::clone(&clock),
            admin,
            dead_letters,
            cache,
            queues: queues.clone(),
            life: options.life,
        });
        shared.restore().await?;
        let (writer, common) = (Arc::new(writer), Arc::clone(&shared));
        // The last write in the writer's hands gives the name free.
        let held = (Writing(Arc::clone(&shared.table)), Arc::clone(&claim));
        let handler = move |delivery| {
            let _held = &held;
            deliver(Arc::clone(&common), delivery, Arc::clone(&writer))
        };
        let options = WorkerOptions {
            concurrency: options.concurrency,
            time_limit: options.time_limit,
            ..WorkerOptions::default()
        };
        let (worker, work) = Worker::new(queues, settings.name, options, spawn, handler)?;
        let check = checker(Arc::downgrade(&shared), clock);
        Ok((Self { shared, worker, _claim: claim }, vec![work, check]))
    }

    /// Writes a value. `Ok`: it is durable in the queue, and every read through this handle that begins from now on sees it
    /// or a newer one. `Full`, `TooLarge`, `Invalid` before anything was taken: too much is pending, or the key or value is
    /// too long. Any other `Err`, or the future dropped half-way: it may be written or not, and the cache has forgotten the
    /// key.
    pub async fn put(&self, key: &str, value: impl Into<Payload>) -> Result<()> {
        self.write(key, Some(value.into())).await
    }

    /// Deletes the key, with the same promises as [`put`](Self::put).
    pub async fn delete(&self, key: &str) -> Result<()> {
        self.write(key, None).await
    }

    async fn write(&self, key: &str, value: Option<Payload>) -> Result<()> {
        let shared = &*self.shared;
        check_key(key)?;
        let mut visit = shared.table.admit(key, value.as_ref())?;
        let turns = visit.turns();
        let _turn = turns.accept.lock().await;
        let mut unsure = Unsure { shared, key, unsure: true };
        let sequence = visit.begin(shared.clock.now());
        let write = SourceWrite { key: key.to_owned(), value, sequence };
        let published = shared.queues.publish(&shared.queue, vec![write.draft()]).await;
        let now = shared.clock.now();
        visit.heard(now);
        published?;
        visit.accepted(sequence, write.value, now);
        unsure.unsure = false;
        Ok(())
    }

    /// The newest value: of the write that is pending, else from the cache, else loaded, as
    /// [`get_or_load`](Cache::get_or_load); `None` where the key was deleted or the source has none.
    pub async fn get(&self, key: &str, loader: &dyn Loader) -> Result<Option<Payload>> {
        match self.shared.table.pending(key) {
            Some(value) => Ok(value),
            None => self.shared.cache.get_or_load(key.as_bytes(), self.shared.life, loader).await,
        }
    }

    /// Waits until no write is pending: the source has all of them, but for those that were given up. `Closed`: the queues
    /// were closed before; what is pending is written after the next opening.
    pub async fn drained(&self) -> Result<()> {
        self.shared.table.drained().await
    }

    /// How it stands.
    pub fn stats(&self) -> WriteBehindStats {
        self.shared.table.stats()
    }

    /// Where writes wait.
    pub fn queue(&self) -> &QueueName {
        &self.shared.queue
    }

    /// Where writes are that were given up.
    pub fn dead_letters(&self) -> &QueueName {
        &self.shared.dead_letters
    }

    /// Takes no more writes to the source, and returns once those that are on their way have ended. What is pending stays
    /// in the queue.
    pub async fn stop(self) {
        self.worker.stop().await;
    }
}

impl Shared {
    /// The source has this value. One that the cache has no room for is not cached, and an older one is gone all the same.
    pub(super) fn store(&self, key: &str, value: &[u8]) {
        drop(self.cache.set(key.as_bytes(), value, self.life));
    }

    /// Nobody knows what the source has.
    pub(super) fn invalidate(&self, key: &str) {
        // Only a key that the cache cannot hold is refused.
        drop(self.cache.invalidate(key.as_bytes()));
    }
}

/// Invalidates the key when it is dropped without being sure.
struct Unsure<'a> {
    shared: &'a Shared,
    key: &'a str,
    unsure: bool,
}

impl Drop for Unsure<'_> {
    fn drop(&mut self) {
        if self.unsure {
            self.shared.invalidate(self.key);
        }
    }
}

/// Keys are as those of the cache.
fn check_key(key: &str) -> Result<()> {
    if key.is_empty() {
        return Err(Error::new(Kind::Invalid, "write behind key", "an empty one"));
    }
    if key.len() > KEY_BYTES_MAX {
        return Err(Error::new(Kind::TooLarge, "write behind key", key.escape_debug().to_string()));
    }
    Ok(())
}
