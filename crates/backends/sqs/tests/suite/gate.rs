//! A way to a server that is open to so many requests of one kind, and shut for everything from then on.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

/// Where it is entered.
pub(crate) fn before(server: SocketAddr, kind: &'static str, count: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let seen = Arc::new(AtomicUsize::new(0));
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (server, seen) = (TcpStream::connect(server).expect("the server"), seen.clone());
            if seen.load(Relaxed) > count {
                continue;
            }
            let (from, to) = (server.try_clone().expect("it"), client.try_clone().expect("it"));
            thread::spawn(move || carry(from, to, |_| true));
            thread::spawn(move || {
                carry(client, server, |bytes| {
                    let asks = bytes.windows(kind.len()).any(|window| window == kind.as_bytes());
                    seen.fetch_add(usize::from(asks), Relaxed);
                    seen.load(Relaxed) <= count
                });
            });
        }
    });
    address
}

fn carry(mut from: TcpStream, mut to: TcpStream, passes: impl Fn(&[u8]) -> bool) {
    let mut bytes = [0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if !passes(&bytes[..count]) || to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    for stream in [from, to] {
        let _ = stream.shutdown(Shutdown::Both);
    }
}
