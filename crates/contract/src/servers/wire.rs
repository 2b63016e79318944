//! A wire to a server that can be cut, stand still, or lose what the server says.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use parking_lot::{Condvar, Mutex};

/// Bytes passed on at once.
const PIECE_BYTES: usize = 64 * 1024;

/// What the wire does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// It passes everything on.
    Pass,
    /// Nothing arrives on either side, and nobody is told. What was sent meanwhile arrives when it passes on again, if nobody
    /// has given up by then.
    Hold,
    /// What the server says is lost. What it is told arrives. Such connections are of no use afterwards: cut them.
    Swallow,
    /// No connection is made.
    Refuse,
}

/// A wire to one server. All its connections end with it.
pub struct Wire {
    /// Where clients connect to.
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    now: Mutex<Now>,
    changed: Condvar,
}

struct Now {
    does: Does,
    /// How often it was cut: connections of before are to end.
    cuts: u64,
    /// Both ends of every connection.
    open: Vec<[TcpStream; 2]>,
    closed: bool,
}

/// Which way something goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    ToServer,
    ToClient,
}

/// What becomes of a piece.
#[derive(PartialEq, Eq)]
enum Fate {
    Arrives,
    IsLost,
    HasNoWay,
}

impl Wire {
    /// A wire that leads there.
    pub fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("its address");
        let now = Now { does: Does::Pass, cuts: 0, open: Vec::new(), closed: false };
        let state = Arc::new(State { now: Mutex::new(now), changed: Condvar::new() });
        let accepting = state.clone();
        thread::spawn(move || accept(&listener, server, &accepting));
        Self { address, state }
    }

    /// Does so from now on with all connections.
    pub fn set(&self, does: Does) {
        self.state.now.lock().does = does;
        self.state.changed.notify_all();
    }

    /// Ends all connections, and does so with those that come.
    pub fn cut(&self, does: Does) {
        let mut now = self.state.now.lock();
        now.does = does;
        now.cut();
        self.state.changed.notify_all();
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let mut now = self.state.now.lock();
        now.closed = true;
        now.cut();
        self.state.changed.notify_all();
        drop(now);
        // The one who accepts is asleep; if it cannot be woken it has ended.
        let _ = TcpStream::connect(self.address);
    }
}

impl Now {
    fn cut(&mut self) {
        self.cuts += 1;
        for end in self.open.drain(..).flatten() {
            // It may have ended before.
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

fn accept(listener: &TcpListener, server: SocketAddr, state: &Arc<State>) {
    for client in listener.incoming() {
        let Ok(client) = client else { continue };
        let mut now = state.now.lock();
        if now.closed {
            return;
        }
        if now.does == Does::Refuse {
            continue;
        }
        let Ok(server) = TcpStream::connect(server) else { continue };
        let (Ok(()), Ok(()), Ok(client_end), Ok(server_end)) =
            (client.set_nodelay(true), server.set_nodelay(true), client.try_clone(), server.try_clone())
        else {
            continue;
        };
        now.open.retain(|[client, _]| client.peer_addr().is_ok());
        now.open.push([client_end, server_end]);
        let cuts = now.cuts;
        drop(now);
        let (Ok(from_client), Ok(from_server)) = (client.try_clone(), server.try_clone()) else { continue };
        let (to_server, to_client) = (state.clone(), state.clone());
        thread::spawn(move || carry(from_client, server, Way::ToServer, cuts, &to_server));
        thread::spawn(move || carry(from_server, client, Way::ToClient, cuts, &to_client));
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, way: Way, cuts: u64, state: &State) {
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(length) = from.read(&mut piece)
        && length > 0
    {
        match state.fate(way, cuts) {
            Fate::Arrives => {
                if to.write_all(piece.get(..length).unwrap_or_default()).is_err() {
                    break;
                }
            }
            Fate::IsLost => {}
            Fate::HasNoWay => break,
        }
    }
    // An end is told, too, and no earlier than what came before it.
    state.fate(way, cuts);
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

impl State {
    /// What becomes of what is to go this way, once that is decided.
    fn fate(&self, way: Way, cuts: u64) -> Fate {
        let mut now = self.now.lock();
        while now.does == Does::Hold && now.cuts == cuts {
            self.changed.wait(&mut now);
        }
        match now.does {
            _ if now.cuts != cuts => Fate::HasNoWay,
            Does::Swallow if way == Way::ToClient => Fate::IsLost,
            Does::Refuse => Fate::HasNoWay,
            Does::Pass | Does::Swallow | Does::Hold => Fate::Arrives,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use super::*;

    /// What nobody hears within this time is taken not to come.
    const SILENCE: Duration = Duration::from_millis(200);

    /// A server that answers every byte by the next one, and tells what it hears.
    fn server() -> (SocketAddr, Receiver<u8>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (address, (tell, told)) = (listener.local_addr().unwrap(), channel());
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let (mut byte, tell) = ([0], tell.clone());
                thread::spawn(move || {
                    while stream.read_exact(&mut byte).is_ok() && tell.send(byte[0]).is_ok() {
                        let _ = stream.write_all(&[byte[0] + 1]);
                    }
                });
            }
        });
        (address, told)
    }

    fn connect(wire: &Wire) -> TcpStream {
        let client = TcpStream::connect(wire.address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client
    }

    /// A client whose connection stands from end to end.
    fn client(wire: &Wire, told: &Receiver<u8>) -> TcpStream {
        let mut client = connect(wire);
        client.write_all(&[100]).unwrap();
        assert_eq!((answer(&mut client), told.recv()), (Some(101), Ok(100)));
        client
    }

    fn answer(client: &mut TcpStream) -> Option<u8> {
        let mut byte = [0];
        client.read_exact(&mut byte).ok().map(|()| byte[0])
    }

    #[test]
    fn it_passes_everything_on_until_it_is_cut() {
        let (server, told) = server();
        let wire = Wire::to(server);
        let mut one = client(&wire, &told);
        wire.cut(Does::Pass);
        assert_eq!(answer(&mut one), None);
        let mut other = client(&wire, &told);
        wire.cut(Does::Refuse);
        assert_eq!((answer(&mut other), answer(&mut connect(&wire))), (None, None));
    }

    #[test]
    fn while_it_holds_nothing_arrives_and_then_everything() {
        let (server, told) = server();
        let wire = Wire::to(server);
        let mut client = client(&wire, &told);
        wire.set(Does::Hold);
        client.write_all(&[1]).unwrap();
        assert!(told.recv_timeout(SILENCE).is_err());
        wire.set(Does::Pass);
        assert_eq!(answer(&mut client), Some(2));
    }

    #[test]
    fn a_cut_ends_also_what_is_held() {
        let (server, told) = server();
        let wire = Wire::to(server);
        let mut client = client(&wire, &told);
        wire.set(Does::Hold);
        client.write_all(&[1]).unwrap();
        wire.cut(Does::Pass);
        assert_eq!(answer(&mut client), None);
        assert!(told.recv_timeout(SILENCE).is_err(), "it never arrives");
    }

    #[test]
    fn what_it_swallows_was_done_all_the_same() {
        let (server, told) = server();
        let wire = Wire::to(server);
        let mut client = client(&wire, &told);
        wire.set(Does::Swallow);
        client.write_all(&[1]).unwrap();
        assert_eq!(told.recv_timeout(Duration::from_secs(10)), Ok(1));
        client.set_read_timeout(Some(SILENCE)).unwrap();
        assert_eq!(answer(&mut client), None);
    }

    #[test]
    fn its_connections_end_with_it() {
        let (server, told) = server();
        let wire = Wire::to(server);
        let mut client = client(&wire, &told);
        drop(wire);
        assert_eq!(answer(&mut client), None);
    }
}
