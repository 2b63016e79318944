//! `stats conns`: who is connected.

use std::fmt::Display;

use forebay_core::limits::memcached::CONNECTIONS_SHOWN_MAX;
use forebay_core::time::Instant;

use super::write::{end, stat};
use crate::backing::Backing;
use crate::serve::peers::{LISTENERS, Origin};
use crate::shared::Shared;

/// The listeners, then the oldest connections: the one that asks, those that have begun a command, and the others.
pub(crate) fn connections<S: Backing>(shared: &Shared<S>, asking: u64, now: Instant, out: &mut Vec<u8>) {
    let unix = shared.addresses.unix.as_ref().map(|path| format!("unix:{}", path.display()));
    let tcp = shared.addresses.tcp.map(|address| format!("tcp:{address}"));
    for (id, listener) in LISTENERS.zip([&tcp, &unix]) {
        let Some(address) = listener else { continue };
        stat(out, format_args!("{id}:addr"), address);
        state(out, id, "conn_listening", 0);
    }
    for (id, peer) in shared.peers.oldest(CONNECTIONS_SHOWN_MAX) {
        match peer.origin {
            Origin::Tcp { remote, local } => {
                ends(out, id, format_args!("tcp:{remote}"), format_args!("tcp:{local}"));
            }
            Origin::Unix => ends(out, id, "?:<AF 0>", unix.as_deref().unwrap_or_default()),
        }
        let doing = match peer.half_read() {
            _ if id == asking => "conn_parse_cmd",
            true => "conn_nread",
            false => "conn_read",
        };
        state(out, id, doing, now.since(peer.active_at()).as_secs());
    }
    end(out);
}

fn ends(out: &mut Vec<u8>, id: u64, remote: impl Display, local: impl Display) {
    stat(out, format_args!("{id}:addr"), remote);
    stat(out, format_args!("{id}:listen_addr"), local);
}

fn state(out: &mut Vec<u8>, id: u64, doing: &str, idle_seconds: u64) {
    stat(out, format_args!("{id}:state"), doing);
    stat(out, format_args!("{id}:secs_since_last_cmd"), idle_seconds);
}
