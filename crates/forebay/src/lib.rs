//! A cache and a durable queue that know about each other, inside a Rust program.
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! # let folder = tempfile::tempdir()?;
//! # let data = folder.path();
//! let forebay = forebay::Forebay::builder().memory(64 << 20).data(data).open().await?;
//! forebay.cache().set("product:7", "teapot")?;
//! let orders = forebay.queue("orders").await?;
//! orders.publish("one teapot").await?;
//! orders.receive().await?.expect("an order").ack().await?;
//! # assert_eq!(&*forebay.cache().get("product:7").unwrap(), b"teapot");
//! # forebay.close().await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! Published is confirmed: [`Queue::publish`] returns once the message is on disk. What is cached may be forgotten at
//! any time. A message that is neither acknowledged nor kept comes back when its hold runs out, and after the queue's
//! attempts are spent it is a dead letter, with its history.

mod behind;
mod builder;
mod cache;
mod cached;
mod codec;
mod draft;
mod forebay;
mod held;
mod open;
mod queue;
mod settings;
mod stream;

pub use behind::{SourceWrite, WriteBehind, WriteBehindOptions, WriteBehindStats};
pub use builder::Builder;
pub use cache::Cache;
pub use cached::{Compressed, Sessions, SharedCache, TypedCache};
pub use codec::{Codec, Json, Postcard, Raw};
pub use draft::Draft;
pub use forebay::Forebay;
pub use forebay_cache::atomic::{Counter, Lock, Locks, RateLimit, RateLimiter, Verdict};
pub use forebay_cache::tags::{Namespace, Tagged, TaggedReadThrough};
pub use forebay_cache::{
    BreakerOptions, BreakerState, Guard, GuardOptions, GuardStats, Policy, ReadThrough, ReadThroughOptions,
    Served, SourceStats,
};
pub use forebay_core::delivery::{Delivery, History, Outcome, Reason, Settled};
pub use forebay_core::entry::Version;
pub use forebay_core::error::{Error, Kind, Result, Retry};
pub use forebay_core::message::{Headers, Message, MessageId, Value};
pub use forebay_core::payload::Payload;
pub use forebay_core::ports::broker::{Found, Place, ReplayFrom, Replayed};
pub use forebay_core::ports::loader::{BatchLoader, KeySource, Loader};
pub use forebay_core::pressure::{PressureStats, QueueMemory, Rung};
pub use forebay_core::queue::{Backoff, Order, Overflow, QueueName, QueueSettings, Retain, RetryPolicy};
pub use forebay_core::stats::{
    CacheStats, LogStats, QueueStats, ReadStats, SizeClass, StoreDetail, StoreStats, TopKey,
};
pub use forebay_core::time::Instant;
pub use forebay_queue::consumer::ConsumerOptions;
pub use forebay_queue::worker::{Failure, Rate, Worker, WorkerOptions};
pub use held::{Held, Received};
pub use queue::Queue;
pub use stream::{Batches, Deliveries};

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
