//! What the front stands before: the embedded store, or a near cache.

use std::sync::Arc;

use forebay_core::error::Result;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::local_store::{EvictionWatcher, LocalStore};
use forebay_core::ports::pledges::{Pledge, Pledges};
use forebay_core::stats::StoreStats;
use forebay_wire::memcached::command::Command;

use crate::execute;
use crate::execute::paused::Paused;
use crate::execute::run::Ran;
use crate::execute::turn::Turn;
use crate::serve::budget::Held;
use crate::session::{Next, Progress, Session};
use crate::shared::Shared;

/// Carries out commands. A connection is made for one kind and never asks again which it is.
pub(crate) trait Backing: Send + Sync + Sized + 'static {
    /// Whether there is a shared store behind.
    const IS_NEAR: bool;

    /// Carries out one command, unless others must be asked for it.
    fn run(turn: &mut Turn<'_, Self>, command: &Command<'_>) -> Ran;

    /// Goes on with a command that is answered in part. `input` begins with its line.
    fn resume(turn: &mut Turn<'_, Self>, paused: Paused, input: &[u8]) -> Ran;

    /// Answers a write whose value is not taken in for want of memory.
    fn refuse(turn: &mut Turn<'_, Self>, command: &Command<'_>);

    /// Carries out commands at the head of `input` for which others must be asked, and appends their answers. What these may
    /// take is held in `held` before anybody is asked.
    fn ask(
        shared: &Shared<Self>,
        session: &mut Session,
        input: &[u8],
        connection: u64,
        held: &mut Held,
        out: &mut Vec<u8>,
    ) -> impl Future<Output = Progress> + Send;

    /// Is ready once what was pledged is durable.
    fn kept(&self, pledge: Pledge) -> BoxFuture<'static, Result<()>>;

    /// The state of the memory.
    fn memory(&self) -> StoreStats;

    /// Whether `flush_all` leaves keys: pinned ones stay.
    fn flush_leaves_pinned(&self) -> bool;

    /// Changes its budget.
    fn resize(&self, bytes_max: u64) -> bool;

    /// Tells of what is pushed out, where that is known.
    fn watch_evictions(&self, watcher: Arc<dyn EvictionWatcher>);
}

impl<S: Pledges + 'static> Backing for S {
    const IS_NEAR: bool = false;

    fn run(turn: &mut Turn<'_, Self>, command: &Command<'_>) -> Ran {
        execute::run::run(turn, command)
    }

    fn resume(turn: &mut Turn<'_, Self>, paused: Paused, input: &[u8]) -> Ran {
        execute::run::resume(turn, paused, input)
    }

    fn refuse(turn: &mut Turn<'_, Self>, command: &Command<'_>) {
        execute::run::refuse(turn, command);
    }

    /// There are no others: no command ends so.
    async fn ask(
        _: &Shared<Self>,
        _: &mut Session,
        _: &[u8],
        _: u64,
        _: &mut Held,
        _: &mut Vec<u8>,
    ) -> Progress {
        Progress { consumed: 0, next: Next::Close }
    }

    fn kept(&self, pledge: Pledge) -> BoxFuture<'static, Result<()>> {
        Pledges::kept(self, pledge)
    }

    fn memory(&self) -> StoreStats {
        self.stats()
    }

    fn flush_leaves_pinned(&self) -> bool {
        self.pinned().is_some()
    }

    fn resize(&self, bytes_max: u64) -> bool {
        LocalStore::resize(self, bytes_max)
    }

    fn watch_evictions(&self, watcher: Arc<dyn EvictionWatcher>) {
        if !LocalStore::watch_evictions(self, watcher) {
            tracing::debug!("evictions are watched by another front, or not known");
        }
    }
}
