//! Reading, carrying out and writing, until either side ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use forebay_core::limits;
use forebay_core::ports::BoxFuture;
use forebay_core::time::Instant;
use forebay_wire::amqp::frame::{Broken, Decoded, Decoder, Frame, Payload};
use forebay_wire::amqp::greeting::{Greeting, PROTOCOL_HEADER, greet};
use forebay_wire::amqp::methods::{Method, connection};
use forebay_wire::amqp::reply::ReplyCode;
use forebay_wire::amqp::write;
use futures_util::stream::StreamExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

use super::phase::Phase;
use super::session::Session;
use crate::exception::Exception;
use crate::shared::Shared;

/// Serves a client until it goes, cannot be understood, or the front stops. What it leaves behind is put in order.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: SocketAddr,
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
) {
    serve_session(Session::new(shared), stream, peer, stop).await;
}

/// The same from how far the session is.
pub(crate) async fn serve_session<S: AsyncRead + AsyncWrite + Unpin>(
    mut session: Session,
    stream: S,
    peer: SocketAddr,
    stop: watch::Receiver<bool>,
) {
    Line::new(&mut session, peer).carry(stream, stop).await;
    session.finish().await;
}

/// Is ready once the front shall stop; also when whoever could say so is gone.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

/// What has come and is not yet carried out, and when something was last heard and said.
struct Line<'s> {
    session: &'s mut Session,
    peer: SocketAddr,
    input: Vec<u8>,
    /// Fewer bytes than this are no use.
    needed: usize,
    heard_at: Instant,
    said_at: Instant,
    /// When the client last took something, or there was nothing for it.
    taken_at: Instant,
    /// What follows cannot be understood any more.
    is_deaf: bool,
    greeted_by: Instant,
}

impl<'s> Line<'s> {
    fn new(session: &'s mut Session, peer: SocketAddr) -> Self {
        let now = session.now();
        let greeted_by = now + limits::amqp::HANDSHAKE_WAIT_MAX;
        let (input, needed, is_deaf) = (Vec::new(), 1, false);
        Self { session, peer, input, needed, heard_at: now, said_at: now, taken_at: now, is_deaf, greeted_by }
    }

    async fn carry(mut self, stream: impl AsyncRead + AsyncWrite + Unpin, mut stop: watch::Receiver<bool>) {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let (mut alarm, mut armed) = (self.alarm(), self.due());
        loop {
            self.session.settle_commits().await;
            self.take_parked().await;
            self.take_input().await;
            self.session.start_batches();
            self.session.start_receives();
            self.session.tell_blocked();
            if self.session.phase == Phase::Ended {
                return self.farewell(writer).await;
            }
            if armed != self.due() {
                (alarm, armed) = (self.alarm(), self.due());
            }
            let may_read = self.may_read();
            self.make_room();
            let Self { session, input, .. } = &mut self;
            let (is_over, is_behind) = (session.phase.is_over(), session.out.is_over());
            let (mailbox, gate) = (Arc::clone(&session.mailbox), Arc::clone(&session.gate));
            tokio::select! {
                biased;
                written = writer.write(session.out.rest()), if !session.out.is_empty() => match written {
                    Ok(count) if count > 0 => {
                        session.out.advance(count);
                        self.said_at = self.session.now();
                        self.taken_at = self.said_at;
                    }
                    _ => return,
                },
                Some(batch) = session.batches.next() => session.arrived(batch),
                Some(_) = session.settles.next() => {}
                Some(committed) = session.commits.next() => session.committed(committed).await,
                Some(received) = session.receives.next() => session.received(received).await,
                reply = mailbox.next(), if !is_over && !is_behind => session.replied(&reply),
                () = gate.changed() => {}
                read = reader.read_buf(input), if may_read => match read {
                    Ok(count) if count > 0 => self.heard_at = self.session.now(),
                    _ => return,
                },
                () = &mut alarm => {
                    if !self.alarmed() {
                        return;
                    }
                    self.session.close_overdue().await;
                    alarm = self.alarm();
                }
                () = stopped(&mut stop), if !is_over => self.stop().await,
            }
        }
    }

    /// Sends what is left, as far as the client takes it.
    async fn farewell(self, mut writer: impl AsyncWrite + Unpin) {
        let patience = self.session.now() + limits::amqp::CLOSE_WAIT_MAX;
        let patience = self.session.shared.clock.sleep_until(patience);
        let out = &mut self.session.out;
        let say = async {
            while !out.is_empty() {
                match writer.write(out.rest()).await {
                    Ok(count) if count > 0 => out.advance(count),
                    _ => return,
                }
            }
            // The client learns of the end by it, or has gone already.
            drop(writer.shutdown().await);
        };
        tokio::select! {
            () = say => {}
            () = patience => {}
        }
    }

    /// Whether more of what the client says is read: what must wait, waits with the client beyond a bound.
    fn may_read(&self) -> bool {
        self.session.may_take() && self.input.len() < self.needed.max(limits::amqp::INPUT_BYTES)
    }

    /// By what the alarm is set.
    fn due(&self) -> (Phase, u16, Option<Instant>) {
        (self.session.phase, self.session.heartbeat_seconds, self.session.overdue_at)
    }

    /// Room for what is awaited, by and by: it grows with what has come.
    fn make_room(&mut self) {
        let missing = self.needed.saturating_sub(self.input.len());
        self.input.reserve(missing.clamp(1024, limits::amqp::INPUT_BYTES));
    }

    /// Carries out all that is complete, as far as that may be done now.
    async fn take_input(&mut self) {
        let mut input = std::mem::take(&mut self.input);
        let mut consumed = 0;
        while let Some(count) = self.take_one(input.get(consumed..).unwrap_or_default()).await {
            consumed += count;
            tokio::task::coop::consume_budget().await;
        }
        input.drain(..consumed.min(input.len()));
        if input.is_empty() {
            input.shrink_to(limits::amqp::INPUT_BYTES);
        }
        self.input = input;
    }

    /// Carries out the frames that have waited for as long as they had to.
    async fn take_parked(&mut self) {
        for channel in self.session.parked.channels() {
            while self.session.may_take()
                && let Some(octets) = self.session.parked.take(channel)
            {
                let decoded = self.decoder().decode(&octets);
                // It was understood when it came.
                let Ok(Decoded::Complete { frame, .. }) = decoded else { continue };
                if self.session.must_wait(&frame) {
                    self.session.parked.put_back(channel, octets);
                    break;
                }
                self.session.take_frame(&frame, self.peer).await;
                tokio::task::coop::consume_budget().await;
            }
        }
    }

    fn decoder(&self) -> Decoder {
        let mut decoder = Decoder::default();
        decoder.set_frame_max(self.session.frame_bytes_max);
        decoder
    }

    /// Carries out what the input begins with, and says how long it was; `None` where that must wait.
    async fn take_one(&mut self, input: &[u8]) -> Option<usize> {
        if self.is_deaf || self.session.phase == Phase::Ended {
            return if input.is_empty() { None } else { Some(input.len()) };
        }
        if !self.session.may_take() {
            return None;
        }
        if self.session.phase == Phase::Greeting {
            return self.take_greeting(input);
        }
        match self.decoder().decode(input) {
            Ok(Decoded::Incomplete { needed }) => {
                self.needed = needed;
                None
            }
            Ok(Decoded::Complete { frame, consumed }) => {
                self.needed = 1;
                if self.session.parked.has(frame.channel) || self.session.must_wait(&frame) {
                    // Nothing comes after the end of the connection.
                    if frame.channel == 0 || self.session.parked.is_full() {
                        return None;
                    }
                    self.session.parked.push(frame.channel, input.get(..consumed)?);
                    return Some(consumed);
                }
                self.session.take_frame(&frame, self.peer).await;
                Some(consumed)
            }
            Err(Broken { fault, consumed, .. }) => {
                if self.session.phase.is_before_open() {
                    self.session.phase = Phase::Ended;
                } else if !self.session.phase.is_over() {
                    self.session.raise(0, fault.into()).await;
                }
                self.is_deaf = consumed.is_none();
                consumed.or(Some(input.len()))
            }
        }
    }

    fn take_greeting(&mut self, input: &[u8]) -> Option<usize> {
        match greet(input) {
            Greeting::Incomplete => None,
            Greeting::Understood => {
                self.session.greet();
                Some(PROTOCOL_HEADER.len())
            }
            Greeting::Foreign => {
                self.session.out.frames().extend_from_slice(&PROTOCOL_HEADER);
                self.session.phase = Phase::Ended;
                None
            }
        }
    }

    /// How often a sign of life is due, where any is.
    fn beat(&self) -> Option<Duration> {
        let seconds = self.session.heartbeat_seconds;
        (seconds > 0).then(|| Duration::from_secs(seconds.into()) / 2)
    }

    /// Is ready when something is due that comes by time alone.
    fn alarm(&self) -> BoxFuture<'static, ()> {
        let beats = self.beat().map(|beat| self.said_at.max(self.session.now() - beat) + beat);
        let patience = match self.session.phase {
            Phase::Closing(until) => Some(until),
            phase if phase.is_before_open() => Some(self.greeted_by),
            // Looked at anew once it is open.
            _ => None,
        };
        let far = self.session.now() + limits::amqp::HANDSHAKE_WAIT_MAX;
        let at = [beats, patience, self.session.overdue_at].into_iter().flatten().fold(far, Instant::min);
        self.session.shared.clock.sleep_until(at)
    }

    /// Does what is due by time. False where the client has been silent for too long.
    fn alarmed(&mut self) -> bool {
        let now = self.session.now();
        match self.session.phase {
            Phase::Closing(until) if now >= until => return false,
            phase if phase.is_before_open() && now >= self.greeted_by => return false,
            _ => {}
        }
        let Some(beat) = self.beat() else { return true };
        if self.session.out.is_empty() {
            self.taken_at = now;
        }
        // Two whole intervals without a sign; while it is not read it can only give one by taking what there is for it.
        let sign_at = if self.may_read() { self.heard_at } else { self.heard_at.max(self.taken_at) };
        if now.since(sign_at) > beat * 4 && (self.may_read() || !self.session.out.is_empty()) {
            return false;
        }
        if now.since(self.said_at) >= beat {
            // Whoever does not take what there is learns nothing by more of it.
            if self.session.out.is_empty() {
                write::heartbeat(self.session.out.frames());
            }
            self.said_at = now;
        }
        true
    }

    async fn stop(&mut self) {
        if self.session.phase.is_before_open() {
            self.session.phase = Phase::Ended;
            return;
        }
        let text = "broker forced connection closure with reason 'shutdown'";
        self.session.raise(0, Exception::new(ReplyCode::ConnectionForced, text)).await;
    }
}

impl Session {
    /// Carries out one frame.
    async fn take_frame(&mut self, frame: &Frame<'_>, peer: SocketAddr) {
        match self.phase {
            Phase::Closing(_) => self.take_while_closing(frame),
            Phase::Running => {
                let taken = self.take_while_running(frame).await;
                if let Err(exception) = taken {
                    self.raise(frame.channel, exception).await;
                }
            }
            _ => self.take_while_opening(frame, peer).await,
        }
    }

    async fn take_while_opening(&mut self, frame: &Frame<'_>, peer: SocketAddr) {
        let taken = match &frame.payload {
            Payload::Heartbeat => Ok(()),
            Payload::Method(method) if frame.channel == 0 => self.open_step(method, peer).await,
            _ => Err(Exception::command_invalid("unexpected frame before the connection was open")),
        };
        let Err(exception) = taken else { return };
        let is_told = exception.code != ReplyCode::AccessRefused || self.tells_refusals;
        self.phase = Phase::Ended;
        if is_told {
            let text = exception.to_string();
            tracing::info!(connection = self.number, %peer, %text, "amqp refused");
            self.close(&exception);
        }
    }

    fn take_while_closing(&mut self, frame: &Frame<'_>) {
        match &frame.payload {
            Payload::Method(Method::Connection(connection::Method::CloseOk(_))) => self.phase = Phase::Ended,
            Payload::Method(Method::Connection(connection::Method::Close(_))) => self.close_ok(),
            _ => {}
        }
    }
}
