//! Ports for servers that cannot be asked to find one themselves and say which.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

/// Where they lie: below those that systems give to outgoing connections. One of these could take the port meanwhile, and to
/// ask at it whether the server listens could even connect to itself.
const PORTS: Range<u16> = 12_000..32_000;

/// A port that was free a moment ago.
pub fn free() -> u16 {
    free_with(0)
}

/// The same, and so was the one that lies that far above it.
pub(super) fn free_with(above: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let count = PORTS.end - PORTS.start - above;
    // Another process begins elsewhere.
    let first = std::process::id().wrapping_mul(101) % u32::from(count);
    let is_free = |port: u16| {
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
            && TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err()
    };
    (0..count)
        .map(|_| {
            let turn = u32::from(NEXT.fetch_add(1, Relaxed)).wrapping_mul(7);
            PORTS.start + ((first + turn) % u32::from(count)) as u16
        })
        .find(|port| is_free(*port) && (above == 0 || is_free(*port + above)))
        .expect("a free port")
}
