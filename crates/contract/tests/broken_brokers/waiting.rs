//! Receives that wait, and what a broken broker does when they are dropped.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use forebay_core::ports::broker::{Broker, Receive};
use forebay_core::ports::clock::Clock;
use forebay_core::queue::QueueName;

use crate::broken::Broken;
use crate::fault::Fault;

/// A receive that was begun and may be dropped.
pub(crate) struct Waiting<'a> {
    broken: &'a Broken,
    queue: &'a QueueName,
    pub(crate) is_over: bool,
}

impl<'a> Waiting<'a> {
    pub(crate) fn begin(broken: &'a Broken, queue: &'a QueueName) -> Self {
        broken.known.lock().waiting += 1;
        Self { broken, queue, is_over: false }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let broken = self.broken;
        broken.known.lock().waiting -= 1;
        if broken.is(Fault::TakesWhenItIsDropped) && !self.is_over {
            let asked = Receive { count_max: 1, hold: None, wait_until: broken.clock.now() };
            let mut taken = broken.broker.receive(self.queue, asked);
            let _ = taken.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
    }
}

/// Lets somebody else come in between.
pub(crate) async fn window() {
    let mut waited = false;
    poll_fn(|context| {
        if waited {
            return Poll::Ready(());
        }
        waited = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
