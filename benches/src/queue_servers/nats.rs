//! NATS JetStream, every write synced before it is acknowledged: one stream on files with one pull consumer.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::peer::{
    self, BODY, Fallible, IDLE, Input, PATIENCE, PUBLISH_MAX, Pace, Peer, Published, Publisher,
};
use crate::server::{Address, Server};

/// Names the program where it is not the one on the path.
const PROGRAM_VARIABLE: &str = "NATS_SERVER";
const PROGRAM: &str = "nats-server";
const STREAM: &str = "measured";
const SUBJECT: &str = "measured.all";
const CONSUMER: &str = "consumer";
const INBOX: &str = "inbox";
/// Beyond what four consumers take at a time.
const UNACKNOWLEDGED_MAX: u32 = 20_000;

/// A NATS server of its own.
pub struct Nats {
    server: Server,
    /// What the program says of its version.
    pub version: String,
    pub settings: &'static str,
}

impl Nats {
    /// Starts one with its files in the folder, or says why there is none to compare with.
    pub fn start(folder: &Path) -> Fallible<Result<Self, String>> {
        let program = std::env::var(PROGRAM_VARIABLE).unwrap_or_else(|_| PROGRAM.into());
        let version = match Command::new(&program).arg("--version").output() {
            Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            Err(error) => return Ok(Err(format!("{program} does not start: {error}"))),
        };
        let address = Address::free();
        let Address::Tcp(tcp) = &address else { unreachable!("it is one of TCP") };
        let settings = "sync_interval: always";
        let store = folder.join("store");
        let file = folder.join("nats.conf");
        let text =
            format!("listen: \"{tcp}\"\njetstream {{ store_dir: \"{}\", {settings} }}\n", store.display());
        fs::write(&file, text)?;
        let tried = Command::new(&program).arg("-t").arg("-c").arg(&file).output()?;
        if !tried.status.success() {
            let said = String::from_utf8_lossy(&tried.stderr).into_owned();
            return Ok(Err(format!(
                "{version} takes no `{settings}`: {}",
                said.lines().last().unwrap_or("")
            )));
        }
        let server = Server::start(Command::new(&program).arg("-c").arg(&file), address);
        Ok(Ok(Self { server, version, settings }))
    }
}

impl Peer for Nats {
    fn server(&self) -> &Server {
        &self.server
    }

    /// One consumer acknowledges all up to a message at once; several must not, since each would settle what the others
    /// have in hand.
    fn renew(&self, consumers: usize) -> Fallible<()> {
        let mut client = Client::connect(self.server.tcp())?;
        // There may be none yet.
        client.ask(&format!("$JS.API.STREAM.DELETE.{STREAM}"), "")?;
        let made = client.ask(
            &format!("$JS.API.STREAM.CREATE.{STREAM}"),
            &format!(
                r#"{{"name":"{STREAM}","subjects":["{SUBJECT}"],"retention":"interest","storage":"file","num_replicas":1}}"#
            ),
        )?;
        refused(&made)?;
        let policy = if consumers == 1 { "all" } else { "explicit" };
        let made = client.ask(
            &format!("$JS.API.CONSUMER.DURABLE.CREATE.{STREAM}.{CONSUMER}"),
            &format!(
                r#"{{"stream_name":"{STREAM}","config":{{"durable_name":"{CONSUMER}","ack_policy":"{policy}","max_ack_pending":{UNACKNOWLEDGED_MAX}}}}}"#
            ),
        )?;
        refused(&made)
    }

    fn publish(&self, pace: Pace) -> Fallible<Published> {
        let client = Client::connect(self.server.tcp())?;
        let mut one = format!("PUB {SUBJECT} {} {}\r\n", client.inbox, BODY.len()).into_bytes();
        one.extend(BODY);
        one.extend(b"\r\n");
        let many = one.repeat(PUBLISH_MAX as usize);
        peer::publish(&mut Storing { client, one: one.len(), many, stored: 0 }, pace)
    }

    fn consume(&self, window: u64, wanted: &mut dyn FnMut(u64) -> bool) -> Fallible<u64> {
        let mut client = Client::connect(self.server.tcp())?;
        let info = client.ask(&format!("$JS.API.CONSUMER.INFO.{STREAM}.{CONSUMER}"), "")?;
        refused(&info)?;
        client.consume(window, info.contains(r#""ack_policy":"explicit""#), wanted)
    }
}

/// A connection, and the messages that are stored by it.
struct Storing {
    client: Client,
    one: usize,
    many: Vec<u8>,
    stored: u64,
}

impl Publisher for Storing {
    fn send(&mut self, count: u64) -> Fallible<()> {
        Ok(self.client.stream.write_all(&self.many[..self.one * count as usize])?)
    }

    fn confirmed(&mut self) -> Fallible<u64> {
        let stored = &mut self.stored;
        self.client.input.fill(&self.client.stream)?;
        self.client.messages(|message| {
            *stored += 1;
            // A refusal begins with its error.
            if message.body.starts_with(br#"{"stream""#) { Ok(()) } else { refusal(message.body) }
        })?;
        Ok(self.stored)
    }

    fn stream(&self) -> &TcpStream {
        &self.client.stream
    }
}

/// What the server sent.
struct Message<'a> {
    /// Where its acknowledgement goes; empty when it asks for none.
    reply: &'a str,
    headers: &'a [u8],
    body: &'a [u8],
}

struct Client {
    stream: TcpStream,
    input: Input,
    /// The subject that answers to this client come to.
    inbox: String,
}

impl Client {
    fn connect(address: SocketAddr) -> Fallible<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let inbox = format!("{INBOX}.{}", stream.local_addr()?.port());
        let mut client = Self { stream, input: Input::default(), inbox };
        let inbox = &client.inbox;
        let hello = r#"{"verbose":false,"pedantic":false,"headers":true,"no_responders":true}"#;
        client.stream.write_all(format!("CONNECT {hello}\r\nSUB {inbox} 1\r\n").as_bytes())?;
        Ok(client)
    }

    /// Publishes to the subject, and waits for the answer.
    fn ask(&mut self, subject: &str, body: &str) -> Fallible<String> {
        let line = format!("PUB {subject} {} {}\r\n{body}\r\n", self.inbox, body.len());
        self.stream.write_all(line.as_bytes())?;
        let mut answer = None;
        while answer.is_none() {
            self.input.fill(&self.stream)?;
            self.messages(|message| {
                if !message.headers.is_empty() {
                    return Err(format!("nobody answers at {subject}").into());
                }
                answer = Some(String::from_utf8_lossy(message.body).into_owned());
                Ok(())
            })?;
        }
        Ok(answer.unwrap_or_default())
    }

    /// Two requests are on their way at a time, each for half of the window.
    fn consume(
        &mut self,
        window: u64,
        is_explicit: bool,
        wanted: &mut dyn FnMut(u64) -> bool,
    ) -> Fallible<u64> {
        let step = (window / 2).max(1);
        let wait_ns = PATIENCE.as_nanos();
        let request = format!(r#"{{"batch":{step},"expires":{wait_ns}}}"#);
        let next = format!("$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{CONSUMER}");
        let request = format!("PUB {next} {} {}\r\n{request}\r\n", self.inbox, request.len()).into_bytes();
        self.stream.write_all(&request.repeat(2))?;
        // Others may take the last ones: then nothing more comes.
        self.stream.set_read_timeout(Some(IDLE))?;
        let (mut taken, mut acked, mut time) = (0_u64, 0_u64, Instant::now());
        // The acknowledgements of those that have none yet, but that of the last one; and where that goes.
        let (mut acks, mut last) = (Vec::new(), String::new());
        loop {
            let before = taken;
            self.input.fill(&self.stream)?;
            self.messages(|message| {
                if !message.headers.is_empty() {
                    let text = String::from_utf8_lossy(message.headers).into_owned();
                    return Err(format!("the request ended: {text}").into());
                }
                taken += 1;
                if is_explicit && !last.is_empty() {
                    acknowledge(&mut acks, &last);
                }
                last.clear();
                last.push_str(message.reply);
                Ok(())
            })?;
            if taken > before {
                time = Instant::now();
            } else if time.elapsed() > PATIENCE {
                return Err(format!("no message comes any more behind {taken}").into());
            }
            if !wanted(taken - before) {
                self.stream.set_read_timeout(Some(PATIENCE))?;
                return self.settle(acks, &last).map(|()| taken);
            }
            if taken - acked >= step {
                acknowledge(&mut acks, &last);
                last.clear();
                for _ in acked / step..taken / step {
                    acks.extend(&request);
                }
                self.stream.write_all(&acks)?;
                acks.clear();
                acked = taken;
            }
        }
    }

    /// Sends the acknowledgements, and waits until the last one has been answered: then all before it has been worked off.
    fn settle(&mut self, mut acks: Vec<u8>, last: &str) -> Fallible<()> {
        if last.is_empty() {
            return Ok(());
        }
        let inbox = format!("{}.settled", self.inbox);
        acks.extend(format!("UNSUB 1\r\nSUB {inbox} 2\r\nPUB {last} {inbox} 4\r\n+ACK\r\n").as_bytes());
        self.stream.write_all(&acks)?;
        let mut is_answered = false;
        while !is_answered {
            self.input.fill(&self.stream)?;
            self.messages(|message| {
                is_answered |= message.reply.is_empty();
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Shows every message that is whole.
    fn messages(&mut self, mut show: impl FnMut(&Message<'_>) -> Fallible<()>) -> Fallible<()> {
        let (mut shown, mut is_asked) = (0, false);
        while let Some((frame, length)) = frame(&self.input.octets()[shown..])? {
            match frame {
                Frame::Message(message) => show(&message)?,
                Frame::Ping => is_asked = true,
                Frame::Other => {}
            }
            shown += length;
        }
        self.input.consume(shown);
        if is_asked {
            self.stream.write_all(b"PONG\r\n")?;
        }
        Ok(())
    }
}

fn acknowledge(out: &mut Vec<u8>, subject: &str) {
    out.extend(b"PUB ");
    out.extend(subject.as_bytes());
    out.extend(b" 4\r\n+ACK\r\n");
}

fn refused(answer: &str) -> Fallible<()> {
    if answer.contains(r#""error""#) { refusal(answer.as_bytes()) } else { Ok(()) }
}

fn refusal(answer: &[u8]) -> Fallible<()> {
    Err(format!("JetStream refuses: {}", String::from_utf8_lossy(answer)).into())
}

enum Frame<'a> {
    Message(Message<'a>),
    Ping,
    Other,
}

/// The first frame and its length, if all of it is there.
fn frame(octets: &[u8]) -> Fallible<Option<(Frame<'_>, usize)>> {
    let Some(end) = octets.iter().position(|octet| *octet == b'\n') else { return Ok(None) };
    let line = std::str::from_utf8(&octets[..end])?.trim_end();
    let begin = end + 1;
    let mut words = line.split(' ');
    let kind = words.next().unwrap_or("");
    let headed = match kind {
        "MSG" => 0,
        "HMSG" => 1,
        "PING" => return Ok(Some((Frame::Ping, begin))),
        "-ERR" => return Err(format!("NATS refuses: {line}").into()),
        _ => return Ok(Some((Frame::Other, begin))),
    };
    // The subject, the subscription, perhaps where to answer, the length of the headers if there are any, and of all.
    let words: Vec<_> = words.collect();
    let reply = if words.len() == 4 + headed { words[2] } else { "" };
    let number = |back: usize| words.iter().rev().nth(back).ok_or("a short line")?.parse().map_err(|_| line);
    let length: usize = number(0)?;
    let headers = if headed == 1 { number(1)? } else { 0 };
    let whole = begin + length + 2;
    let Some(octets) = octets.get(begin..whole) else { return Ok(None) };
    let headers = octets.get(..headers).ok_or("headers longer than their message")?;
    let body = &octets[headers.len()..length];
    Ok(Some((Frame::Message(Message { reply, headers, body }), whole)))
}

#[cfg(test)]
mod tests {
    use super::{Frame, frame};

    #[test]
    fn a_message_is_shown_once_it_is_whole() {
        let octets = b"MSG all 1 $JS.ACK.x 3\r\n\r\nx\r\nPING\r\n";
        let Some((Frame::Message(message), length)) = frame(octets).expect("no fault") else {
            panic!("it is a message")
        };
        assert_eq!((message.reply, message.headers, message.body), ("$JS.ACK.x", &b""[..], &b"\r\nx"[..]));
        assert!(matches!(frame(&octets[length..]), Ok(Some((Frame::Ping, 6)))));
        for cut in 0..length {
            assert!(matches!(frame(&octets[..cut]), Ok(None)));
        }
    }

    #[test]
    fn headers_are_told_from_the_body_and_a_refusal_is_an_error() {
        let octets = b"HMSG inbox 1 8 10\r\nNATS/1.0hi\r\n";
        let Some((Frame::Message(message), _)) = frame(octets).expect("no fault") else {
            panic!("it is a message")
        };
        assert_eq!((message.reply, message.headers, message.body), ("", &b"NATS/1.0"[..], &b"hi"[..]));
        assert!(frame(b"-ERR 'no'\r\n").is_err());
    }
}
