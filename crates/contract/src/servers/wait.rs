//! Waiting for something that will come, and failing if it does not.

use std::thread;
use std::time::{Duration, Instant};

/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// Waits until something is so, and fails after that long.
pub fn within(most: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    until(most, what, || is_so().then_some(()));
}

/// Waits until an attempt brings something, and fails after that long.
pub fn until<T>(most: Duration, what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(brought) = attempt() {
            return brought;
        }
        assert!(begun.elapsed() < most, "not within {most:?}: {what}");
        thread::sleep(LOOK);
    }
}
