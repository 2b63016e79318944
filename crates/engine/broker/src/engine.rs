//! What all parts of the broker share.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Acquire, Ordering::Release};
use std::task::Poll;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::ports::clock::Clock;
use forebay_log::Class;

use crate::memory::hot::Hot;
use crate::state::State;
use crate::state::entry::Entry;
use crate::storage::journal::Journal;
use crate::timers::Timers;
use crate::topology::{Queue, Topology};
use crate::virtual_hosts::Hosts;

/// The running broker. Its operations are in the files named after them.
///
/// Locks are taken in this order: a virtual host, the topology, the states of queues by their numbers, the timers, the journal. None is
/// held while waiting for anything else.
pub(crate) struct Engine {
    pub(crate) journal: Journal,
    pub(crate) hosts: Hosts,
    pub(crate) topology: Topology,
    pub(crate) timers: Timers,
    pub(crate) hot: Hot,
    pub(crate) clock: Arc<dyn Clock>,
    /// Set while there is no memory for more messages.
    pub(crate) refuses: AtomicBool,
    closed: AtomicBool,
}

impl Engine {
    pub(crate) fn new(
        journal: Journal,
        hosts: Hosts,
        topology: Topology,
        hot: Hot,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            journal,
            hosts,
            topology,
            timers: Timers::default(),
            hot,
            clock,
            refuses: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }
    }

    /// Lets everything that waits or works come to its end. May repeat.
    pub(crate) fn close(&self) {
        self.closed.store(true, Release);
        self.journal.close();
        self.timers.wake();
        for queue in self.topology.all() {
            queue.arrivals.notify_waiters();
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Acquire)
    }

    pub(crate) fn check_open(&self, operation: &'static str) -> Result<()> {
        if self.is_closed() {
            return Err(Error::new(Kind::Closed, operation, "the broker is closed"));
        }
        Ok(())
    }

    /// Does something that appends a record of that class and length. Where the log refuses it only because it is not
    /// ready yet, that is waited for; `Full` is left for when only freeing space helps.
    pub(crate) async fn when_ready<T>(
        &self,
        class: Class,
        length: usize,
        mut act: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        for _ in 1..limits::log::TRIES_MAX {
            match act() {
                Err(error) if error.kind() == Kind::Full => {
                    if !self.journal.ready(class, length).await {
                        return Err(error);
                    }
                }
                done => return done,
            }
        }
        act()
    }

    /// The message has left all queues.
    pub(crate) fn forget(&self, mut entry: Entry) {
        self.hot.take(&mut entry);
        self.journal.left(&entry);
    }

    /// To be called under the lock after every change of a queue: sees to it that the timers look at the queue in time,
    /// and that somebody who waits comes for what is ready.
    pub(crate) fn changed(&self, queue: &Queue, state: &mut State) {
        if let Some(next) = state.next_due()
            && state.alarm.is_none_or(|alarm| next < alarm)
        {
            self.timers.set(queue.number, state.alarm, next);
            state.alarm = Some(next);
        }
        if state.has_next() {
            queue.arrivals.notify_one();
        }
    }
}

/// Lets others run, on whatever runtime this is.
pub(crate) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
