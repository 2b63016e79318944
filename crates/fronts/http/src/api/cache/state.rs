//! The state of the cache: what it holds, why entries left, what is read most.

use axum::Json;
use axum::extract::State;
use forebay_core::stats::{SizeClass, StoreDetail, StoreStats, TopKey};
use serde::Serialize;
use utoipa::ToSchema;

use crate::router::App;

/// The state of the cache in the memory of this process, which may be copies of a shared store. Counts are since the start of the process.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CacheBody {
    /// Entries that are there.
    items: u64,
    /// Bytes they take, keys and overhead included.
    bytes: u64,
    /// The budget for them.
    bytes_max: u64,
    /// Reads that found a value.
    hits: u64,
    /// Reads that did not.
    misses: u64,
    /// Writes that stored.
    writes: u64,
    /// Entries pushed out to make room, or because the budget became smaller.
    evicted: u64,
    /// Of those, never read.
    evicted_unread: u64,
    /// Of those, for a smaller budget.
    evicted_by_resize: u64,
    /// Entries dropped because their time was over.
    expired: u64,
    /// Entries dropped because everything was.
    flushed: u64,
    /// Entries taken out because somebody asked for it.
    removed: u64,
    /// Values that gave way to another one under the same key.
    replaced: u64,
    /// Fills refused because the lease was no longer good.
    fills_refused: u64,
    /// Entries by size, the smallest first.
    classes: Vec<ClassBody>,
    /// The keys that were read most of late, from a sample; the first one most.
    top: Vec<TopBody>,
}

/// Entries whose key and value together are of about one size.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClassBody {
    /// The largest, a power of two; the next smaller class has half of it.
    bytes_max: u64,
    /// How many there are.
    items: u64,
    /// Bytes of their keys and values.
    bytes: u64,
}

/// A key that is read often.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TopBody {
    /// The key; what is not UTF-8 in it is replaced.
    key: String,
    /// Reads that found it, as a sample has it. Older ones count less.
    reads: u64,
    /// So many of them may have been reads of other keys.
    reads_error: u64,
}

impl CacheBody {
    fn new(stats: StoreStats, detail: StoreDetail) -> Self {
        Self {
            items: stats.items,
            bytes: stats.bytes,
            bytes_max: stats.bytes_max,
            hits: stats.hits,
            misses: stats.misses,
            writes: stats.writes,
            evicted: stats.evicted,
            evicted_unread: stats.evicted_unread,
            evicted_by_resize: stats.evicted_by_resize,
            expired: stats.expired,
            flushed: stats.flushed,
            removed: stats.removed,
            replaced: stats.replaced,
            fills_refused: stats.fills_refused,
            classes: detail.classes.into_iter().map(ClassBody::from).collect(),
            top: detail.top.into_iter().map(TopBody::from).collect(),
        }
    }
}

impl From<SizeClass> for ClassBody {
    fn from(class: SizeClass) -> Self {
        let SizeClass { bytes_max, items, bytes } = class;
        Self { bytes_max, items, bytes }
    }
}

impl From<TopKey> for TopBody {
    fn from(top: TopKey) -> Self {
        let key = String::from_utf8_lossy(&top.key).into_owned();
        Self { key, reads: top.reads, reads_error: top.reads_error }
    }
}

/// Shows the state of the cache
///
/// In front of a shared store it is that of the copies in this process.
#[utoipa::path(
    get, path = "/v1/cache", tag = "cache", operation_id = "cache_stats",
    responses((status = 200, description = "Its state.", body = CacheBody))
)]
pub(crate) async fn stats(State(app): State<App>) -> Json<CacheBody> {
    let memory = app.parts.cache.memory();
    Json(CacheBody::new(memory.stats(), memory.detail()))
}
