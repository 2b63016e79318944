//! What the cache in front of one source is made with.

use std::sync::Arc;

use forebay_core::limits::cache::{LOADS_CONCURRENT_DEFAULT, LOADS_WAITING_DEFAULT, NEGATIVES_MAX_DEFAULT};

use crate::protect::breaker::BreakerOptions;
use crate::protect::guard::Guard;
use crate::through::policy::Policy;

/// What a [`ReadThrough`](crate::ReadThrough) is made with.
///
/// ```
/// use std::time::Duration;
/// use forebay_cache::{Policy, ReadThroughOptions};
///
/// let policy = Policy::fresh_for(Duration::from_secs(60));
/// let options = ReadThroughOptions { loads_max: 8, ..ReadThroughOptions::new(policy) };
/// # assert_eq!(options.loads_waiting_max, 1_000);
/// ```
#[derive(Clone)]
pub struct ReadThroughOptions {
    /// For all reads that bring none of their own.
    pub policy: Policy,
    /// Loads at one time; a batch counts as one. 64 unless said otherwise.
    pub loads_max: usize,
    /// Loads that wait for their turn; one more is refused as full. 1,000 unless said otherwise.
    pub loads_waiting_max: usize,
    /// When the source is left alone; `None` is never.
    pub breaker: Option<BreakerOptions>,
    /// Knows which keys the source does not have.
    pub guard: Option<Arc<Guard>>,
    /// How many absent keys are remembered within one negative time to live; 100,000 unless said otherwise.
    pub negatives_max: u64,
}

impl ReadThroughOptions {
    /// This policy, and the defaults.
    ///
    /// ```
    /// use forebay_cache::{Policy, ReadThroughOptions};
    ///
    /// let options = ReadThroughOptions::new(Policy::default());
    /// assert_eq!((options.loads_max, options.loads_waiting_max), (64, 1_000));
    /// ```
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            loads_max: LOADS_CONCURRENT_DEFAULT,
            loads_waiting_max: LOADS_WAITING_DEFAULT,
            breaker: Some(BreakerOptions::default()),
            guard: None,
            negatives_max: NEGATIVES_MAX_DEFAULT,
        }
    }
}
