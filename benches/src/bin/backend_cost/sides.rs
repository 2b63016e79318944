//! What both sides of a comparison can be asked for: Forebay over a client, and the bare client. A backend is a file beside
//! this one that opens a [`Peer`].

use std::sync::Arc;

use forebay_benches::queue_servers::peer::Fallible;
use forebay_benches::server::Server;
use forebay_core::ports::BoxFuture;

/// What somebody waits for.
pub type Doing<'a, T> = BoxFuture<'a, Fallible<T>>;

/// One backend on a running server, and every side of it that does the same work. The first of each is the reference.
pub struct Peer {
    pub name: &'static str,
    pub server: Arc<dyn Serving>,
    pub stores: Vec<Side<dyn Store>>,
    pub queues: Vec<Side<dyn Queue>>,
    pub jobs: Vec<Side<dyn Jobs>>,
}

/// A server that runs as long as this.
pub trait Serving: Send + Sync {
    /// Nanoseconds that it has run.
    fn processor_ns(&self) -> u64;
}

impl Serving for Server {
    fn processor_ns(&self) -> u64 {
        self.processor_ns()
    }
}

/// One side under its name.
pub struct Side<T: ?Sized> {
    pub name: &'static str,
    pub it: Arc<T>,
}

/// A shared store.
pub trait Store: Send + Sync {
    /// One who calls, with whatever that needs for itself, such as a connection where the client shares none.
    fn caller(&self) -> Doing<'_, Box<dyn Caller>>;
}

/// One who calls a store, one call after the other.
pub trait Caller: Send {
    /// Reads a key that is there.
    fn get<'a>(&'a mut self, key: &'a str) -> Doing<'a, ()>;

    /// Writes [`VALUE`], without an end of its life.
    fn set<'a>(&'a mut self, key: &'a str) -> Doing<'a, ()>;
}

/// A queue of its own.
pub trait Queue: Send + Sync {
    /// Publishes so many durable messages at once, and waits until the server has confirmed every one.
    fn publish(&self, count: usize) -> Doing<'_, ()>;

    /// What goes before the first of many messages that are received, where that takes long; it is not measured.
    fn ready(&self) -> Doing<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    /// Receives exactly so many messages, [`TOGETHER`] at most at a time, and acknowledges each.
    fn work_off(&self, count: u64) -> Doing<'_, ()>;
}

/// A queue of jobs and their workers.
pub trait Jobs: Send + Sync {
    /// What goes before the first of many jobs, where that takes long; it is not measured.
    fn ready(&self) -> Doing<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    /// Publishes so many jobs, [`TOGETHER`] at a time, then runs all of them and waits until every one is acknowledged.
    fn run(&self, count: u64) -> Doing<'_, ()>;
}

/// What a store keeps under each key.
pub const VALUE: [u8; 100] = [b'v'; 100];
/// Messages that are published, or received, at once.
pub const TOGETHER: usize = 100;

/// The same job without a worker: published, received and acknowledged by the client itself.
pub struct ByHand(pub Arc<dyn Queue>);

impl Jobs for ByHand {
    fn ready(&self) -> Doing<'_, ()> {
        self.0.ready()
    }

    fn run(&self, count: u64) -> Doing<'_, ()> {
        Box::pin(async move {
            let mut left = count as usize;
            while left > 0 {
                let batch = left.min(TOGETHER);
                self.0.publish(batch).await?;
                left -= batch;
            }
            self.0.work_off(count).await
        })
    }
}
