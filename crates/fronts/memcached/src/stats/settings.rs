//! `stats settings`: memcached's names, each with a value of the type clients parse it as. What can be chosen here is as
//! chosen; the rest is as memcached has it by default where that is true of this front too, else off or 0.

use std::sync::atomic::Ordering::Relaxed;

use forebay_core::limits::memcached::WATCHER_BYTES_MAX;

use super::sheet::Sheet;
use crate::backing::Backing;
use crate::shared::Shared;

pub(crate) fn settings<S: Backing>(shared: &Shared<S>, sheet: &mut Sheet<'_>) {
    let (options, tcp) = (&shared.options, shared.addresses.tcp);
    let inter = tcp.map_or_else(|| "NULL".to_owned(), |address| address.ip().to_string());
    let socket =
        shared.addresses.unix.as_ref().map_or_else(|| "NULL".to_owned(), |path| path.display().to_string());

    let with_users = if options.users.is_some() { "yes" } else { "no" };
    sheet.stat("maxbytes", shared.store.memory().bytes_max);
    sheet.stat("maxconns", options.connections_max);
    sheet.stat("tcpport", tcp.map_or(0, |address| address.port()));
    sheet.stat("udpport", 0);
    sheet.stat("inter", inter);
    sheet.stat("verbosity", 0);
    sheet.stat("oldest", 0);
    sheet.stat("evictions", "on");
    sheet.stat("domain_socket", socket);
    sheet.stat("umask", 700);
    sheet.stat("shutdown_command", "no");
    sheet.stat("growth_factor", "1.00");
    sheet.stat("chunk_size", 0);
    sheet.stat("num_threads", shared.threads());
    sheet.stat("num_threads_per_udp", 0);
    sheet.stat("stat_key_prefix", ":");
    sheet.stat("detail_enabled", "no");
    sheet.stat("reqs_per_event", 0);
    sheet.stat("cas_enabled", "yes");
    sheet.stat("tcp_backlog", crate::serve::bind::BACKLOG);
    sheet.stat("binding_protocol", "auto-negotiate");
    sheet.stat("auth_enabled_sasl", with_users);
    sheet.stat("auth_enabled_ascii", with_users);
    sheet.stat("item_size_max", options.value_bytes_max);
    sheet.stat("maxconns_fast", "yes");
    for (name, value) in MACHINERY {
        match (name, options.idle) {
            ("idle_timeout", Some(idle)) => sheet.stat(name, idle.as_secs().max(1)),
            ("lru_crawler", _) if !shared.dumps.load(Relaxed) => sheet.stat(name, "no"),
            ("watcher_logbuf_size", _) => sheet.stat(name, WATCHER_BYTES_MAX),
            ("flush_enabled", _) if S::IS_NEAR => sheet.stat(name, "no"),
            _ => sheet.stat(name, value),
        }
    }
    if shared.store.flush_leaves_pinned() {
        // Not memcached's: whoever empties this server is to know what stays.
        sheet.stat("flush_leaves_pinned", "yes");
    }
    sheet.end();
}

/// Settings of machinery that this front does not have.
const MACHINERY: [(&str, &str); 51] = [
    ("hashpower_init", "0"),
    ("slab_reassign", "no"),
    ("slab_automove", "0"),
    ("slab_automove_ratio", "0.00"),
    ("slab_automove_window", "0"),
    ("slab_chunk_max", "0"),
    ("lru_crawler", "yes"),
    ("lru_crawler_sleep", "0"),
    ("lru_crawler_tocrawl", "0"),
    ("tail_repair_time", "0"),
    ("flush_enabled", "yes"),
    ("dump_enabled", "yes"),
    ("hash_algorithm", "foldhash"),
    ("lru_maintainer_thread", "no"),
    ("lru_segmented", "no"),
    ("hot_lru_pct", "0"),
    ("warm_lru_pct", "0"),
    ("hot_max_factor", "0.00"),
    ("warm_max_factor", "0.00"),
    ("temp_lru", "no"),
    ("temporary_ttl", "0"),
    ("idle_timeout", "0"),
    ("watcher_logbuf_size", "0"),
    ("worker_logbuf_size", "0"),
    ("read_buf_mem_limit", "0"),
    ("track_sizes", "no"),
    ("inline_ascii_response", "no"),
    ("ext_item_size", "0"),
    ("ext_item_age", "0"),
    ("ext_low_ttl", "0"),
    ("ext_recache_rate", "0"),
    ("ext_wbuf_size", "0"),
    ("ext_compact_under", "0"),
    ("ext_drop_under", "0"),
    ("ext_max_sleep", "0"),
    ("ext_max_frag", "0.00"),
    ("slab_automove_freeratio", "0.000"),
    ("ext_drop_unread", "no"),
    ("ssl_enabled", "no"),
    ("ssl_chain_cert", "(null)"),
    ("ssl_key", "(null)"),
    ("ssl_verify_mode", "0"),
    ("ssl_keyformat", "0"),
    ("ssl_ciphers", "NULL"),
    ("ssl_ca_cert", "NULL"),
    ("ssl_wbuf_size", "0"),
    ("ssl_session_cache", "no"),
    ("ssl_kernel_tls", "no"),
    ("ssl_min_version", "tlsv1.2"),
    ("num_napi_ids", "(null)"),
    ("memory_file", "(null)"),
];
