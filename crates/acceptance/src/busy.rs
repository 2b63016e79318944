//! Connections that have something to do, beside which others are tested.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::raw::{Raw, text};

/// How long a state may be waited for.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Each of `count` connections sets its own key and gets it back, so many times.
pub fn be_busy(address: SocketAddr, count: usize, times: usize) {
    thread::scope(|scope| {
        for id in 0..count {
            scope.spawn(move || {
                let mut raw = Raw::connect(address);
                for time in 0..times {
                    let value = format!("{id}-{time}");
                    let set = format!("set busy{id} 0 0 {}\r\n{value}\r\nget busy{id}\r\n", value.len());
                    let expected =
                        format!("STORED\r\nVALUE busy{id} 0 {}\r\n{value}\r\nEND\r\n", value.len());
                    assert_eq!(text(&raw.ask(set.as_bytes())), text(expected.as_bytes()));
                }
            });
        }
    });
}

/// Says when it is dropped that all is over: those who go on until then end as well when a test fails before.
pub struct Raised<'a>(pub &'a AtomicBool);

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Returns once `holds` does; `what` is what is waited for.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < WAIT_MAX, "waited in vain: {what}");
        thread::yield_now();
    }
}
