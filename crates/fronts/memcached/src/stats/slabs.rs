//! `stats items`, `stats slabs`, `stats sizes`: the store has no classes by size, so everything is in class 1.

use super::counters::Count;
use super::sheet::Sheet;
use crate::backing::Backing;
use crate::shared::Shared;

/// What memcached calls a page: the unit in which its tools show memory.
const PAGE_BYTES: u64 = 1024 * 1024;

/// `stats items`.
pub(crate) fn items<S: Backing>(shared: &Shared<S>, sheet: &mut Sheet<'_>) {
    let store = shared.totals().store;
    if store.items > 0 {
        for (name, value) in [
            ("number", store.items),
            ("number_hot", 0),
            ("number_warm", 0),
            ("number_cold", store.items),
            ("age_hot", 0),
            ("age_warm", 0),
            ("age", 0),
            ("mem_requested", store.bytes),
            ("evicted", store.evicted),
            ("evicted_nonzero", 0),
            ("evicted_time", 0),
            ("outofmemory", 0),
            ("tailrepairs", 0),
            ("reclaimed", store.expired),
            ("expired_unfetched", store.expired_unread),
            ("evicted_unfetched", store.evicted_unread),
            ("evicted_active", 0),
            ("crawler_reclaimed", 0),
            ("crawler_items_checked", 0),
            ("lrutail_reflocked", 0),
            ("moves_to_cold", 0),
            ("moves_to_warm", 0),
            ("moves_within_lru", 0),
            ("direct_reclaims", 0),
            ("hits_to_hot", 0),
            ("hits_to_warm", 0),
            ("hits_to_cold", shared.totals().tally.get(Count::GetHits)),
            ("hits_to_temp", 0),
        ] {
            sheet.stat(format_args!("items:1:{name}"), value);
        }
    }
    sheet.end();
}

/// `stats slabs`.
pub(crate) fn slabs<S: Backing>(shared: &Shared<S>, sheet: &mut Sheet<'_>) {
    let totals = shared.totals();
    let (store, count) = (totals.store, |count: Count| totals.tally.get(count));
    let used = store.items > 0;
    if used {
        for (name, value) in [
            ("chunk_size", store.bytes / store.items),
            ("chunks_per_page", PAGE_BYTES * store.items / store.bytes.max(1)),
            ("total_pages", store.bytes.div_ceil(PAGE_BYTES)),
            ("total_chunks", store.items),
            ("used_chunks", store.items),
            ("free_chunks", 0),
            ("free_chunks_end", 0),
            ("get_hits", count(Count::GetHits)),
            ("cmd_set", count(Count::Sets)),
            ("delete_hits", count(Count::DeleteHits)),
            ("incr_hits", count(Count::IncrHits)),
            ("decr_hits", count(Count::DecrHits)),
            ("cas_hits", count(Count::CasHits)),
            ("cas_badval", count(Count::CasBad)),
            ("touch_hits", count(Count::TouchHits)),
        ] {
            sheet.stat(format_args!("1:{name}"), value);
        }
    }
    sheet.stat("active_slabs", u8::from(used));
    sheet.stat("total_malloced", totals.entry_bytes());
    sheet.end();
}

/// `stats sizes`: a histogram that memcached does not keep by default either.
pub(crate) fn sizes(sheet: &mut Sheet<'_>) {
    sheet.stat("sizes_status", "disabled");
    sheet.end();
}
