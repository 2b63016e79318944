//! One connection that many callers share: their commands are sent in the order of their coming, several in one write, and
//! the replies handed out in the same order. Whoever gives up waiting disturbs nobody: its reply is read and dropped.
//!
//! Where nothing is on its way the caller writes to the connection itself, and reads its reply itself as long as nobody else
//! waits for one: the connection's task is woken for neither. A command that was given up is in its place before all that comes
//! later, or is never sent: between the look whether it was given up and the write nobody else writes.

pub(crate) mod awaited;
pub(crate) mod input;
mod reader;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::io::{self, Error, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed, Ordering::SeqCst};
use std::task::{Context, Poll, Waker, ready};

use forebay_core::limits::{
    MEMCACHED_QUEUED_BYTES_MAX, MEMCACHED_QUEUED_CALLS_MAX, MEMCACHED_UNWATCHED_MAX, MEMCACHED_WRITE_BYTES,
};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::yield_now;
use tokio::time::sleep;

use self::awaited::{Awaited, Received, Sent};
use self::input::Input;
use self::reader::Turn;
use crate::commands::{Commands, Dialect};

/// Calls taken from the queue at once.
const TAKEN_AT_ONCE: usize = 64;

/// The callers' end of a connection.
pub(crate) struct Link {
    /// Tells this connection from all others there ever were.
    pub(crate) id: u64,
    /// What the server's version numbers are mixed with, so that those of another life of the server fit none of this one.
    pub(crate) mask: u64,
    /// What the server understands.
    pub(crate) dialect: Dialect,
    /// Calls in a row that it has not answered in time.
    unanswered: AtomicU32,
    calls: mpsc::Sender<Call>,
    bytes: Arc<Semaphore>,
    shared: Arc<Shared>,
}

/// The connection's end of it.
pub(crate) struct Calls {
    calls: mpsc::Receiver<Call>,
    ended: Ended,
}

/// What both ends share.
struct Shared {
    output: AsyncMutex<Output>,
    /// Held while somebody reads.
    input: Mutex<Input>,
    awaited: Awaited,
    ended: AtomicBool,
    /// Rung when a caller could not write all.
    rest_left: Notify,
    /// Rung at every turn of a caller that reads alone. While the task watches, that wakes nobody.
    turns_begin: Notify,
}

/// Where commands are written.
struct Output {
    /// While it is carried.
    stream: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// What a caller could not write at once. It goes before all else.
    rest: Vec<u8>,
    /// Several calls came together last. Then one write for all is cheaper than each caller's own.
    is_crowded: bool,
}

/// Says that the connection has ended, however it does.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.ended.store(true, SeqCst);
        // Nobody answers them any more.
        self.0.awaited.calls.lock().clear();
        self.0.input.lock().close();
    }
}

struct Call {
    commands: Commands,
    answer: oneshot::Sender<Vec<Received>>,
    _room: OwnedSemaphorePermit,
}

/// All replies to a call, once they have come; `None` where the connection ended before.
pub(crate) struct Answer {
    answered: oneshot::Receiver<Vec<Received>>,
    shared: Arc<Shared>,
    /// While it is this one's turn to read, as far as is known here.
    turn: Option<Turn>,
}

impl Future for Answer {
    type Output = Option<Vec<Received>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(turn) = self.turn
            && !self.shared.read_alone(turn, context)
        {
            self.turn = None;
        }
        // The task may have become the reader meanwhile: then it is the one who answers.
        Pin::new(&mut self.answered).poll(context).map(Result::ok)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(turn) = self.turn {
            self.shared.awaited.reader.end_turn(turn);
        }
    }
}

impl Link {
    pub(crate) fn new(id: u64, mask: u64, dialect: Dialect) -> (Self, Calls) {
        let (send, receive) = mpsc::channel(MEMCACHED_QUEUED_CALLS_MAX);
        let shared = Arc::new(Shared {
            output: AsyncMutex::new(Output { stream: None, rest: Vec::new(), is_crowded: false }),
            input: Mutex::default(),
            awaited: Awaited::default(),
            ended: AtomicBool::new(false),
            rest_left: Notify::new(),
            turns_begin: Notify::new(),
        });
        let bytes = Arc::new(Semaphore::new(MEMCACHED_QUEUED_BYTES_MAX));
        let link = Self {
            id,
            mask,
            dialect,
            unanswered: AtomicU32::new(0),
            calls: send,
            bytes,
            shared: shared.clone(),
        };
        (link, Calls { calls: receive, ended: Ended(shared) })
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.shared.ended.load(SeqCst)
            || self.shared.awaited.reader.is_nobody() && self.shared.ends_unwatched()
    }

    /// Whether nothing is on its way.
    pub(crate) fn is_idle(&self) -> bool {
        self.shared.awaited.is_empty()
    }

    /// It has answered.
    pub(crate) fn answers(&self) {
        self.unanswered.store(0, Relaxed);
    }

    /// It has not answered a call in time. Says how many in a row that are.
    pub(crate) fn leaves_unanswered(&self) -> u32 {
        self.unanswered.fetch_add(1, Relaxed).saturating_add(1)
    }

    /// Sends or queues the commands; their replies come later. `None` where the connection has ended.
    pub(crate) async fn send(&self, commands: Commands) -> Option<Answer> {
        let (answer, answered) = oneshot::channel();
        let shared = self.shared.clone();
        let (commands, answer) = match shared.send_now(commands, answer) {
            Ok(turn) => return Some(Answer { answered, shared, turn: Some(turn) }),
            Err(back) => back,
        };
        let size = commands.bytes.len().min(MEMCACHED_QUEUED_BYTES_MAX);
        let room = self.bytes.clone().acquire_many_owned(u32::try_from(size).ok()?).await.ok()?;
        self.calls.send(Call { commands, answer, _room: room }).await.ok()?;
        Some(Answer { answered, shared, turn: None })
    }

    /// Sends the commands and waits for all their replies. `None` where the connection ended before.
    pub(crate) async fn call(&self, commands: Commands) -> Option<Vec<Received>> {
        self.send(commands).await?.await
    }
}

type Unsent = (Commands, oneshot::Sender<Vec<Received>>);

impl Shared {
    /// Sends the commands if nothing is on its way, or gives them back. Whoever has sent them has the turn to read.
    fn send_now(&self, commands: Commands, answer: oneshot::Sender<Vec<Received>>) -> Result<Turn, Unsent> {
        let Ok(mut output) = self.output.try_lock() else { return Err((commands, answer)) };
        let Output { stream: Some(stream), rest, is_crowded: false } = &mut *output else {
            return Err((commands, answer));
        };
        if !rest.is_empty() || commands.bytes.len() > MEMCACHED_WRITE_BYTES {
            return Err((commands, answer));
        }
        let mut calls = self.awaited.calls.lock();
        if !calls.is_empty() || self.ended.load(SeqCst) {
            return Err((commands, answer));
        }
        // Nothing is sent, so there is room.
        let Ok(room) = self.awaited.room.try_acquire() else { return Err((commands, answer)) };
        room.forget();
        calls.push_back(Sent::new(&commands, answer));
        let turn = self.awaited.reader.begin_turn();
        drop(calls);
        self.turns_begin.notify_one();
        // The connection's task writes what does not go at once, and meets the error if there is one.
        let context = &mut Context::from_waker(Waker::noop());
        let written = match Pin::new(stream).poll_write(context, &commands.bytes) {
            Poll::Ready(Ok(written)) => written,
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        };
        if let Some(left) = commands.bytes.get(written..).filter(|left| !left.is_empty()) {
            rest.extend_from_slice(left);
            self.rest_left.notify_one();
        }
        Ok(turn)
    }

    /// Reads for a caller that is alone. Says whether it has to go on with that.
    fn read_alone(&self, turn: Turn, context: &mut Context<'_>) -> bool {
        let mut input = self.input.lock();
        if !self.awaited.reader.is_turn(turn) {
            return false;
        }
        match input.poll(context, &self.awaited) {
            Poll::Pending => true,
            Poll::Ready(Ok(())) => false,
            Poll::Ready(Err(error)) => {
                input.fail(error);
                drop(input);
                self.awaited.reader.end_turn(turn);
                false
            }
        }
    }

    /// Reads as the connection's task.
    fn read(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Before the look, so that whoever makes the task the reader after it wakes it.
        self.awaited.reader.register_task(context.waker());
        let mut input = self.input.lock();
        if !self.awaited.reader.is_task() {
            return Poll::Pending;
        }
        input.poll(context, &self.awaited)
    }

    /// Looks at a connection that nobody reads, whether it has ended.
    fn ends_unwatched(&self) -> bool {
        // Whoever holds it reads.
        let Some(mut input) = self.input.try_lock() else { return false };
        if !self.awaited.reader.is_nobody() {
            return false;
        }
        let context = &mut Context::from_waker(Waker::noop());
        let Poll::Ready(Err(error)) = input.poll(context, &self.awaited) else { return false };
        input.fail(error);
        drop(input);
        self.ended.store(true, SeqCst);
        self.awaited.reader.give_to_task();
        true
    }
}

/// Carries calls and replies until either side ends, and says why it ended.
pub(crate) async fn carry(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    mut calls: Calls,
) -> io::Error {
    let (input, output) = tokio::io::split(stream);
    let shared = &*calls.ended.0;
    shared.input.lock().open(Box::new(input));
    shared.output.lock().await.stream = Some(Box::new(output));
    let end = tokio::select! {
        end = write(&mut calls.calls, shared) => end,
        end = receive(shared) => end,
        end = watch(shared) => end,
    };
    shared.output.lock().await.stream = None;
    drop(calls.ended);
    end.err().unwrap_or_else(|| Error::new(ErrorKind::ConnectionAborted, "the store was closed"))
}

async fn write(calls: &mut mpsc::Receiver<Call>, shared: &Shared) -> io::Result<()> {
    let mut taken = Vec::with_capacity(TAKEN_AT_ONCE);
    let mut buffer = Vec::new();
    loop {
        tokio::select! {
            biased;
            count = calls.recv_many(&mut taken, TAKEN_AT_ONCE) => if count == 0 { return Ok(()) },
            () = shared.rest_left.notified() => {}
        }
        if !taken.is_empty() {
            // Whoever is about to ask as well has its turn first: then it goes into the same write.
            yield_now().await;
        }
        while taken.len() < TAKEN_AT_ONCE
            && let Ok(call) = calls.try_recv()
        {
            taken.push(call);
        }
        let mut held = shared.output.lock().await;
        let Output { stream: Some(output), rest, is_crowded } = &mut *held else {
            return Err(ErrorKind::NotConnected.into());
        };
        *is_crowded = taken.len() > 1;
        buffer.append(rest);
        for Call { commands, answer, _room } in taken.drain(..) {
            // Who has given up before it was sent need not have it sent.
            if answer.is_closed() {
                continue;
            }
            if buffer.len() + commands.bytes.len() > MEMCACHED_WRITE_BYTES {
                flush(output, &mut buffer).await?;
            }
            if shared.awaited.room.available_permits() == 0 {
                // What is awaited must have been sent.
                flush(output, &mut buffer).await?;
            }
            shared.awaited.room.acquire().await.map_err(Error::other)?.forget();
            shared.awaited.calls.lock().push_back(Sent::new(&commands, answer));
            // A caller that reads alone might not be polled while another one waits for its reply.
            shared.awaited.reader.give_to_task();
            if commands.bytes.len() > MEMCACHED_WRITE_BYTES {
                output.write_all(&commands.bytes).await?;
            } else {
                buffer.extend_from_slice(&commands.bytes);
            }
        }
        flush(output, &mut buffer).await?;
    }
}

async fn flush(output: &mut (impl AsyncWrite + Unpin), buffer: &mut Vec<u8>) -> io::Result<()> {
    output.write_all(buffer).await?;
    buffer.clear();
    Ok(())
}

async fn receive(shared: &Shared) -> io::Result<()> {
    poll_fn(|context| -> Poll<io::Result<()>> {
        loop {
            ready!(shared.read(context))?;
        }
    })
    .await
}

/// Makes the task the reader again after a while in which nobody has begun to read alone: so the end of an idle connection is
/// seen, and a reply comes to whoever was alone and is not polled any more.
async fn watch(shared: &Shared) -> io::Result<()> {
    let reader = &shared.awaited.reader;
    loop {
        shared.turns_begin.notified().await;
        loop {
            let turns = reader.turns();
            sleep(MEMCACHED_UNWATCHED_MAX).await;
            if reader.turns() == turns {
                break;
            }
        }
        // Whoever has begun since has rung again.
        reader.give_to_task();
    }
}
