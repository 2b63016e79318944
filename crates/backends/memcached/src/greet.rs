//! A new connection: made, and asked what the server can do and who it is.

use std::io::{self, Error, ErrorKind};
use std::pin::Pin;

use bytes::{Buf, BytesMut};
use forebay_core::limits::{MEMCACHED_GREETING_LINES_MAX, MEMCACHED_SILENCE_MAX};
use forebay_wire::memcached::reply::{Answer, Code, Reply, number, read};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::commands::Dialect;
use crate::link::input::LIMITS;
use crate::settings::NodeSettings;

/// The oldest whose meta commands are today's. With older ones the classic words are spoken.
const VERSION_MIN: [u64; 3] = [1, 6, 13];
/// The first words. A key that nobody has is read with a flag that only newer servers know.
const GREETING: &[u8] = b"version\r\nmn\r\nmg forebay:greeting c E1\r\nstats\r\nstats settings\r\n";
/// Some bits stay free in a number that clients may take for a signed one.
const NUMBER_BITS: u64 = u64::MAX >> 2;

/// A connection of either kind.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

/// A connection whose server has said what it can.
pub(crate) struct Greeted {
    pub(crate) stream: Pin<Box<dyn Stream>>,
    /// What it understands.
    pub(crate) dialect: Dialect,
    pub(crate) life: Life,
    /// `flush_all` leaves the keys that it has pinned: so does an embedded Forebay.
    pub(crate) leaves_pinned: bool,
}

/// A server's life between two starts, as far as its own word goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Life {
    process: u64,
    /// The second of its start.
    started: u64,
}

impl Life {
    /// Whether it is the same life. Who rounds its time and its age by themselves may seem to have begun a second apart.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.process == other.process && self.started.abs_diff(other.started) <= 1
    }

    /// A number that tells it from others, well mixed.
    pub(crate) fn mask(&self) -> u64 {
        let mut mixed = self.started.rotate_left(32) ^ self.process;
        for _ in 0..3 {
            mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        (mixed ^ (mixed >> 29)) & NUMBER_BITS
    }
}

/// Connects to a node and greets it.
pub(crate) async fn connect(node: &NodeSettings) -> io::Result<Greeted> {
    let stream: Pin<Box<dyn Stream>> = match node.port {
        0 => Box::pin(UnixStream::connect(&node.host).await?),
        port => {
            let stream = TcpStream::connect((node.host.as_str(), port)).await?;
            stream.set_nodelay(true)?;
            // A host that is gone is told from a server that stands still: its own system answers for that one, and what
            // it was sent will still happen.
            #[cfg(target_os = "linux")]
            SockRef::from(&stream).set_tcp_user_timeout(Some(MEMCACHED_SILENCE_MAX))?;
            SockRef::from(&stream).set_keepalive(true)?;
            Box::pin(stream)
        }
    };
    greet(stream).await
}

async fn greet(mut stream: Pin<Box<dyn Stream>>) -> io::Result<Greeted> {
    stream.write_all(GREETING).await?;
    let mut heard = Heard::default();
    let mut buffer = BytesMut::new();
    for _ in 0..MEMCACHED_GREETING_LINES_MAX {
        let consumed = loop {
            match read(&buffer, &LIMITS) {
                Answer::Complete { reply, consumed } => {
                    heard.hear(&reply)?;
                    break consumed;
                }
                Answer::Incomplete { .. } => {
                    if stream.read_buf(&mut buffer).await? == 0 {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                }
                Answer::Broken => {
                    return Err(Error::new(ErrorKind::InvalidData, "it does not speak memcached's protocol"));
                }
            }
        };
        buffer.advance(consumed);
        if heard.has_ended() {
            let (life, leaves_pinned) = (heard.life(), heard.leaves_pinned);
            return Ok(Greeted { stream, dialect: heard.dialect, life, leaves_pinned });
        }
    }
    Err(Error::new(ErrorKind::InvalidData, "it does not come to the end of its greeting"))
}

/// What was heard so far.
struct Heard {
    /// Replies to the first three questions.
    replies: usize,
    /// Lists of statistics that have come to their end.
    lists: usize,
    dialect: Dialect,
    process: u64,
    time: u64,
    uptime: u64,
    leaves_pinned: bool,
}

impl Default for Heard {
    fn default() -> Self {
        let dialect = Dialect::Meta { numbers_ours: false };
        Self { replies: 0, lists: 0, dialect, process: 0, time: 0, uptime: 0, leaves_pinned: false }
    }
}

impl Heard {
    fn hear(&mut self, reply: &Reply<'_>) -> io::Result<()> {
        let is_classic = self.dialect == Dialect::Classic;
        match (self.replies, reply.code) {
            (0, Code::Version) if is_older(reply.body) => self.dialect = Dialect::Classic,
            (0, Code::Version) | (1, Code::Noop) => {}
            // It does not take versions of ours; a near cache says so as an error of its own.
            (2, Code::ClientError | Code::ServerError) => {}
            (1, Code::Unknown) => self.dialect = Dialect::Classic,
            // What meta commands were before says nothing.
            (1 | 2, _) if is_classic => {}
            (2, Code::Miss | Code::Hit) => self.dialect = Dialect::Meta { numbers_ours: true },
            (3.., Code::Stat) => return self.stat(reply.body),
            // Not every server tells its settings.
            (3.., Code::End) | (4.., Code::Unknown | Code::ClientError) => self.lists += 1,
            _ => return Err(Error::new(ErrorKind::InvalidData, "it does not greet as memcached does")),
        }
        self.replies += 1;
        Ok(())
    }

    fn has_ended(&self) -> bool {
        self.lists == 2
    }

    fn stat(&mut self, stat: &[u8]) -> io::Result<()> {
        let mut words = stat.split(|byte| *byte == b' ');
        let (name, value) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match (name, number(value)) {
            (b"pid", Some(process)) => self.process = process,
            (b"time", Some(time)) => self.time = time,
            (b"uptime", Some(uptime)) => self.uptime = uptime,
            (b"flush_leaves_pinned", _) => self.leaves_pinned = value == b"yes",
            // Nothing could be fenced.
            (b"cas_enabled", _) if value == b"no" => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "it numbers no versions: it was started with -C",
                ));
            }
            // After a long outage it could never be emptied of what it must not serve. A near cache says so, too.
            (b"flush_enabled", _) if value == b"no" => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "it cannot be emptied: it was started with -F, or is a near cache",
                ));
            }
            _ => {}
        }
        Ok(())
    }

    fn life(&self) -> Life {
        Life { process: self.process, started: self.time.wrapping_sub(self.uptime) }
    }
}

/// Whether it is known to be too old. What is not a version of memcached's may be a proxy, and is not judged by it.
fn is_older(version: &[u8]) -> bool {
    let text = version.split(|byte| !(byte.is_ascii_digit() || *byte == b'.')).next().unwrap_or_default();
    let numbers: Vec<u64> = text.split(|byte| *byte == b'.').map_while(number).collect();
    matches!(<[u64; 3]>::try_from(numbers), Ok(numbers) if numbers < VERSION_MIN)
}

/// A random version number or lease.
pub(crate) fn number_of(random: u64) -> u64 {
    (random & NUMBER_BITS).max(1)
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    async fn greeted(replies: &str) -> io::Result<Greeted> {
        let (ours, mut theirs) = duplex(64 * 1024);
        theirs.write_all(replies.as_bytes()).await.unwrap();
        theirs.shutdown().await.unwrap();
        let greeted = greet(Box::pin(ours)).await;
        drop(theirs);
        greeted
    }

    const STATS: &str = "STAT pid 7\r\nSTAT uptime 5\r\nSTAT time 1795303570\r\nEND\r\n";
    const SETTINGS: &str = "STAT maxbytes 67108864\r\nSTAT cas_enabled yes\r\nEND\r\n";

    #[tokio::test]
    async fn what_the_server_can_is_heard_from_its_answers() {
        for (words, dialect) in [
            ("VERSION 1.6.39\r\nMN\r\nEN\r\n", Dialect::Meta { numbers_ours: true }),
            ("VERSION 1.6.18\r\nMN\r\nCLIENT_ERROR invalid flag\r\n", Dialect::Meta { numbers_ours: false }),
            (
                "VERSION 1.6.39\r\nMN\r\nSERVER_ERROR a near cache does not choose versions, leave out E\r\n",
                Dialect::Meta { numbers_ours: false },
            ),
            ("VERSION 1.6.9\r\nMN\r\nEN\r\n", Dialect::Classic),
            ("VERSION 1.5.22\r\nERROR\r\nERROR\r\n", Dialect::Classic),
            ("VERSION 2.0\r\nERROR\r\nERROR\r\n", Dialect::Classic),
        ] {
            for settings in [SETTINGS, "ERROR\r\n", "END\r\n"] {
                let greeted = greeted(&format!("{words}{STATS}{settings}")).await.unwrap();
                assert_eq!(greeted.dialect, dialect, "{words}");
            }
        }
    }

    #[tokio::test]
    async fn lives_of_a_server_are_told_apart() {
        let greet = async |stats: &str| {
            let text = format!("VERSION 1.6.18\r\nMN\r\nCLIENT_ERROR invalid flag\r\n{stats}{SETTINGS}");
            greeted(&text).await.unwrap().life
        };
        let life = greet(STATS).await;
        assert_eq!(life, greet(STATS).await, "the same process");
        for (stats, is_it) in [
            (STATS.replace("uptime 5", "uptime 2"), false),
            (STATS.replace("pid 7", "pid 8"), false),
            (STATS.replace("uptime 5", "uptime 4"), true),
        ] {
            let other = greet(&stats).await;
            assert!(life.is(&other) == is_it && life.mask() != other.mask(), "{stats}");
        }
    }

    #[tokio::test]
    async fn a_server_without_version_numbers_or_that_cannot_be_emptied_is_refused_by_name() {
        for (lacks, flag) in [("STAT cas_enabled no", "-C"), ("STAT flush_enabled no", "-F")] {
            let replies = format!("VERSION 1.6.18\r\nMN\r\nEN\r\n{STATS}{lacks}\r\nEND\r\n");
            let error = greeted(&replies).await.err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains(flag), "{error}");
        }
    }

    #[tokio::test]
    async fn that_a_flush_leaves_pinned_keys_is_heard() {
        for (told, leaves) in [("", false), ("STAT flush_leaves_pinned yes\r\n", true)] {
            let replies = format!("VERSION 1.6.39\r\nMN\r\nEN\r\n{STATS}{told}{SETTINGS}");
            assert_eq!(greeted(&replies).await.unwrap().leaves_pinned, leaves, "{told}");
        }
    }

    #[tokio::test]
    async fn what_is_no_memcached_is_refused() {
        for replies in ["HTTP/1.1 400 Bad Request\r\n", "-ERR unknown command\r\n", "OK\r\n", ""] {
            let Err(error) = greeted(replies).await else { panic!("{replies} is no memcached") };
            assert!(matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof), "{replies}");
        }
        let endless =
            "VERSION 1\r\nMN\r\nEN\r\n".to_owned() + &"STAT a 1\r\n".repeat(MEMCACHED_GREETING_LINES_MAX);
        assert!(greeted(&endless).await.is_err());
    }
}
