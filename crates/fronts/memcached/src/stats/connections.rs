//! `stats conns`: who is connected.

use std::fmt::Display;

use forebay_core::limits::memcached::CONNECTIONS_SHOWN_MAX;
use forebay_core::time::Instant;

use super::sheet::Sheet;
use crate::backing::Backing;
use crate::serve::peers::{LISTENERS, Origin};
use crate::shared::Shared;

/// The listeners, then the oldest connections: the one that asks, those that have begun a command, and the others.
pub(crate) fn connections<S: Backing>(shared: &Shared<S>, asking: u64, now: Instant, sheet: &mut Sheet<'_>) {
    let unix = shared.addresses.unix.as_ref().map(|path| format!("unix:{}", path.display()));
    let tcp = shared.addresses.tcp.map(|address| format!("tcp:{address}"));
    for (id, listener) in LISTENERS.zip([&tcp, &unix]) {
        let Some(address) = listener else { continue };
        sheet.stat(format_args!("{id}:addr"), address);
        state(sheet, id, "conn_listening", 0);
    }
    for (id, peer) in shared.peers.oldest(CONNECTIONS_SHOWN_MAX) {
        match peer.origin {
            Origin::Tcp { remote, local } => {
                ends(sheet, id, format_args!("tcp:{remote}"), format_args!("tcp:{local}"));
            }
            Origin::Unix => ends(sheet, id, "?:<AF 0>", unix.as_deref().unwrap_or_default()),
        }
        let doing = match peer.half_read() {
            _ if id == asking => "conn_parse_cmd",
            _ if peer.watches() => "conn_watch",
            true => "conn_nread",
            false => "conn_read",
        };
        state(sheet, id, doing, now.since(peer.active_at()).as_secs());
    }
    sheet.end();
}

fn ends(sheet: &mut Sheet<'_>, id: u64, remote: impl Display, local: impl Display) {
    sheet.stat(format_args!("{id}:addr"), remote);
    sheet.stat(format_args!("{id}:listen_addr"), local);
}

fn state(sheet: &mut Sheet<'_>, id: u64, doing: &str, idle_seconds: u64) {
    sheet.stat(format_args!("{id}:state"), doing);
    sheet.stat(format_args!("{id}:secs_since_last_cmd"), idle_seconds);
}
