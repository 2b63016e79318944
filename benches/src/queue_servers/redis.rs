//! Redis Streams, every write synced before it is answered: one stream with one group of consumers.

use std::collections::VecDeque;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::peer::{self, BODY, Fallible, Input, PATIENCE, PUBLISH_MAX, Pace, Peer, Published, Publisher};
use crate::server::{Address, Server};

const PROGRAM: &str = "redis-server";
const STREAM: &str = "measured";
const GROUP: &str = "group";
/// How long a read waits at the server. The last one of a consumer finds nothing, and what is settled then waits behind it.
const WAIT_MS: &str = "2";

/// A Redis of its own.
pub struct Redis {
    server: Server,
    /// What the program says of its version.
    pub version: String,
}

impl Redis {
    /// Starts the one on the path, with its files in the folder.
    pub fn start(folder: &Path) -> Fallible<Self> {
        let version = Command::new(PROGRAM).arg("--version").output()?.stdout;
        let address = Address::free();
        let Address::Tcp(tcp) = &address else { unreachable!("it is one of TCP") };
        let mut command = Command::new(PROGRAM);
        command.args(["--bind", "127.0.0.1", "--port", &tcp.port().to_string(), "--dir"]).arg(folder);
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
        let version = String::from_utf8_lossy(&version).trim().to_owned();
        Ok(Self { server: Server::start(&mut command, address), version })
    }
}

impl Peer for Redis {
    fn server(&self) -> &Server {
        &self.server
    }

    fn renew(&self, _consumers: usize) -> Fallible<()> {
        let mut client = Client::connect(self.server.tcp())?;
        client.stream.write_all(&command(&["DEL", STREAM]))?;
        client.answer(|_, _| ())?;
        client.stream.write_all(&command(&["XGROUP", "CREATE", STREAM, GROUP, "0", "MKSTREAM"]))?;
        client.answer(|_, _| ())
    }

    fn publish(&self, pace: Pace) -> Fallible<Published> {
        let client = Client::connect(self.server.tcp())?;
        let body = std::str::from_utf8(&BODY)?;
        let one = command(&["XADD", STREAM, "*", "b", body]);
        let many = one.repeat(PUBLISH_MAX as usize);
        peer::publish(&mut Adding { client, one: one.len(), many, added: 0 }, pace)
    }

    fn consume(&self, window: u64, wanted: &mut dyn FnMut(u64) -> bool) -> Fallible<u64> {
        Client::connect(self.server.tcp())?.consume(window, wanted)
    }
}

/// A connection, and the messages that are added on it.
struct Adding {
    client: Client,
    one: usize,
    many: Vec<u8>,
    added: u64,
}

impl Publisher for Adding {
    fn send(&mut self, count: u64) -> Fallible<()> {
        Ok(self.client.stream.write_all(&self.many[..self.one * count as usize])?)
    }

    fn confirmed(&mut self) -> Fallible<u64> {
        let Client { stream, input } = &mut self.client;
        input.fill(stream)?;
        let mut shown = 0;
        while let Some(length) = walk(&input.octets()[shown..], |_, _| ())? {
            shown += length;
            self.added += 1;
        }
        input.consume(shown);
        Ok(self.added)
    }

    fn stream(&self) -> &TcpStream {
        &self.client.stream
    }
}

struct Client {
    stream: TcpStream,
    input: Input,
}

impl Client {
    fn connect(address: SocketAddr) -> Fallible<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, input: Input::default() })
    }

    /// Two reads are on their way at a time, each of half the window; what settles one goes out together with the next.
    fn consume(&mut self, window: u64, wanted: &mut dyn FnMut(u64) -> bool) -> Fallible<u64> {
        let port = self.stream.local_addr()?.port().to_string();
        let count = (window / 2).max(1).to_string();
        let mut read = vec!["XREADGROUP", "GROUP", GROUP, &port, "COUNT", &count];
        read.extend(["BLOCK", WAIT_MS, "STREAMS", STREAM, ">"]);
        let read = command(&read);
        self.stream.write_all(&read.repeat(2))?;
        let (mut taken, mut last, mut goes_on) = (0, Instant::now(), true);
        // What the answers that are still to come are answers to, the next one first.
        let mut due = VecDeque::from([Asked::Read, Asked::Read]);
        while let Some(asked) = due.pop_front() {
            let mut ids: Vec<Vec<u8>> = Vec::new();
            self.answer(|place, text| {
                // The stream's name, then for each message its ID, the field's name and the body.
                if matches!(asked, Asked::Read) && place % 3 == 1 {
                    ids.push(text.to_vec());
                }
            })?;
            if matches!(asked, Asked::Settle) {
                continue;
            }
            taken += ids.len() as u64;
            if !ids.is_empty() {
                last = Instant::now();
            } else if last.elapsed() > PATIENCE {
                return Err(format!("no message comes any more behind {taken}").into());
            }
            goes_on &= wanted(ids.len() as u64);
            let mut out = Vec::new();
            if !ids.is_empty() {
                let ids: Vec<_> = ids.iter().map(|id| std::str::from_utf8(id)).collect::<Result<_, _>>()?;
                out.extend(command(&[&["XACK", STREAM, GROUP], &ids[..]].concat()));
                out.extend(command(&[&["XDEL", STREAM], &ids[..]].concat()));
                due.extend([Asked::Settle, Asked::Settle]);
            }
            if goes_on {
                out.extend(&read);
                due.push_back(Asked::Read);
            }
            self.stream.write_all(&out)?;
        }
        Ok(taken)
    }

    /// Waits for one answer, and shows its texts with their places among its texts.
    fn answer(&mut self, mut show: impl FnMut(usize, &[u8])) -> Fallible<()> {
        while !self.shown(&mut show)? {
            self.input.fill(&self.stream)?;
        }
        Ok(())
    }

    /// Shows the texts of the first answer, if all of it is there.
    fn shown(&mut self, mut show: impl FnMut(usize, &[u8])) -> Fallible<bool> {
        let octets = self.input.octets();
        let Some(length) = walk(octets, |_, _| ())? else { return Ok(false) };
        walk(octets, &mut show)?;
        self.input.consume(length);
        Ok(true)
    }
}

/// What an answer belongs to.
enum Asked {
    Read,
    Settle,
}

fn command(words: &[&str]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes());
    }
    out
}

/// Shows every text of an answer with its place; the length of the answer, if all of it is there.
fn walk(octets: &[u8], mut show: impl FnMut(usize, &[u8])) -> Fallible<Option<usize>> {
    let (mut at, mut left, mut place) = (0, 1_usize, 0);
    while left > 0 {
        let rest = &octets[at..];
        let Some(end) = rest.iter().position(|octet| *octet == b'\n') else { return Ok(None) };
        let line = std::str::from_utf8(&rest[..end])?.trim_end();
        at += end + 1;
        left -= 1;
        let (Some(kind), Some(value)) = (line.get(..1), line.get(1..)) else {
            return Err("an empty line in an answer".into());
        };
        match kind {
            "-" => return Err(format!("Redis refuses: {value}").into()),
            // Nothing there has the count -1.
            "*" => left += value.parse::<i64>()?.max(0) as usize,
            "$" => {
                let length = value.parse::<i64>()?;
                let Ok(length) = usize::try_from(length) else { continue };
                let Some(text) = octets.get(at..at + length + 2) else { return Ok(None) };
                show(place, &text[..length]);
                place += 1;
                at += length + 2;
            }
            _ => {}
        }
    }
    Ok(Some(at))
}

#[cfg(test)]
mod tests {
    use super::{command, walk};

    #[test]
    fn texts_of_a_delivery_are_shown_in_their_order_once_it_is_whole() {
        let answer = b"*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nb\r\n$2\r\n\r\n\r\n:1\r\n";
        let mut texts = Vec::new();
        let whole = walk(answer, |place, text| texts.push((place, text.to_vec()))).expect("an answer");
        assert_eq!(whole, Some(answer.len() - 4));
        let expected = [b"s".to_vec(), b"1-0".to_vec(), b"b".to_vec(), b"\r\n".to_vec()];
        assert_eq!(texts, expected.into_iter().enumerate().collect::<Vec<_>>());
        for cut in 0..answer.len() - 4 {
            assert_eq!(walk(&answer[..cut], |_, _| ()).expect("no fault"), None);
        }
    }

    #[test]
    fn nothing_there_is_an_answer_and_a_refusal_an_error() {
        assert_eq!(walk(b"*-1\r\n", |_, _| ()).expect("an answer"), Some(5));
        assert!(walk(b"-ERR no\r\n", |_, _| ()).is_err());
    }

    #[test]
    fn a_command_is_an_array_of_texts() {
        assert_eq!(command(&["DEL", "s"]), b"*2\r\n$3\r\nDEL\r\n$1\r\ns\r\n");
    }
}
