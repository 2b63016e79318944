//! How a write-behind works, how it stands, and the settings of its queue.

use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::queue::{Order, QueueName, QueueSettings, Retain, RetryPolicy};

/// How a write-behind works.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WriteBehindOptions {
    /// How long the cache keeps what was written and what was loaded; `None` is without end.
    pub life: Option<Duration>,
    /// Keys with a write that the source has not yet; beyond it writes of other keys are refused as full. 100,000 unless
    /// said otherwise.
    pub keys_max: usize,
    /// Bytes of these writes, which are kept in memory beside the cache: key, value and 256 bytes each; beyond it writes
    /// are refused as full. 64 MiB unless said otherwise.
    pub bytes_max: usize,
    /// Keys that are written to the source at one time, 1 to 1,000. Of one key there is one at a time in any case.
    pub concurrency: usize,
    /// When a write that failed is tried again, and when it becomes a dead letter. It is a setting of the queue: with
    /// another one than before, opening is a `Conflict`.
    pub retry: RetryPolicy,
    /// How long one write to the source may take; `None` is without end. One that takes longer is dropped where it waits
    /// and has failed; what the source still makes of it may come after newer writes, unless the source looks at the
    /// sequence.
    pub time_limit: Option<Duration>,
}

impl Default for WriteBehindOptions {
    fn default() -> Self {
        Self {
            life: None,
            keys_max: limits::cache::WRITE_BEHIND_KEYS_DEFAULT,
            bytes_max: limits::cache::WRITE_BEHIND_BYTES_DEFAULT,
            concurrency: limits::cache::WRITE_BEHIND_CONCURRENCY_DEFAULT,
            retry: RetryPolicy::default(),
            time_limit: None,
        }
    }
}

/// How a write-behind stands, and what it came to since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteBehindStats {
    /// Keys with a write that the source has not yet.
    pub keys: usize,
    /// Bytes of these writes.
    pub bytes: usize,
    /// Writes that the source has taken.
    pub written: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Writes that were given up after their last attempt, or because the writer rejected them: they are dead letters.
    pub given_up: u64,
    /// Writes that were found to be no longer in the queue: somebody purged it, their last attempt ended unseen and they
    /// are dead letters, or the source had taken them just before a restart.
    pub gone: u64,
}

/// The queue of a write-behind and that of its dead letters.
pub(super) fn settings(name: &str, options: &WriteBehindOptions) -> Result<QueueSettings> {
    if options.keys_max == 0 || options.bytes_max == 0 {
        let context = format!("{name}: keys_max and bytes_max must be at least 1");
        return Err(Error::new(Kind::Invalid, "open write-behind", context));
    }
    let queue = format!("forebay.write-behind.{name}");
    let dead = QueueName::new(&format!("{queue}.dead"))?;
    Ok(QueueSettings {
        retry: options.retry,
        dead_letter: Some(dead),
        order: Order::Key,
        newest_by_key: true,
        retain: Retain::For(limits::cache::WRITE_BEHIND_RETAIN),
        ..QueueSettings::new(QueueName::new(&queue)?)
    })
}
