//! One connection that many callers share: their commands are sent in the order of their coming, several in one write, and
//! the replies handed out in the same order. Whoever gives up waiting disturbs nobody: its reply is read and dropped.

use std::collections::VecDeque;
use std::io::{self, Error, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::{Buf, BytesMut};
use forebay_core::limits::{
    MEMCACHED_QUEUED_BYTES_MAX, MEMCACHED_QUEUED_CALLS_MAX, MEMCACHED_REPLY_LINE_BYTES_MAX,
    MEMCACHED_SENT_CALLS_MAX, MEMCACHED_WRITE_BYTES, VALUE_BYTES_MAX_CEILING,
};
use forebay_core::payload::Payload;
use forebay_wire::memcached::reply::{Answer, Code, Marks, Reply, ReplyLimits, read};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::yield_now;

use crate::commands::{Commands, Dialect};

/// What a server may answer.
pub(crate) const LIMITS: ReplyLimits =
    ReplyLimits { line_bytes_max: MEMCACHED_REPLY_LINE_BYTES_MAX, value_bytes_max: VALUE_BYTES_MAX_CEILING };
/// What is read at once while nothing larger is awaited.
const READ_BYTES: usize = 16 * 1024;
/// A read buffer that a large value made is given back above this size.
const BUFFER_BYTES_KEPT: usize = 256 * 1024;
/// Calls taken from the queue at once.
const TAKEN_AT_ONCE: usize = 64;

/// A reply that is the caller's own.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) code: Code,
    pub(crate) marks: Marks,
    pub(crate) body: Payload,
}

impl From<Reply<'_>> for Received {
    fn from(reply: Reply<'_>) -> Self {
        Self { code: reply.code, marks: reply.marks, body: Payload::from(reply.body) }
    }
}

/// The callers' end of a connection.
pub(crate) struct Link {
    /// Tells this connection from all others there ever were.
    pub(crate) id: u64,
    /// What the server's version numbers are mixed with, so that those of another life of the server fit none of this one.
    pub(crate) mask: u64,
    /// What the server understands.
    pub(crate) dialect: Dialect,
    calls: mpsc::Sender<Call>,
    bytes: Arc<Semaphore>,
    ended: Arc<AtomicBool>,
}

/// The connection's end of it.
pub(crate) struct Calls {
    calls: mpsc::Receiver<Call>,
    ended: Ended,
}

/// Says that the connection has ended, however it does.
struct Ended(Arc<AtomicBool>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

struct Call {
    commands: Commands,
    answer: oneshot::Sender<Vec<Received>>,
    _room: OwnedSemaphorePermit,
}

/// A call whose answer is awaited.
struct Sent {
    first: u64,
    count: u64,
    quiet: bool,
    seen: u64,
    replies: Vec<Received>,
    answer: oneshot::Sender<Vec<Received>>,
}

impl Link {
    pub(crate) fn new(id: u64, mask: u64, dialect: Dialect) -> (Self, Calls) {
        let (send, receive) = mpsc::channel(MEMCACHED_QUEUED_CALLS_MAX);
        let ended = Arc::new(AtomicBool::new(false));
        let bytes = Arc::new(Semaphore::new(MEMCACHED_QUEUED_BYTES_MAX));
        let link = Self { id, mask, dialect, calls: send, bytes, ended: ended.clone() };
        (link, Calls { calls: receive, ended: Ended(ended) })
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    /// Queues the commands; their replies come later. `None` where the connection has ended.
    pub(crate) async fn send(&self, commands: Commands) -> Option<oneshot::Receiver<Vec<Received>>> {
        let size = commands.bytes.len().min(MEMCACHED_QUEUED_BYTES_MAX);
        let room = self.bytes.clone().acquire_many_owned(u32::try_from(size).ok()?).await.ok()?;
        let (answer, answered) = oneshot::channel();
        self.calls.send(Call { commands, answer, _room: room }).await.ok()?;
        Some(answered)
    }

    /// Sends the commands and waits for all their replies. `None` where the connection ended before.
    pub(crate) async fn call(&self, commands: Commands) -> Option<Vec<Received>> {
        self.send(commands).await?.await.ok()
    }
}

/// Carries calls and replies until either side ends, and says why it ended.
pub(crate) async fn carry(stream: impl AsyncRead + AsyncWrite, mut calls: Calls) -> io::Error {
    let (mut input, mut output) = tokio::io::split(stream);
    let sent = Mutex::new(VecDeque::new());
    let room = Semaphore::new(MEMCACHED_SENT_CALLS_MAX);
    let end = tokio::select! {
        end = write(&mut output, &mut calls.calls, &sent, &room) => end,
        end = receive(&mut input, &sent, &room) => end,
    };
    drop(calls.ended);
    end.err().unwrap_or_else(|| Error::new(ErrorKind::ConnectionAborted, "the store was closed"))
}

async fn write(
    output: &mut (impl AsyncWrite + Unpin),
    calls: &mut mpsc::Receiver<Call>,
    sent: &Mutex<VecDeque<Sent>>,
    room: &Semaphore,
) -> io::Result<()> {
    let mut taken = Vec::with_capacity(TAKEN_AT_ONCE);
    let mut buffer = Vec::new();
    while calls.recv_many(&mut taken, TAKEN_AT_ONCE).await > 0 {
        // Whoever is about to ask as well has its turn first: then it goes into the same write.
        yield_now().await;
        while taken.len() < TAKEN_AT_ONCE
            && let Ok(call) = calls.try_recv()
        {
            taken.push(call);
        }
        for Call { commands, answer, _room } in taken.drain(..) {
            // Who has given up before it was sent need not have it sent.
            if answer.is_closed() {
                continue;
            }
            if buffer.len() + commands.bytes.len() > MEMCACHED_WRITE_BYTES {
                flush(output, &mut buffer).await?;
            }
            if room.available_permits() == 0 {
                // What is awaited must have been sent.
                flush(output, &mut buffer).await?;
            }
            room.acquire().await.map_err(Error::other)?.forget();
            let Commands { bytes, first, count, quiet, .. } = commands;
            sent.lock().push_back(Sent { first, count, quiet, seen: 0, replies: Vec::new(), answer });
            if bytes.len() > MEMCACHED_WRITE_BYTES {
                output.write_all(&bytes).await?;
            } else {
                buffer.extend_from_slice(&bytes);
            }
        }
        flush(output, &mut buffer).await?;
    }
    Ok(())
}

async fn flush(output: &mut (impl AsyncWrite + Unpin), buffer: &mut Vec<u8>) -> io::Result<()> {
    output.write_all(buffer).await?;
    buffer.clear();
    Ok(())
}

async fn receive(
    input: &mut (impl AsyncRead + Unpin),
    sent: &Mutex<VecDeque<Sent>>,
    room: &Semaphore,
) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    let mut needed = 1;
    loop {
        while buffer.len() < needed {
            if buffer.is_empty() && buffer.capacity() > BUFFER_BYTES_KEPT {
                buffer = BytesMut::new();
            }
            buffer.reserve((needed - buffer.len()).max(READ_BYTES));
            if input.read_buf(&mut buffer).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        let consumed = match read(&buffer, &LIMITS) {
            Answer::Complete { reply, consumed } => {
                take(reply, sent, room)?;
                consumed
            }
            Answer::Incomplete { needed: more } => {
                needed = more;
                continue;
            }
            Answer::Broken => return Err(Error::new(ErrorKind::InvalidData, "no reply of memcached's")),
        };
        buffer.advance(consumed);
        needed = 1;
    }
}

/// Gives a reply to the call that is its turn.
fn take(reply: Reply<'_>, sent: &Mutex<VecDeque<Sent>>, room: &Semaphore) -> io::Result<()> {
    let mut waiting = sent.lock();
    let Some(call) = waiting.front_mut() else {
        return Err(Error::new(ErrorKind::InvalidData, "a reply that nobody waits for"));
    };
    let last = if call.quiet { reply.code == Code::Noop } else { call.seen + 1 >= call.count };
    if !call.expects(&reply) {
        return Err(Error::new(ErrorKind::InvalidData, "a reply to another command"));
    }
    call.seen += 1;
    if !(call.answer.is_closed() || call.quiet && last) {
        call.replies.push(reply.into());
    }
    if last && let Some(call) = waiting.pop_front() {
        room.add_permits(1);
        // Whoever does not wait any more does not get it.
        let _ = call.answer.send(call.replies);
    }
    Ok(())
}

impl Sent {
    /// Whether it can be a reply to this call: not more of them than commands, each with its command's number if any.
    fn expects(&self, reply: &Reply<'_>) -> bool {
        let number = reply.marks.opaque.map(|opaque| opaque.wrapping_sub(self.first));
        match (self.quiet, number) {
            (true, Some(number)) => number < self.count && self.seen < self.count,
            (false, Some(number)) => number == self.seen,
            (true, None) => self.seen < self.count || reply.code == Code::Noop,
            (false, None) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};
    use tokio::task::JoinHandle;

    use super::*;

    const META: Dialect = Dialect::Meta { numbers_ours: false };

    fn linked() -> (Arc<Link>, DuplexStream, JoinHandle<io::Error>) {
        let (ours, theirs) = duplex(1 << 20);
        let (link, calls) = Link::new(1, 0, META);
        (Arc::new(link), theirs, tokio::spawn(carry(ours, calls)))
    }

    fn looks(first: u64, count: u64) -> Commands {
        let mut commands = Commands::new(first, META);
        (0..count).for_each(|_| commands.look(b"k"));
        commands
    }

    async fn expect(server: &mut DuplexStream, text: &[u8]) {
        let mut read = vec![0; text.len()];
        server.read_exact(&mut read).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&read), String::from_utf8_lossy(text));
    }

    #[tokio::test]
    async fn replies_go_to_their_callers_in_order() {
        let (link, mut server, _task) = linked();
        let one = link.send(looks(10, 1)).await.unwrap();
        let two = link.send(looks(20, 2)).await.unwrap();
        expect(&mut server, b"mg k f c O10\r\nmg k f c O20\r\nmg k f c O21\r\n").await;
        server.write_all(b"EN O10\r\nVA 1 O20\r\na\r\nEN O21\r\n").await.unwrap();
        assert_eq!(one.await.unwrap()[0].code, Code::Miss);
        let two = two.await.unwrap();
        assert_eq!((&*two[0].body, two[1].code), (&b"a"[..], Code::Miss));
    }

    #[tokio::test]
    async fn who_gives_up_disturbs_nobody() {
        let (link, mut server, _task) = linked();
        let gone = link.send(looks(1, 1)).await.unwrap();
        expect(&mut server, b"mg k f c O1\r\n").await;
        drop(gone);
        let stays = link.send(looks(2, 1)).await.unwrap();
        expect(&mut server, b"mg k f c O2\r\n").await;
        server.write_all(b"VA 5 O1\r\nother\r\nVA 3 O2\r\nown\r\n").await.unwrap();
        assert_eq!(&*stays.await.unwrap()[0].body, b"own");
    }

    #[tokio::test]
    async fn a_quiet_call_ends_with_its_noop_and_has_only_its_hits() {
        let (link, mut server, _task) = linked();
        let mut commands = Commands::new(5, META);
        commands.get([&b"k"[..]; 3].into_iter());
        let quiet = link.send(commands).await.unwrap();
        expect(&mut server, b"mg k v f c q O5\r\nmg k v f c q O6\r\nmg k v f c q O7\r\nmn\r\n").await;
        server.write_all(b"VA 1 O6\r\nx\r\nMN\r\n").await.unwrap();
        let replies = quiet.await.unwrap();
        assert_eq!(replies.iter().map(|reply| reply.marks.opaque).collect::<Vec<_>>(), [Some(6)]);
    }

    async fn ends_at(replies: &[u8]) {
        let (link, mut server, task) = linked();
        let call = link.send(looks(3, 1)).await.unwrap();
        expect(&mut server, b"mg k f c O3\r\n").await;
        server.write_all(replies).await.unwrap();
        let _ = call.await;
        assert_eq!(task.await.unwrap().kind(), ErrorKind::InvalidData);
        assert!(link.has_ended());
        assert!(link.call(looks(9, 1)).await.is_none());
    }

    #[tokio::test]
    async fn a_reply_to_another_command_ends_the_connection() {
        ends_at(b"EN O4\r\n").await;
        ends_at(b"EN O3\r\nEN O3\r\n").await;
        ends_at(b"what\r\n").await;
    }

    #[tokio::test]
    async fn more_replies_than_were_asked_for_end_the_connection() {
        let (link, mut server, task) = linked();
        let mut commands = Commands::new(5, META);
        commands.get([&b"k"[..]; 2].into_iter());
        let call = link.send(commands).await.unwrap();
        server.write_all(b"VA 1 O5\r\nx\r\nVA 1 O6\r\nx\r\nVA 1 O6\r\nx\r\nMN\r\n").await.unwrap();
        assert!(call.await.is_err());
        assert_eq!(task.await.unwrap().kind(), ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn the_end_of_the_connection_ends_every_call() {
        let (link, mut server, task) = linked();
        let call = link.send(looks(3, 1)).await.unwrap();
        expect(&mut server, b"mg k f c O3\r\n").await;
        drop(server);
        assert!(call.await.is_err());
        task.await.unwrap();
        assert!(link.has_ended());
    }

    #[tokio::test]
    async fn no_more_is_sent_than_may_be_unanswered_and_all_goes_on_after_it() {
        let (link, mut server, _task) = linked();
        let total = MEMCACHED_SENT_CALLS_MAX as u64 + 100;
        let all = link.clone();
        let calls = tokio::spawn(async move {
            let mut waiting = Vec::new();
            for number in 0..total {
                waiting.push(all.send(looks(number, 1)).await.unwrap());
            }
            for call in waiting {
                call.await.unwrap();
            }
        });
        for number in 0..total {
            expect(&mut server, format!("mg k f c O{number}\r\n").as_bytes()).await;
            if number + 1 >= MEMCACHED_SENT_CALLS_MAX as u64 {
                let answered = number + 1 - MEMCACHED_SENT_CALLS_MAX as u64;
                server.write_all(format!("EN O{answered}\r\n").as_bytes()).await.unwrap();
            }
        }
        for number in 101..MEMCACHED_SENT_CALLS_MAX as u64 + 100 {
            server.write_all(format!("EN O{number}\r\n").as_bytes()).await.unwrap();
        }
        calls.await.unwrap();
    }

    #[tokio::test]
    async fn a_value_larger_than_any_buffer_comes_whole() {
        let (link, mut server, _task) = linked();
        let call = link.send(looks(1, 1)).await.unwrap();
        let value = vec![b'v'; 3_000_000];
        let send = value.clone();
        tokio::spawn(async move {
            server.write_all(b"VA 3000000 O1\r\n").await.unwrap();
            server.write_all(&send).await.unwrap();
            server.write_all(b"\r\n").await.unwrap();
        });
        assert!(*call.await.unwrap()[0].body == value[..]);
    }
}
