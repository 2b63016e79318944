//! Stands before a memcached and makes it one without meta commands: they arrive as what it has no such command for.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

/// Where it listens. It ends with the test's process.
pub(crate) fn before(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            thread::spawn(move || carry(&client, server));
        }
    });
    address
}

fn carry(client: &TcpStream, server: SocketAddr) {
    let Ok(server) = TcpStream::connect(server) else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    thread::scope(|both| {
        both.spawn(|| {
            let _ = io::copy(&mut &server, &mut &*client);
            end(client, &server);
        });
        let _ = translate(&mut BufReader::new(client), &mut &server);
        end(client, &server);
    });
}

fn end(client: &TcpStream, server: &TcpStream) {
    // They may have ended before.
    let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
}

fn translate(client: &mut impl BufRead, server: &mut impl Write) -> io::Result<()> {
    let mut line = Vec::new();
    while client.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line).into_owned();
        let words: Vec<&str> = text.split_whitespace().collect();
        match words.first().copied().unwrap_or_default() {
            "mn" | "mg" | "ms" | "md" | "ma" | "me" => server.write_all(b"unheard-of\r\n")?,
            "set" | "add" | "cas" => {
                let length: u64 = words[4].parse().expect("the length of a value");
                server.write_all(&line)?;
                io::copy(&mut client.by_ref().take(length + 2), server)?;
            }
            _ => server.write_all(&line)?,
        }
        line.clear();
    }
    Ok(())
}
