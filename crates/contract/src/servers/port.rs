//! Ports for servers that cannot be asked to find one themselves and say which.

use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Where they lie: below those that systems give to outgoing connections. One of these could take the port meanwhile, and to
/// ask at it whether the server listens could even connect to itself.
const PORTS: Range<u16> = 12_000..32_000;

/// What says to other processes that a port is taken while its server is down: a socket of UDP with its number, which none of the
/// servers listens on. They stay for as long as the process, as its servers come back to their ports.
static TAKEN: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());

/// A port that was free a moment ago. Nobody else who asks here is given it while this process lives.
pub fn free() -> u16 {
    free_with(0)
}

/// The same, and so was the one that lies that far above it.
pub(super) fn free_with(above: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let count = PORTS.end - PORTS.start - above;
    // Another process begins elsewhere.
    let first = std::process::id().wrapping_mul(101) % u32::from(count);
    (0..count)
        .map(|_| {
            let turn = u32::from(NEXT.fetch_add(1, Relaxed)).wrapping_mul(7);
            PORTS.start + ((first + turn) % u32::from(count)) as u16
        })
        .find(|port| take(*port) && (above == 0 || take(*port + above)))
        .expect("a free port")
}

fn take(port: u16) -> bool {
    let Ok(taken) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) else { return false };
    let is_free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        && TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err();
    if is_free {
        TAKEN.lock().unwrap_or_else(PoisonError::into_inner).push(taken);
    }
    is_free
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_given_a_port_twice_also_while_its_server_is_down() {
        let ports: Vec<u16> = (0..50).map(|_| free()).collect();
        assert!(ports.iter().all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()));
        // As another process would see them.
        assert!(!ports.iter().any(|port| take(*port)));
    }
}
