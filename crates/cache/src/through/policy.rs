//! What a reader chooses: for how long a value is good, when an older one will do, and how long a load may take.

use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::cache::LOAD_HARD_TIMEOUT_DEFAULT;

use crate::fill::Terms;

/// How values are kept, and when an older one will do. Nothing stale is served unless it is asked for here.
///
/// ```
/// use std::time::Duration;
/// use forebay_cache::Policy;
///
/// let policy = Policy::fresh_for(Duration::from_secs(60))
///     .negative_for(Duration::from_secs(2))
///     .stale_for(Duration::from_secs(30))
///     .stale_on_error(Duration::from_secs(3600))
///     .refresh_ahead(0.2)
///     .soft_timeout(Duration::from_millis(50));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    pub(crate) fresh_for: Option<Duration>,
    pub(crate) jitter: f64,
    pub(crate) negative_for: Option<Duration>,
    pub(crate) stale_for: Duration,
    pub(crate) stale_on_error: Duration,
    pub(crate) refresh_ahead: f64,
    pub(crate) soft_timeout: Option<Duration>,
    pub(crate) hard_timeout: Duration,
    pub(crate) retry_after: Duration,
}

impl Default for Policy {
    /// [`fresh_for`](Self::fresh_for) a minute.
    fn default() -> Self {
        Self::fresh_for(Duration::from_secs(60))
    }
}

impl Policy {
    /// Values are good for so long, less up to a tenth at random. That the source has none is remembered for 5 seconds; a load
    /// may take 30 seconds; nothing stale is served, and nothing is refreshed ahead.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use forebay_cache::Policy;
    /// let policy = Policy::fresh_for(Duration::from_secs(300));
    /// # assert_ne!(policy, Policy::default());
    /// ```
    pub fn fresh_for(time: Duration) -> Self {
        Self {
            fresh_for: Some(time),
            jitter: 0.1,
            negative_for: Some(Duration::from_secs(5).min(time)),
            stale_for: Duration::ZERO,
            stale_on_error: Duration::ZERO,
            refresh_ahead: 0.0,
            soft_timeout: None,
            hard_timeout: LOAD_HARD_TIMEOUT_DEFAULT,
            retry_after: Duration::from_secs(1),
        }
    }

    /// Values are good until they are invalidated or forgotten; otherwise as [`fresh_for`](Self::fresh_for).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use forebay_cache::Policy;
    /// let policy = Policy::endless(); // until somebody calls `invalidate`
    /// # assert_ne!(policy, Policy::default());
    /// ```
    pub fn endless() -> Self {
        Self { fresh_for: None, ..Self::fresh_for(Duration::MAX) }
    }

    /// The share of every time to live that is taken off at random, 0.0 to 1.0, so that what was loaded together does not end
    /// together.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use forebay_cache::Policy;
    /// let policy = Policy::fresh_for(Duration::from_secs(60)).jitter(0.3); // 42 to 60 seconds
    /// # assert_ne!(policy, Policy::default());
    /// ```
    #[must_use]
    pub fn jitter(self, share: f64) -> Self {
        Self { jitter: share, ..self }
    }

    /// How long it is remembered that the source has no value for a key.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use forebay_cache::Policy;
    /// let policy = Policy::default().negative_for(Duration::from_secs(1));
    /// # assert_ne!(policy, Policy::default());
    /// ```
    #[must_use]
    pub fn negative_for(self, time: Duration) -> Self {
        Self { negative_for: Some(time), ..self }
    }

    /// The source is asked again every time for a key that it has no value for.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use forebay_cache::Policy;
    /// let policy = Policy::default().without_negatives();
    /// # assert_ne!(policy, Policy::default());
    /// ```
    #[must_use]
    pub fn without_negatives(self) -> Self {
        Self { negative_for: None, ..self }
    }

    /// For so long after its fresh time a value is still served, at once, while one load in the background brings the new one.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use forebay_cache::Policy;
    /// let policy = Policy::default().stale_for(Duration::from_secs(10));
    /// # assert_ne!(policy, Policy::default());
    /// ```
    #[must_use]
    pub fn stale_for(self, time: Duration) -> Self {
        Self { stale_for: time, ..self }
    }

    /// For so long after its fresh time a value is served where its load fails, or takes longer than the soft time-out.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use forebay_cache::Policy;
    /// let policy = Policy::default().stale_on_error(Duration::from_secs(3600));
    /// # assert_ne!(policy, Policy::default());
    /// ```
    #[must_use]
    pub fn stale_on_error(self, time: Duration) -> Self {
        Self { stale_on_error: time, ..self }
    }

    /// In this last share of the fresh time, 0.0 to 1.0, the first reader starts a load in the background, so that keys that
    /// are read all the time are never missed. 0.0 is never.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use forebay_cache::Policy;
    /// let policy = Policy::default().refresh_ahead(0.2); // in the last 12 of 60 seconds
    /// # assert_ne!(policy, Policy::default());
    /// ```
    #[must_use]
    pub fn refresh_ahead(self, share: f64) -> Self {
        Self { refresh_ahead: share, ..self }
    }

    /// How long a reader waits for a load where there is an older value that [`stale_on_error`](Self::stale_on_error) allows;
    /// then it is served that, and the load goes on.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use forebay_cache::Policy;
    /// let hour = Duration::from_secs(3600);
    /// let policy = Policy::default().stale_on_error(hour).soft_timeout(Duration::from_millis(50));
    /// # assert_ne!(policy, Policy::default());
    /// ```
    #[must_use]
    pub fn soft_timeout(self, time: Duration) -> Self {
        Self { soft_timeout: Some(time), ..self }
    }

    /// How long a load may take, the wait for its turn included; then it is given up, for all who wait for it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use forebay_cache::Policy;
    /// let policy = Policy::default().hard_timeout(Duration::from_secs(2));
    /// # assert_ne!(policy, Policy::default());
    /// ```
    #[must_use]
    pub fn hard_timeout(self, time: Duration) -> Self {
        Self { hard_timeout: time, ..self }
    }

    /// How long after a failed load of a key that has an older value the next one is tried. Until then the older value is
    /// served at once, as far as the policy allows it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use forebay_cache::Policy;
    /// let policy = Policy::default().retry_after(Duration::from_secs(5));
    /// # assert_ne!(policy, Policy::default());
    /// ```
    #[must_use]
    pub fn retry_after(self, time: Duration) -> Self {
        Self { retry_after: time, ..self }
    }

    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |what: &str| Err(Error::new(Kind::Invalid, "use policy", what));
        if !(0.0..=1.0).contains(&self.jitter) {
            return refuse("jitter must be 0.0 to 1.0");
        }
        if !(0.0..=1.0).contains(&self.refresh_ahead) {
            return refuse("refresh_ahead must be 0.0 to 1.0");
        }
        if self.hard_timeout.is_zero() {
            return refuse("hard_timeout must not be zero");
        }
        Ok(())
    }

    pub(crate) fn terms(&self) -> Terms {
        Terms {
            fresh_for: self.fresh_for,
            jitter: self.jitter,
            stale_for: self.stale_for.max(self.stale_on_error),
            negative_for: self.negative_for,
            notes_failures: self.refresh_ahead > 0.0,
        }
    }
}
