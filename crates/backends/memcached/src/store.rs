//! The port `RemoteStore` over the nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use forebay_core::entry::{Mode, Version};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::ports::BoxFuture;
use forebay_core::ports::clock::{Clock, Run, Work};
use forebay_core::ports::remote_store::{
    Addition, Asked, Changed, Fill, Filled, Grant, Put, RemoteCapabilities, RemoteStore, Shared, Sum,
};
use parking_lot::{Mutex, RwLock};

use crate::node::{Node, State};
use crate::ring::Ring;
use crate::settings::{Failover, NodeSettings, Settings, check_nodes};
use crate::supervise::supervise;
use crate::verbs::{arithmetic, fill, get, lease, put, remove, touch};

/// Memcached servers as one shared store. A clone is the same store.
///
/// Entries are as other programs have them: the value raw, the client's flags in memcached's. A key that somebody is to
/// fill, or that is held after an invalidation, has an entry without bytes meanwhile, which other programs see as an empty
/// value.
///
/// Servers older than 1.6.13, and what has not the meta commands, are asked in the classic words: with a question more where a
/// key is to be filled, and reading each value back that was written, for its version. A placeholder has 17 bytes there. One
/// that numbers no versions (`-C`) is refused: nothing could be fenced; and one that takes no `flush_all` (`-F`, or a near
/// cache), for after a long outage it could never be used again.
///
/// With `failover=next` processes may disagree for a while on who is away. Then leases, versions and counts are each node's
/// own: two readers may load a key at one time, and a count begins anew. So neither leases nor fenced fills nor arithmetic are
/// declared then, though all can be asked for.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use forebay_core::ports::clock::Spawn;
/// use forebay_core::ports::remote_store::RemoteStore;
/// use forebay_memcached_store::store::MemcachedStore;
/// use forebay_runtime::clock::TokioClock;
///
/// # async fn open(tasks: &dyn Spawn) -> forebay_core::error::Result<()> {
/// let settings = "memcached://a:11211,b:11211?timeout=250ms".parse()?;
/// let (store, works) = MemcachedStore::new(settings, Arc::new(TokioClock::new()))?;
/// works.into_iter().for_each(|work| tasks.spawn(work));
/// let answers = store.get(&[b"user:1", b"user:2"]).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemcachedStore {
    pub(crate) inner: Arc<Inner>,
}

/// What all clones share.
pub(crate) struct Inner {
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    cluster: RwLock<Arc<Cluster>>,
    /// Held while the nodes are changed.
    changing: Mutex<()>,
    closed: AtomicBool,
}

/// The nodes at one time.
pub(crate) struct Cluster {
    pub(crate) ring: Ring,
    /// In the ring's order.
    pub(crate) nodes: Vec<Arc<Node>>,
}

impl MemcachedStore {
    /// The store, and what must run for it: one work for each node, which connects to it and keeps watch. Calls wait for the
    /// first connection within their time-out.
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Result<(Self, Vec<Work>)> {
        settings.check()?;
        let node = |node: &NodeSettings| {
            Arc::new(Node::new(node.clone(), settings.connections, settings.timeout, false))
        };
        let nodes: Vec<Arc<Node>> = settings.nodes.iter().map(node).collect();
        let works = nodes.iter().map(|node| work(node, &clock)).collect();
        let cluster = Cluster { ring: Ring::new(&settings.nodes), nodes };
        let inner = Inner {
            settings,
            clock,
            cluster: RwLock::new(Arc::new(cluster)),
            changing: Mutex::default(),
            closed: AtomicBool::new(false),
        };
        Ok((Self { inner: Arc::new(inner) }, works))
    }

    /// Goes on with these nodes: about as many keys move as the nodes that come or go have. Nothing older comes up with it:
    /// a node that comes is emptied before it is used, and one that gets back keys that it once gave up is, too. Returns what
    /// must run for the new ones; the works of those that go end by themselves, and calls to them that are under way fail as
    /// unavailable.
    ///
    /// All processes should be told of a change at about the same time: until then they look for some keys on different
    /// nodes.
    pub fn set_nodes(&self, nodes: &[NodeSettings]) -> Result<Vec<Work>> {
        check_nodes(nodes)?;
        let _changing = self.inner.changing.lock();
        if self.inner.closed.load(SeqCst) {
            return Err(Error::new(Kind::Closed, "change nodes of", "the shared memcached"));
        }
        let before = self.inner.cluster();
        let mut works = Vec::new();
        let mut after = Vec::new();
        for settings in nodes {
            let kept = before.nodes.iter().find(|node| node.settings.is_same(settings)).cloned();
            after.push(kept.unwrap_or_else(|| {
                let Settings { connections, timeout, .. } = self.inner.settings;
                let node = Arc::new(Node::new(settings.clone(), connections, timeout, true));
                works.push(work(&node, &self.inner.clock));
                node
            }));
        }
        let after = Cluster { ring: Ring::new(nodes), nodes: after };
        let place_after = |node: &Arc<Node>| after.nodes.iter().position(|kept| Arc::ptr_eq(kept, node));
        let (mut stayed, mut gone, mut resized) = (Vec::new(), Vec::new(), false);
        for (place, node) in before.nodes.iter().enumerate() {
            match place_after(node) {
                Some(place_after) => {
                    resized |= before.ring.digests(place) != after.ring.digests(place_after);
                    stayed.push(node);
                }
                None => gone.push(node),
            }
        }
        for node in stayed {
            node.keys_moved(resized || !works.is_empty(), resized || !gone.is_empty());
        }
        *self.inner.cluster.write() = Arc::new(after);
        gone.into_iter().for_each(|node| node.leave());
        Ok(works)
    }

    /// The name of the node that a key is on while all are there.
    pub fn node_of(&self, key: &[u8]) -> Option<String> {
        let cluster = self.inner.cluster();
        let node = cluster.nodes.get(cluster.ring.first(key)?)?;
        Some(node.settings.to_string())
    }

    /// Ends all connections. Calls that wait, and all later ones, fail as closed.
    pub fn close(&self) {
        let _changing = self.inner.changing.lock();
        self.inner.closed.store(true, SeqCst);
        self.inner.cluster().nodes.iter().for_each(|node| node.close());
    }
}

fn work(node: &Arc<Node>, clock: &Arc<dyn Clock>) -> Work {
    Work { name: "memcached node", run: Run::Task(Box::pin(supervise(node.clone(), clock.clone()))) }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.cluster.get_mut().nodes.iter().for_each(|node| node.close());
    }
}

/// Where a key is asked for.
pub(crate) struct Place {
    pub(crate) node: Arc<Node>,
    /// The key's own node, if that is away and this one stands in for it.
    pub(crate) home: Option<Arc<Node>>,
}

impl Inner {
    pub(crate) fn cluster(&self) -> Arc<Cluster> {
        self.cluster.read().clone()
    }

    /// Where to ask for a key now.
    pub(crate) fn place(&self, cluster: &Cluster, key: &[u8]) -> Option<Place> {
        let home = cluster.nodes.get(cluster.ring.first(key)?)?;
        let is_away = |node: &Node| matches!(node.state(), State::Away | State::Unsupported);
        if self.settings.failover == Failover::Next && is_away(home) {
            let mut others = cluster.ring.walk(key).filter_map(|node| cluster.nodes.get(node));
            if let Some(node) = others.find(|node| !is_away(node)) {
                return Some(Place { node: node.clone(), home: Some(home.clone()) });
            }
        }
        Some(Place { node: home.clone(), home: None })
    }
}

impl RemoteStore for MemcachedStore {
    fn capabilities(&self) -> RemoteCapabilities {
        // Processes may disagree on who is away: what each of two nodes keeps, both together do not.
        let in_one_place = self.inner.settings.failover == Failover::Fail;
        RemoteCapabilities {
            lease: in_one_place,
            fenced_fill: in_one_place,
            conditional: true,
            arithmetic: in_one_place,
            touch: true,
            negative: true,
            ..RemoteCapabilities::NONE
        }
    }

    fn get<'a>(&'a self, keys: &'a [&'a [u8]]) -> BoxFuture<'a, Vec<Result<Option<Shared>>>> {
        Box::pin(get::get(&self.inner, keys))
    }

    fn get_or_lease<'a>(&'a self, key: &'a [u8], lease: Duration) -> BoxFuture<'a, Result<Asked>> {
        Box::pin(lease::get_or_lease(&self.inner, key, lease))
    }

    fn fill<'a>(
        &'a self,
        key: &'a [u8],
        value: &'a [u8],
        fill: Fill<'a>,
        grant: Grant,
    ) -> BoxFuture<'a, Result<Filled>> {
        Box::pin(fill::fill(&self.inner, key, value, fill, grant))
    }

    fn put<'a>(&'a self, key: &'a [u8], value: &'a [u8], put: Put) -> BoxFuture<'a, Result<Changed>> {
        match (put.mode, put.version) {
            // What is called most does not carry what the others need.
            (Mode::Set, None) => Box::pin(put::set(&self.inner, key, value, put)),
            _ => Box::pin(put::put(&self.inner, key, value, put)),
        }
    }

    fn remove<'a>(
        &'a self,
        key: &'a [u8],
        version: Option<Version>,
        hold: Duration,
    ) -> BoxFuture<'a, Result<Changed>> {
        Box::pin(remove::remove(&self.inner, key, version, hold))
    }

    fn remove_tag<'a>(&'a self, tag: &'a [u8]) -> BoxFuture<'a, Result<u64>> {
        let tag = String::from_utf8_lossy(tag).into_owned();
        Box::pin(async move { Err(Error::new(Kind::Unsupported, "remove entries with tag", tag)) })
    }

    fn add<'a>(&'a self, key: &'a [u8], addition: Addition) -> BoxFuture<'a, Result<Sum>> {
        Box::pin(arithmetic::add(&self.inner, key, addition))
    }

    fn touch<'a>(&'a self, key: &'a [u8], life: Option<Duration>) -> BoxFuture<'a, Result<bool>> {
        Box::pin(touch::touch(&self.inner, key, life))
    }
}

#[cfg(test)]
mod tests {
    use forebay_runtime::clock::TokioClock;

    use super::*;

    #[test]
    fn nodes_that_get_points_back_are_emptied_whatever_changed_their_number() {
        let all: Vec<NodeSettings> =
            (0..26).map(|number| format!("10.0.1.{number}:11311").parse().unwrap()).collect();
        let url = format!("memcached://{}", all[0]).parse().unwrap();
        let (store, _works) = MemcachedStore::new(url, Arc::new(TokioClock::new())).unwrap();
        let go_on_with = |count: usize| {
            let _works = store.set_nodes(&all[..count]).unwrap();
            let cluster = store.inner.cluster();
            let emptied = cluster.nodes[1..24].iter().filter(|node| node.take_missed().all).count();
            (cluster.ring.digests(0).unwrap(), emptied)
        };
        assert_eq!(go_on_with(24), (40, 23), "they are new");
        assert_eq!(go_on_with(24), (40, 0), "nothing has changed");
        // A share is rounded down.
        assert_eq!(go_on_with(25), (39, 0), "they give up points");
        assert_eq!(go_on_with(26), (40, 23), "and have them again");
    }
}
