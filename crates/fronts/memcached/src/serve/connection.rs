//! One connection: read what is there, answer what is complete, send, again.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use forebay_core::limits::memcached::{INPUT_BYTES, TAKES_NOTHING_MAX};
use forebay_core::limits::near::MEMCACHED_NEAR_ROOM_WAIT;
use forebay_core::ports::pledges::Pledge;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::watch;

use super::budget::Held;
use super::peers::Seat;
use super::scratch::{self, Answers, Scratch};
use super::stop::stopped;
use crate::backing::Backing;
use crate::execute::turn::Turn;
use crate::session::{Next, Progress, Session};
use crate::shared::Shared;
use crate::stats::counters::{Count, Tally};
use crate::told::Told;
use crate::watch::events::{self, Events};
use crate::watch::follow::follow;

/// Room made at least for what follows the beginning of a command.
const PARTIAL_BYTES_MIN: usize = 4096;

/// A connection. Its own buffers are empty, and take no memory, unless a command is half-read or an answer half-sent.
pub(crate) struct Connection<S, IO> {
    io: IO,
    shared: Arc<Shared<S>>,
    seat: Seat,
    session: Session,
    /// What was read and is not done with: the beginning of a command, or more commands than the output has room for.
    partial: Vec<u8>,
    /// Nothing can be done before there are so many bytes.
    needed: usize,
    /// Answers that the socket had no room for, or that must not be told yet.
    unsent: Vec<u8>,
    /// What must be durable before they are sent.
    pledge: Option<Pledge>,
    partial_held: Held,
    unsent_held: Held,
    /// Why it ends, in memcached's words.
    reason: &'static str,
}

/// What a turn came to.
enum After {
    /// More is read when it comes.
    Read,
    /// More has come already than one turn takes; others have theirs first.
    Yield,
    /// There is more to answer in what was read.
    Answer,
    /// The first of it needs others to be asked.
    Ask,
    /// The client is told of what happens.
    Watch,
    /// The connection ends.
    End,
}

impl<S: Backing, IO: AsyncRead + AsyncWrite + Unpin> Connection<S, IO> {
    pub(crate) fn new(io: IO, shared: Arc<Shared<S>>, seat: Seat) -> Self {
        let (session, partial, unsent) =
            (Session::new(shared.options.users.is_none()), Vec::new(), Vec::new());
        let held = || Held::new(Arc::clone(&shared.buffers));
        let (partial_held, unsent_held) = (held(), held());
        Self {
            io,
            shared,
            seat,
            session,
            partial,
            needed: 1,
            unsent,
            pledge: None,
            partial_held,
            unsent_held,
            reason: "normal",
        }
    }

    /// Serves until the client goes, cannot be understood, or the front stops. What was read is answered first.
    pub(crate) async fn serve(mut self, mut stop: watch::Receiver<bool>) {
        // Made once and polled again and again: it costs a look when there is nothing to read.
        let mut stopped = pin!(stopped(&mut stop));
        let mut after = After::Read;
        loop {
            after = match after {
                After::Read => poll_fn(|cx| self.poll_read_and_answer(cx, stopped.as_mut())).await,
                After::Yield => {
                    tokio::task::yield_now().await;
                    After::Read
                }
                After::Answer => {
                    // What one client has sent at once may be worth many turns.
                    tokio::task::yield_now().await;
                    poll_fn(|cx| {
                        let answered =
                            scratch::with(|scratch| self.answer_partial(cx, false, &mut scratch.answers));
                        Poll::Ready(answered)
                    })
                    .await
                }
                After::Ask => self.ask().await,
                After::Watch => {
                    if let Some(watcher) = self.session.take_watcher() {
                        self.seat.watch();
                        follow(&mut self.io, &watcher, stopped.as_mut()).await;
                    }
                    break;
                }
                After::End => break,
            };
            // One wait for all that this turn did; others have the thread meanwhile. What cannot be kept is not told: its
            // client sees the connection end, and knows as much as is known.
            if let Some(pledge) = self.pledge.take()
                && let Err(error) = self.shared.store.kept(pledge).await
            {
                tracing::warn!(%error, "end memcached connection without an answer");
                self.reason = "error";
                break;
            }
            let ends = matches!(after, After::End);
            if !self.unsent.is_empty() && self.send_unsent(ends).await.is_err() {
                self.reason = "error";
                break;
            }
        }
        let (origin, now) = (self.seat.origin(), self.shared.clock.now());
        events::connection(&self.shared.watch_log, origin, self.seat.id(), Some(self.reason), now);
        // The client learns of the end by it, or has gone already.
        let _ = self.io.shutdown().await;
    }

    /// Sends what the socket had no room for. A client may take its time as long as it takes something: others wait for the room
    /// that it holds.
    async fn send_unsent(&mut self, ends: bool) -> io::Result<()> {
        let unsent = std::mem::take(&mut self.unsent);
        let known = self.session.is_admitted() && !ends;
        let patience = if known { self.shared.options.idle } else { Some(TAKES_NOTHING_MAX) };
        let mut rest = unsent.as_slice();
        while !rest.is_empty() {
            let clock = &*self.shared.clock;
            let given_up = async {
                match patience {
                    Some(patience) => clock.sleep_until(clock.now() + patience).await,
                    None => std::future::pending().await,
                }
            };
            let sent = tokio::select! {
                biased;
                sent = self.io.write(rest) => sent?,
                () = given_up => return Err(io::ErrorKind::TimedOut.into()),
            };
            match rest.get(sent..) {
                Some(left) if sent > 0 => rest = left,
                _ => return Err(io::ErrorKind::WriteZero.into()),
            }
        }
        self.unsent_held.shrink(0);
        // Who has taken it was not silent.
        self.seat.active(self.shared.clock.now());
        Ok(())
    }

    /// Asks others for what could not be answered at once, and keeps the answers to be sent.
    async fn ask(&mut self) -> After {
        let (shared, id) = (Arc::clone(&self.shared), self.seat.id());
        let mut partial = std::mem::take(&mut self.partial);
        let mut out = Vec::new();
        let progress =
            S::ask(&shared, &mut self.session, &partial, id, &mut self.unsent_held, &mut out).await;
        if progress.consumed < partial.len() {
            partial.drain(..progress.consumed);
            self.partial = partial;
        }
        self.partial_held.shrink(self.partial.capacity());
        // It may be more than was held for it. Others send theirs meanwhile.
        let clock = &*shared.clock;
        let given_up = async { clock.sleep_until(clock.now() + MEMCACHED_NEAR_ROOM_WAIT).await };
        if !self.unsent_held.grow_before(out.len(), given_up).await {
            return After::End;
        }
        self.unsent_held.shrink(out.len());
        let mut tally = Tally::default();
        tally.add(Count::BytesWritten, out.len() as u64);
        shared.counters.take(&mut tally, id);
        self.unsent = out;
        match progress.next {
            Next::Quit => After::End,
            Next::Close => self.gone(true),
            Next::Ask => After::Ask,
            Next::Watch => After::Watch,
            Next::Read { .. } | Next::Send => After::Answer,
        }
    }

    fn poll_read_and_answer(
        &mut self,
        cx: &mut Context<'_>,
        stopped: Pin<&mut impl Future<Output = ()>>,
    ) -> Poll<After> {
        let turn = scratch::with(|scratch| {
            if self.partial.is_empty() {
                self.poll_fresh(cx, scratch)
            } else {
                self.poll_partial(cx, &mut scratch.answers)
            }
        });
        if turn.is_pending() && stopped.poll(cx).is_ready() {
            return Poll::Ready(After::End);
        }
        if turn.is_pending() && self.is_idle(cx) {
            self.reason = "idle_timeout";
            return Poll::Ready(After::End);
        }
        turn
    }

    /// Whether the client has been silent for too long.
    fn is_idle(&self, cx: &Context<'_>) -> bool {
        let Some(idle) = self.shared.options.idle else { return false };
        let is_idle =
            self.seat.is_called(cx.waker()) && self.seat.silent_since(self.shared.clock.now()) >= idle;
        if is_idle {
            let mut tally = Tally::default();
            tally.one(Count::IdleKicks);
            self.shared.counters.take(&mut tally, self.seat.id());
        }
        is_idle
    }

    /// Reads into the thread's buffer and answers from there. Only what is left over is kept.
    fn poll_fresh(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<After> {
        let Scratch { input, answers } = scratch;
        let mut buffer = ReadBuf::new(input);
        let read = ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer));
        let full = buffer.remaining() == 0;
        let filled = buffer.filled();
        if read.is_err() || filled.is_empty() {
            return Poll::Ready(self.gone(read.is_err()));
        }
        answers.tally.add(Count::BytesRead, filled.len() as u64);
        let progress = self.answer(Session::advance, filled, cx, answers);
        self.partial.extend_from_slice(filled.get(progress.consumed..).unwrap_or_default());
        Poll::Ready(self.after(progress, full, answers))
    }

    /// The client has ended the connection, or it was lost or is of no use.
    fn gone(&mut self, lost: bool) -> After {
        if lost {
            self.reason = "error";
        }
        After::End
    }

    /// Reads behind what is kept. Room grows with what has come, not with what was announced.
    fn poll_partial(&mut self, cx: &mut Context<'_>, answers: &mut Answers) -> Poll<After> {
        if self.partial.len() == self.partial.capacity() {
            let present = self.partial.len();
            // How long a line becomes is not known: it grows by its own length, so that it is not copied too often.
            let missing = if self.needed <= present + 1 { present } else { self.needed - present };
            let room = missing.max(PARTIAL_BYTES_MIN).min(present.max(INPUT_BYTES));
            if !self.partial_held.grow(present + room) {
                return Poll::Ready(self.answer_with(Session::give_up, false, cx, answers));
            }
            self.partial.reserve_exact(room);
        }
        let read = pin!(self.io.read_buf(&mut self.partial)).poll(cx);
        let count = match ready!(read) {
            Ok(count) if count > 0 => count,
            ended => return Poll::Ready(self.gone(ended.is_err())),
        };
        answers.tally.add(Count::BytesRead, count as u64);
        let full = self.partial.len() == self.partial.capacity();
        if self.partial.len() < self.needed {
            if self.shared.options.idle.is_some() {
                self.seat.active(self.shared.clock.now());
            }
            self.settle(answers);
            return Poll::Ready(if full { After::Yield } else { After::Read });
        }
        Poll::Ready(self.answer_partial(cx, full, answers))
    }

    fn answer_partial(&mut self, cx: &mut Context<'_>, full: bool, answers: &mut Answers) -> After {
        self.answer_with(Session::advance, full, cx, answers)
    }

    fn answer_with(
        &mut self,
        act: impl FnOnce(&mut Session, &[u8], &mut Turn<'_, S>) -> Progress,
        full: bool,
        cx: &mut Context<'_>,
        answers: &mut Answers,
    ) -> After {
        let mut partial = std::mem::take(&mut self.partial);
        let progress = self.answer(act, &partial, cx, answers);
        if progress.consumed < partial.len() {
            partial.drain(..progress.consumed);
            self.partial = partial;
        }
        self.partial_held.shrink(self.partial.capacity());
        self.after(progress, full, answers)
    }

    /// Carries out what is complete and sends what the socket takes at once, unless something has to be durable first.
    fn answer(
        &mut self,
        act: impl FnOnce(&mut Session, &[u8], &mut Turn<'_, S>) -> Progress,
        input: &[u8],
        cx: &mut Context<'_>,
        answers: &mut Answers,
    ) -> Progress {
        let now = self.shared.clock.now();
        self.seat.active(now);
        let mut turn = Turn {
            shared: &*self.shared,
            store: Told::new(&*self.shared.store, Events::new(&self.shared.watch_log, self.seat.id())),
            now,
            out: &mut answers.output,
            tally: &mut answers.tally,
            connection: self.seat.id(),
        };
        let mut progress = act(&mut self.session, input, &mut turn);
        self.pledge = turn.store.pledge();
        if self.send(cx, answers).is_err() {
            progress.next = Next::Close;
        }
        progress
    }

    fn send(&mut self, cx: &mut Context<'_>, answers: &mut Answers) -> io::Result<()> {
        if answers.output.is_empty() {
            return Ok(());
        }
        answers.tally.add(Count::BytesWritten, answers.output.len() as u64);
        let sent = match self.pledge {
            Some(_) => 0,
            None => match Pin::new(&mut self.io).poll_write(cx, &answers.output) {
                Poll::Ready(sent) => sent?,
                Poll::Pending => 0,
            },
        };
        if let Some(rest) = answers.output.get(sent..).filter(|rest| !rest.is_empty()) {
            if !self.unsent_held.grow(rest.len()) {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            self.unsent = rest.to_vec();
        }
        Ok(())
    }

    fn after(&mut self, progress: Progress, full: bool, answers: &mut Answers) -> After {
        let after = match progress.next {
            Next::Read { needed } => {
                self.needed = needed;
                self.seat.set_half_read(!self.partial.is_empty());
                if full { After::Yield } else { After::Read }
            }
            Next::Send => After::Answer,
            Next::Ask => After::Ask,
            Next::Watch => After::Watch,
            Next::Quit => After::End,
            Next::Close => self.gone(true),
        };
        if !matches!(after, After::Read | After::Ask | After::Watch | After::End) {
            answers.tally.one(Count::Yields);
        }
        self.settle(answers);
        after
    }

    /// Adds what this turn counted to what all have counted.
    fn settle(&self, answers: &mut Answers) {
        self.shared.counters.take(&mut answers.tally, self.seat.id());
    }
}
