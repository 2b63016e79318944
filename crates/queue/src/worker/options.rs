//! How a worker works, and what its handlers say when they cannot.

use std::fmt;
use std::time::Duration;

use forebay_core::delivery::End;
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::queue::QueueName;

/// Why a handler could not do its work. Any error is a failure that may be tried again; [`reject`](Self::reject) is
/// for messages that can never be handled.
///
/// ```
/// use forebay_queue::worker::Failure;
///
/// fn count(text: &str) -> Result<u32, Failure> {
///     Ok(text.parse()?) // any error is a failure
/// }
/// assert!(count("seven").is_err());
/// ```
#[derive(Debug)]
pub struct Failure {
    pub(super) note: String,
    pub(super) end: End,
}

impl Failure {
    /// The message can never be handled: it goes to the dead letters at once.
    ///
    /// ```
    /// use forebay_queue::worker::Failure;
    ///
    /// fn count(text: &str) -> Result<u32, Failure> {
    ///     text.parse().map_err(|_| Failure::reject("not a number")) // it never will be
    /// }
    /// assert!(count("seven").is_err());
    /// ```
    pub fn reject(note: impl Into<String>) -> Self {
        Self { note: note.into(), end: End::Rejected }
    }

    /// Whether the message goes to the dead letters, whatever attempts are left.
    pub fn is_rejection(&self) -> bool {
        self.end == End::Rejected
    }
}

impl<E: fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { note: error.to_string(), end: End::Failed }
    }
}

/// At most `count` in any stretch of time that is `per` long.
///
/// ```
/// use std::time::Duration;
/// use forebay_queue::worker::{Rate, WorkerOptions};
///
/// let rate = Rate { count: 10, per: Duration::from_secs(1) };
/// let options = WorkerOptions { rate: Some(rate), ..WorkerOptions::default() };
/// # assert_eq!(options.concurrency, 1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many, 1 to [`limits::WORKER_RATE_COUNT_MAX`].
    pub count: usize,
    /// In how long, at least 1 ms.
    pub per: Duration,
}

/// How a worker works.
///
/// ```
/// use std::time::Duration;
/// use forebay_queue::worker::WorkerOptions;
///
/// let time_limit = Some(Duration::from_secs(60));
/// let options = WorkerOptions { concurrency: 8, time_limit, ..WorkerOptions::default() };
/// # assert_eq!(options.hold, None);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct WorkerOptions {
    /// Handlers at a time, 1 to [`limits::WORKER_CONCURRENCY_MAX`]. No more messages than that are taken.
    pub concurrency: usize,
    /// How long a silent handler keeps its message; `None` is the queue's own. A running handler keeps it for as long
    /// as it runs.
    pub hold: Option<Duration>,
    /// How long a handler may run, at least 1 ms; `None` is without end. One that takes longer is dropped where it
    /// waits, and has failed. A handler that never waits cannot be cut off.
    pub time_limit: Option<Duration>,
    /// How many handlers may begin in how long; `None` is as many as come. No message is taken before it may begin.
    pub rate: Option<Rate>,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self { concurrency: 1, hold: None, time_limit: None, rate: None }
    }
}

impl WorkerOptions {
    /// Says which option is outside its range, if one is.
    pub(super) fn check(&self, queue: &QueueName) -> Result<()> {
        let refuse =
            |what: &str| Err(Error::new(Kind::Invalid, "start worker on queue", format!("{queue}: {what}")));
        let a_bit = Duration::from_millis(1);
        if self.concurrency == 0 || self.concurrency > limits::WORKER_CONCURRENCY_MAX {
            return refuse("concurrency must be 1 to 1000");
        }
        if self.hold.is_some_and(|hold| hold < a_bit || hold > limits::HOLD_MAX) {
            return refuse("hold must be 1 ms to 12 hours");
        }
        if self.time_limit.is_some_and(|limit| limit < a_bit) {
            return refuse("time_limit must be at least 1 ms");
        }
        if let Some(Rate { count, per }) = self.rate {
            if count == 0 || count > limits::WORKER_RATE_COUNT_MAX {
                return refuse("rate must be 1 to 10000 at a time");
            }
            if per < a_bit {
                return refuse("the time of a rate must be at least 1 ms");
            }
        }
        Ok(())
    }
}
