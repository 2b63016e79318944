//! `stats`: the names and the order are memcached's, because exporters and dashboards look for them. What belongs to
//! machinery that this front does not have is 0.

use std::process;

use forebay_core::time::Instant;

use super::counters::Count;
use super::sheet::Sheet;
use crate::backing::Backing;
use crate::shared::Shared;
use crate::version::VERSION;

/// Clock ticks a second in `/proc`, the same on every Linux that people run.
const TICKS_PER_SECOND: u64 = 100;

pub(crate) fn general<S: Backing>(shared: &Shared<S>, now: Instant, sheet: &mut Sheet<'_>) {
    let totals = shared.totals();
    let count = |count: Count| totals.tally.get(count);
    let peers = shared.peers.stats();
    let processor = processor_time();

    sheet.stat("pid", process::id());
    // `time` less `uptime` is the start, always the same one: clients tell one life of a server from another by it.
    let second = |moment: Instant| moment.as_ms() / 1000;
    sheet.stat("uptime", second(now).saturating_sub(second(shared.started)));
    sheet.stat("time", second(now));
    sheet.stat("version", VERSION);
    sheet.stat("libevent", "none");
    sheet.stat("pointer_size", usize::BITS);
    sheet.stat("rusage_user", seconds(processor.0));
    sheet.stat("rusage_system", seconds(processor.1));
    sheet.stat("max_connections", shared.options.connections_max);
    sheet.stat("curr_connections", peers.current());
    sheet.stat("total_connections", totals.connections);
    sheet.stat("rejected_connections", totals.refused);
    sheet.stat("connection_structures", peers.current());
    zeros(
        sheet,
        &[
            "response_obj_oom",
            "response_obj_count",
            "response_obj_bytes",
            "read_buf_count",
            "read_buf_bytes",
            "read_buf_bytes_free",
            "read_buf_oom",
            "reserved_fds",
        ],
    );
    for (name, counted) in [
        ("cmd_get", Count::Gets),
        ("cmd_set", Count::Sets),
        ("cmd_flush", Count::Flushes),
        ("cmd_touch", Count::Touches),
        ("cmd_meta", Count::Metas),
        ("get_hits", Count::GetHits),
        ("get_misses", Count::GetMisses),
    ] {
        sheet.stat(name, count(counted));
    }
    if S::IS_NEAR {
        sheet.stat("near_hits", count(Count::NearHits));
        sheet.stat("near_misses", count(Count::NearMisses));
    }
    sheet.stat("get_expired", totals.store.misses_expired);
    // What was flushed is gone at once.
    zeros(sheet, &["get_flushed"]);
    for (name, counted) in [
        ("delete_misses", Count::DeleteMisses),
        ("delete_hits", Count::DeleteHits),
        ("incr_misses", Count::IncrMisses),
        ("incr_hits", Count::IncrHits),
        ("decr_misses", Count::DecrMisses),
        ("decr_hits", Count::DecrHits),
        ("cas_misses", Count::CasMisses),
        ("cas_hits", Count::CasHits),
        ("cas_badval", Count::CasBad),
        ("touch_hits", Count::TouchHits),
        ("touch_misses", Count::TouchMisses),
        ("store_too_large", Count::TooLarge),
    ] {
        sheet.stat(name, count(counted));
    }
    sheet.stat("store_no_memory", count(Count::NoMemory));
    sheet.stat("auth_cmds", count(Count::Auths));
    sheet.stat("auth_errors", count(Count::AuthErrors));
    if shared.options.idle.is_some() {
        sheet.stat("idle_kicks", count(Count::IdleKicks));
    }
    sheet.stat("bytes_read", count(Count::BytesRead));
    sheet.stat("bytes_written", count(Count::BytesWritten));
    sheet.stat("limit_maxbytes", totals.store.bytes_max);
    sheet.stat("accepting_conns", 1);
    zeros(sheet, &["listen_disabled_num", "time_in_listen_disabled_us"]);
    sheet.stat("threads", shared.threads());
    sheet.stat("conn_yields", count(Count::Yields));
    zeros(
        sheet,
        &[
            "hash_power_level",
            "hash_bytes",
            "hash_is_expanding",
            "slab_reassign_rescues",
            "slab_reassign_chunk_rescues",
            "slab_reassign_evictions_nomem",
            "slab_reassign_inline_reclaim",
            "slab_reassign_busy_items",
            "slab_reassign_busy_deletes",
            "slab_reassign_running",
            "slabs_moved",
            "lru_crawler_running",
            "lru_crawler_starts",
            "lru_maintainer_juggles",
            "malloc_fails",
            "log_worker_dropped",
        ],
    );
    let watch = totals.watch;
    sheet.stat("log_worker_written", watch.told);
    sheet.stat("log_watcher_skipped", watch.skipped);
    sheet.stat("log_watcher_sent", watch.sent);
    sheet.stat("log_watchers", watch.watchers);
    zeros(sheet, &["unexpected_napi_ids", "round_robin_fallback"]);
    sheet.stat("bytes", totals.entry_bytes());
    sheet.stat("curr_items", totals.store.items);
    sheet.stat("total_items", count(Count::Stored));
    sheet.stat("slab_global_page_pool", 0);
    sheet.stat("expired_unfetched", totals.store.expired_unread);
    sheet.stat("evicted_unfetched", totals.store.evicted_unread);
    sheet.stat("evicted_active", 0);
    sheet.stat("evictions", totals.store.evicted);
    sheet.stat("reclaimed", totals.store.expired);
    zeros(
        sheet,
        &[
            "crawler_reclaimed",
            "crawler_items_checked",
            "lrutail_reflocked",
            "moves_to_cold",
            "moves_to_warm",
            "moves_within_lru",
            "direct_reclaims",
            "lru_bumps_dropped",
        ],
    );
    sheet.end();
}

fn zeros(sheet: &mut Sheet<'_>, names: &[&str]) {
    for name in names {
        sheet.stat(name, 0);
    }
}

/// Ticks spent in this process and in the kernel for it; 0 where the system does not say.
fn processor_time() -> (u64, u64) {
    let Ok(text) = std::fs::read_to_string("/proc/self/stat") else { return (0, 0) };
    // The second field is the program's name, which may hold anything but ends with the last parenthesis.
    let fields = text.rsplit(')').next().unwrap_or_default();
    let mut ticks = fields.split_ascii_whitespace().skip(11).map(|field| field.parse().unwrap_or(0));
    (ticks.next().unwrap_or(0), ticks.next().unwrap_or(0))
}

fn seconds(ticks: u64) -> String {
    let micros = ticks % TICKS_PER_SECOND * (1_000_000 / TICKS_PER_SECOND);
    format!("{}.{micros:06}", ticks / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_shown_in_seconds() {
        assert_eq!(seconds(0), "0.000000");
        assert_eq!(seconds(1234), "12.340000");
    }
}
