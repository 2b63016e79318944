//! A source that is slow, fails, panics, or never comes back.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::payload::Payload;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::clock::Clock;
use forebay_core::ports::loader::Loader;
use parking_lot::Mutex;

use crate::random::Random;

/// The longest that a load takes which comes back at all.
pub const LOAD_MAX: Duration = Duration::from_secs(5);

/// Wraps a sound source. Half of its loads are sound; the value that a slow one brings is as old as its beginning.
pub struct LoaderSaboteur {
    loader: Arc<dyn Loader>,
    clock: Arc<dyn Clock>,
    random: Mutex<Random>,
    hangs: bool,
}

impl LoaderSaboteur {
    /// One whose loads all end by themselves.
    pub fn new(loader: Arc<dyn Loader>, clock: Arc<dyn Clock>, seed: u64) -> Self {
        Self { loader, clock, random: Mutex::new(Random::new(seed)), hangs: false }
    }

    /// One of which some loads end only by being dropped.
    pub fn that_hangs(loader: Arc<dyn Loader>, clock: Arc<dyn Clock>, seed: u64) -> Self {
        Self { hangs: true, ..Self::new(loader, clock, seed) }
    }
}

impl Loader for LoaderSaboteur {
    fn load<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Payload>>> {
        Box::pin(async move {
            let (deed, wait_ms) = {
                let mut random = self.random.lock();
                (random.below(10), random.below(LOAD_MAX.as_millis() as u64))
            };
            let pause = || self.clock.sleep_until(self.clock.now() + Duration::from_millis(wait_ms));
            let fails = || Error::new(Kind::Unavailable, "load from saboteur", "it fails now and then");
            match deed {
                0 => Err(fails()),
                1 => {
                    let _ = self.loader.load(key).await;
                    pause().await;
                    Err(fails())
                }
                2 => {
                    pause().await;
                    // Without the hook's report, which would fill the screen of a test.
                    std::panic::resume_unwind(Box::new("a saboteur's load panics"))
                }
                3 if self.hangs => std::future::pending().await,
                3..=5 => {
                    let value = self.loader.load(key).await;
                    pause().await;
                    value
                }
                _ => self.loader.load(key).await,
            }
        })
    }
}
