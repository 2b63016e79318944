//! Queues of one's own on a server that others use too.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

/// Their URL, with these options.
pub(crate) fn url(address: SocketAddr, options: &str) -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let prefix = NEXT.fetch_add(1, Relaxed);
    format!(
        "sqs://key:secret@eu-central-1/123456789012?endpoint=http://{address}&prefix=case{prefix}-&{options}"
    )
}
