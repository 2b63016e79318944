//! Who is connected: a seat for each, as many as there may be.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::Waker;
use std::time::Duration;

use forebay_core::stats::ConnectionStats;
use forebay_core::time::Instant;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

/// Numbers of the TCP and the unix listener in lists of connections; those of connections are greater.
pub(crate) const LISTENERS: std::ops::RangeInclusive<u64> = 0..=1;

/// Where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Across the network.
    Tcp {
        /// The client's end.
        remote: SocketAddr,
        /// Our end.
        local: SocketAddr,
    },
    /// On this machine, without a name of its own.
    Unix,
}

/// What is known of one connection.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) origin: Origin,
    active_ms: AtomicU64,
    half_read: AtomicBool,
    watches: AtomicBool,
    /// It has been called to look how long it has been silent.
    called: AtomicBool,
    waits: AtomicWaker,
}

impl Peer {
    /// It has begun a command and not ended it.
    pub(crate) fn half_read(&self) -> bool {
        self.half_read.load(Relaxed)
    }

    /// It is told of what happens.
    pub(crate) fn watches(&self) -> bool {
        self.watches.load(Relaxed)
    }

    /// When it last sent something.
    pub(crate) fn active_at(&self) -> Instant {
        Instant::from_ms(self.active_ms.load(Relaxed))
    }
}

/// All connections.
#[derive(Debug)]
pub(crate) struct Peers {
    stats: Arc<ConnectionStats>,
    open: Mutex<Open>,
    connections_max: usize,
}

#[derive(Debug)]
struct Open {
    last: u64,
    peers: BTreeMap<u64, Arc<Peer>>,
}

impl Peers {
    pub(crate) fn new(connections_max: usize) -> Self {
        let open = Mutex::new(Open { last: *LISTENERS.end(), peers: BTreeMap::new() });
        Self { stats: Arc::default(), open, connections_max }
    }

    /// Counts that others may look at.
    pub(crate) fn stats(&self) -> &Arc<ConnectionStats> {
        &self.stats
    }

    /// A seat for a new connection, or `None` if all are taken.
    pub(crate) fn seat(self: &Arc<Self>, origin: Origin, now: Instant) -> Option<Seat> {
        let mut open = self.open.lock();
        if open.peers.len() >= self.connections_max {
            self.stats.refuse();
            return None;
        }
        open.last += 1;
        let id = open.last;
        let peer = Arc::new(Peer {
            origin,
            active_ms: AtomicU64::new(now.as_ms()),
            half_read: AtomicBool::new(false),
            watches: AtomicBool::new(false),
            called: AtomicBool::new(false),
            waits: AtomicWaker::new(),
        });
        open.peers.insert(id, Arc::clone(&peer));
        self.stats.open();
        Some(Seat { id, peer, peers: Arc::clone(self) })
    }

    /// Calls those that have been silent for so long. They look themselves, as they may have been told something meanwhile.
    pub(crate) fn call_silent(&self, now: Instant, idle: Duration) {
        for peer in self.open.lock().peers.values() {
            if now.since(peer.active_at()) >= idle {
                peer.called.store(true, Relaxed);
                peer.waits.wake();
            }
        }
    }

    /// The oldest connections, at most `count_max` of them.
    pub(crate) fn oldest(&self, count_max: usize) -> Vec<(u64, Arc<Peer>)> {
        self.open.lock().peers.iter().take(count_max).map(|(id, peer)| (*id, Arc::clone(peer))).collect()
    }
}

/// The right to be connected, given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    id: u64,
    peer: Arc<Peer>,
    peers: Arc<Peers>,
}

impl Seat {
    /// A number no other connection of this front has had.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Where its client is.
    pub(crate) fn origin(&self) -> Origin {
        self.peer.origin
    }

    /// Whether the client has begun a command and not ended it.
    pub(crate) fn set_half_read(&self, half_read: bool) {
        self.peer.half_read.store(half_read, Relaxed);
    }

    /// From now on the client is told of what happens.
    pub(crate) fn watch(&self) {
        self.peer.watches.store(true, Relaxed);
    }

    /// Whether it was called since it was last asked; if not it will be, by `waker`.
    pub(crate) fn is_called(&self, waker: &Waker) -> bool {
        self.peer.waits.register(waker);
        self.peer.called.swap(false, Relaxed)
    }

    /// How long its client has said nothing.
    pub(crate) fn silent_since(&self, now: Instant) -> Duration {
        now.since(self.peer.active_at())
    }

    /// The client has sent something.
    pub(crate) fn active(&self, now: Instant) {
        self.peer.active_ms.store(now.as_ms(), Relaxed);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.peers.open.lock().peers.remove(&self.id);
        self.peers.stats.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_free_again_when_its_connection_is_gone() {
        let peers = Arc::new(Peers::new(2));
        let seat = || peers.seat(Origin::Unix, Instant::from_ms(1));
        let first = seat();
        let second = seat();
        assert!(first.is_some() && second.is_some() && seat().is_none());
        drop(first);
        assert_eq!(peers.oldest(9).len(), 1);
        assert!(seat().is_some());
        assert_eq!((peers.stats().current(), peers.stats().total(), peers.stats().refused()), (1, 3, 1));
    }
}
