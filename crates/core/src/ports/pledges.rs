//! When an answer of a store may be told.

use super::BoxFuture;
use super::local_store::LocalStore;
use crate::error::Result;
use crate::stats::PinnedStats;

/// What must be durable before something may be told. Of two the greater is enough: what it covers, the smaller covers too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pledge(pub u64);

/// A store some of whose keys outlive the process. Its verbs wait for no disk: they answer as soon as memory has changed,
/// and whoever asked must not tell the answer to anybody before the disk has it as well.
///
/// A front asks for the pledge of every key after its verb, remembers the greatest, and withholds what it has to say until
/// that is kept. That goes for reads too: who was shown a result must find it again after a crash. A store that may forget
/// anything pledges nothing, and the question is free.
pub trait Pledges: LocalStore {
    /// What must be durable before anybody is told of `key` as it is now; `None` if nothing must.
    fn pledge(&self, key: &[u8]) -> Option<Pledge> {
        let _ = key;
        None
    }

    /// Is ready once what was pledged is durable. `Full`: the disk has no room; `Poisoned`, `Closed`: it never will be.
    /// After an error the change may be durable or not, and the answer must never be told.
    fn kept(&self, pledge: Pledge) -> BoxFuture<'static, Result<()>> {
        let _ = pledge;
        Box::pin(std::future::ready(Ok(())))
    }

    /// The state of what outlives the process; `None` where nothing does.
    fn pinned(&self) -> Option<PinnedStats> {
        None
    }
}
