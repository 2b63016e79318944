//! The connection to the servers: one supervisor makes it, asks it for signs of life and makes it anew; callers find the
//! present one, and every call ends in its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::ports::clock::{Clock, Run, Work};
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, ConnectionInfo, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::connect::{self, Connected, Facts, Target};
use crate::sentinels::Sentinels;
use crate::settings::Settings;

/// What a call is about, for its errors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About<'a> {
    /// What is attempted.
    pub(crate) operation: &'static str,
    /// On which key or queue.
    pub(crate) on: &'a str,
}

/// A connection that stands.
#[derive(Clone)]
pub(crate) struct Standing {
    /// Tells it from those before it.
    pub(crate) number: u64,
    pub(crate) facts: Facts,
    /// Where it leads to.
    pub(crate) server: Arc<ConnectionInfo>,
    wire: MultiplexedConnection,
}

#[derive(Clone)]
enum State {
    /// There is none, because of this.
    Away(Arc<str>),
    Standing(Standing),
    Closed,
}

/// The way to the servers, shared by all who call.
pub(crate) struct Link {
    pub(crate) settings: Settings,
    pub(crate) target: Target,
    clock: Arc<dyn Clock>,
    state: watch::Sender<State>,
    /// Somebody has reason to doubt the connection.
    doubt: Notify,
    /// The number of the newest connection that is known to be of no use; they are counted from 1.
    broken: AtomicU64,
    /// What the server said of itself when a connection was made last.
    facts: Mutex<Option<Facts>>,
    /// Bytes that calls send, or are known to wait for.
    under_way: AtomicUsize,
    /// Bytes of calls that were given up without an answer: they may still be on their way.
    left: AtomicUsize,
    /// How long a command may hold up those behind it on the connection.
    holds_up: Duration,
}

/// Bytes that are under way as long as it lives.
pub(crate) struct UnderWay<'a> {
    all: &'a AtomicUsize,
    /// Where they count on when it ends.
    left: Option<&'a AtomicUsize>,
    bytes: usize,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(left) = self.left {
            left.fetch_add(self.bytes, SeqCst);
        }
        self.all.fetch_sub(self.bytes, SeqCst);
    }
}

impl UnderWay<'_> {
    /// Sees from what came of a call whether its bytes have come.
    fn have_come<T>(&mut self, answer: &Option<Option<T>>) {
        if let Some(Some(_)) = answer {
            self.left = None;
        }
    }
}

impl Link {
    /// Nothing is done before the work runs. A command that waits by itself holds up those behind it for `holds_up` at most.
    pub(crate) fn new(
        settings: Settings,
        target: Target,
        clock: Arc<dyn Clock>,
        name: &'static str,
        holds_up: Duration,
    ) -> (Arc<Self>, Work) {
        let away = State::Away("no connection was made yet".into());
        let link = Arc::new(Self {
            settings,
            target,
            clock,
            state: watch::Sender::new(away),
            doubt: Notify::new(),
            broken: AtomicU64::new(0),
            facts: Mutex::new(None),
            under_way: AtomicUsize::new(0),
            left: AtomicUsize::new(0),
            holds_up,
        });
        let run = Run::Task(Box::pin(supervise(link.clone())));
        (link, Work { name, run })
    }

    /// Ends all calls with `Closed`, and the work.
    pub(crate) fn close(&self) {
        self.state.send_replace(State::Closed);
    }

    /// Is ready once the link is closed.
    pub(crate) async fn closed(&self) {
        let mut state = self.state.subscribe();
        // The sender lives as long as this link.
        let _ = state.wait_for(|state| matches!(state, State::Closed)).await;
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(&*self.state.borrow(), State::Closed)
    }

    /// What is known of the server, also while there is no connection.
    pub(crate) fn facts(&self) -> Option<Facts> {
        *self.facts.lock()
    }

    /// The connection that stands now.
    pub(crate) fn standing(&self, about: About<'_>) -> Result<Standing> {
        standing(&self.state.borrow(), about)
    }

    /// Waits until a connection stands, at most so long.
    pub(crate) async fn stand(&self, about: About<'_>, patience: Duration) -> Result<Standing> {
        if let State::Standing(standing) = &*self.state.borrow() {
            return Ok(standing.clone());
        }
        let mut state = self.state.subscribe();
        let came = timeout(patience, state.wait_for(|state| !matches!(state, State::Away(_)))).await;
        match came {
            Ok(Ok(state)) => standing(&state, about),
            Ok(Err(_)) | Err(_) => self.standing(about),
        }
    }

    /// Waits for a connection, however long it takes; `None` once the link is closed.
    pub(crate) async fn stands(&self) -> Option<Standing> {
        let mut state = self.state.subscribe();
        // The sender lives as long as this link.
        let state = state.wait_for(|state| !matches!(state, State::Away(_))).await.ok()?;
        if let State::Standing(standing) = &*state { Some(standing.clone()) } else { None }
    }

    /// Is ready once it is not this connection any more that stands.
    pub(crate) async fn is_gone(&self, number: u64) {
        let stands = |state: &State| matches!(state, State::Standing(standing) if standing.number == number);
        let mut state = self.state.subscribe();
        let _ = state.wait_for(|state| !stands(state)).await;
    }

    /// Sends one command and waits for its answer, at most as long as the settings allow for so many bytes.
    pub(crate) async fn ask(&self, about: About<'_>, patience: Duration, command: &Cmd) -> Result<Value> {
        let standing = self.stand(about, patience).await?;
        self.ask_on(about, standing, command, self.end_of(bytes_of(command))).await
    }

    /// When a call that begins now and sends so many bytes must have its answer.
    pub(crate) fn end_of(&self, bytes: usize) -> Instant {
        self.settings.end_of(bytes)
    }

    /// Sends one command over this connection and waits until then.
    pub(crate) async fn ask_on(
        &self,
        about: About<'_>,
        standing: Standing,
        command: &Cmd,
        end: Instant,
    ) -> Result<Value> {
        let number = standing.number;
        let mut wire = standing.wire;
        let mut under_way = self.send(bytes_of(command));
        let answer = self.until(end, wire.send_packed_command(command)).await;
        under_way.have_come(&answer);
        self.judge(about, number, answer.map(|answer| answer.map(|answer| answer.and_then(unless_error))))
    }

    /// Sends commands over this connection, one behind the other, and waits until then for all answers. Nothing is waited
    /// for before they have their place in the connection's order.
    pub(crate) async fn ask_all(
        &self,
        about: About<'_>,
        standing: Standing,
        commands: &Pipeline,
        end: Instant,
    ) -> Result<impl ExactSizeIterator<Item = Result<Value>>> {
        let number = standing.number;
        let mut wire = standing.wire;
        let mut under_way = self.send(commands.cmd_iter().map(bytes_of).sum());
        let answer = self.until(end, wire.send_packed_commands(commands, 0, commands.len())).await;
        under_way.have_come(&answer);
        let values = self.judge(about, number, answer)?;
        let judged = move |value| self.judge(about, number, Some(Some(unless_error(value))));
        Ok(values.into_iter().map(judged))
    }

    /// Has a sign of life waited for longer, as long as so many bytes may go before it.
    pub(crate) fn carry(&self, bytes: usize) -> UnderWay<'_> {
        self.under_way.fetch_add(bytes, SeqCst);
        UnderWay { all: &self.under_way, left: None, bytes }
    }

    /// The same for bytes that are sent: until the server has told that they have come, by an answer or by a sign of life that was
    /// asked for behind them.
    fn send(&self, bytes: usize) -> UnderWay<'_> {
        let mut under_way = self.carry(bytes);
        under_way.left = Some(&self.left);
        under_way
    }

    /// When the server must have given a sign of life that it is asked for now: behind all that is under way, but no more than
    /// the largest value.
    fn alive_by(&self) -> Instant {
        let bytes = self.under_way.load(SeqCst).saturating_add(self.left.load(SeqCst));
        let bytes = bytes.min(limits::VALUE_BYTES_MAX_CEILING);
        self.end_of(bytes) + self.holds_up
    }

    async fn until<T>(
        &self,
        end: Instant,
        answer: impl Future<Output = RedisResult<T>>,
    ) -> Option<Option<RedisResult<T>>> {
        tokio::select! {
            biased;
            answered = timeout_at(end, answer) => Some(answered.ok()),
            () = self.closed() => None,
        }
    }

    fn judge<T>(&self, about: About<'_>, number: u64, answer: Option<Option<RedisResult<T>>>) -> Result<T> {
        match answer {
            None => Err(closed(about)),
            Some(Some(Ok(answer))) => Ok(answer),
            Some(Some(Err(error))) => {
                let kind = kind_of(&error);
                if self.is_broken(&error) {
                    self.give_up(number);
                } else if kind == Kind::Unavailable {
                    self.doubt.notify_one();
                }
                Err(about.error(kind).because(error))
            }
            Some(None) => {
                self.doubt.notify_one();
                Err(about.error(Kind::Unavailable).because("the server did not answer in time"))
            }
        }
    }

    /// An error that a new connection may not have.
    fn is_broken(&self, error: &RedisError) -> bool {
        let moved = matches!(self.target, Target::Slot(..))
            && error.kind() == ErrorKind::Server(ServerErrorKind::Moved);
        moved
            || error.is_connection_dropped()
            || matches!(error.kind(), ErrorKind::Io | ErrorKind::Server(ServerErrorKind::ReadOnly))
    }

    /// Has this connection made anew; whoever comes until then waits for that, if it can wait at all.
    fn give_up(&self, number: u64) {
        self.broken.fetch_max(number, SeqCst);
        self.state.send_if_modified(|state| {
            let stands = matches!(state, State::Standing(standing) if standing.number <= number);
            if stands {
                *state = State::Away("the connection broke".into());
            }
            stands
        });
        self.doubt.notify_one();
    }

    pub(crate) fn random_share(&self, pause: Duration) -> Duration {
        // Half of it is random, so that many processes do not come back together.
        let part = (self.clock.random() >> 40) as f64 / (1_u64 << 24) as f64;
        pause.mul_f64(0.5 + part / 2.0)
    }
}

impl About<'_> {
    pub(crate) fn error(self, kind: Kind) -> Error {
        Error::new(kind, self.operation, self.on)
    }

    /// The same error once more, for another who asked for the same.
    pub(crate) fn again(self, error: &Error) -> Error {
        match std::error::Error::source(error) {
            Some(cause) => self.error(error.kind()).because(cause.to_string()),
            None => self.error(error.kind()),
        }
    }
}

/// The connection, if there is one in this state.
fn standing(state: &State, about: About<'_>) -> Result<Standing> {
    match state {
        State::Standing(standing) => Ok(standing.clone()),
        State::Closed => Err(closed(about)),
        State::Away(why) => Err(about.error(Kind::Unavailable).because(&**why)),
    }
}

fn closed(about: About<'_>) -> Error {
    about.error(Kind::Closed)
}

/// The answer, unless it is an error of the server's.
fn unless_error(answer: Value) -> RedisResult<Value> {
    if let Value::ServerError(error) = answer { Err(error.into()) } else { Ok(answer) }
}

/// What a command sends, about.
pub(crate) fn bytes_of(command: &Cmd) -> usize {
    let bytes = |arg| if let redis::Arg::Simple(arg) = arg { <[u8]>::len(arg) } else { 0 };
    command.args_iter().map(bytes).sum()
}

/// Keeps a connection standing until the link is closed.
async fn supervise(link: Arc<Link>) {
    let (mut number, mut former) = (0, None);
    let mut pause = limits::redis::CONNECT_PAUSE;
    let mut sentinels = Sentinels::of(&link.settings);
    while !link.is_closed() {
        let time = connect::time_for(&link.settings, &link.target);
        let connect = connect::connect(&link.settings, &link.target, sentinels.as_mut(), former.as_ref());
        let made = tokio::select! {
            made = timeout(time, connect) => made,
            () = link.closed() => return,
        };
        let why = match made {
            Ok(Ok(Connected { server, wire, facts, named, client })) => {
                number += 1;
                former = client;
                *link.facts.lock() = Some(facts);
                link.left.store(0, SeqCst);
                let standing = Standing { number, facts, server: Arc::new(server), wire };
                if !turn(&link, State::Standing(standing.clone())) {
                    return;
                }
                let began = Instant::now();
                let another = async {
                    match (&mut sentinels, &named) {
                        (Some(sentinels), Some(named)) => sentinels.name_another(named).await,
                        _ => std::future::pending().await,
                    }
                };
                let why = tokio::select! {
                    why = watch_over(&link, standing) => why,
                    () = another => "the sentinels name another master".to_owned(),
                };
                if began.elapsed() > limits::redis::CONNECT_PAUSE_MAX {
                    pause = limits::redis::CONNECT_PAUSE;
                }
                why
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the server did not greet in time".to_owned(),
        };
        if !turn(&link, State::Away(why.into())) {
            return;
        }
        tokio::select! {
            () = sleep(link.random_share(pause)) => {}
            () = link.closed() => return,
        }
        pause = (pause * 2).min(limits::redis::CONNECT_PAUSE_MAX);
    }
}

/// Moves on to another state, unless the link is closed.
fn turn(link: &Link, next: State) -> bool {
    link.state.send_if_modified(|state| {
        let open = !matches!(state, State::Closed);
        if open {
            *state = next;
        }
        open
    })
}

/// Returns once the connection is of no use any more, with the reason.
async fn watch_over(link: &Link, standing: Standing) -> String {
    loop {
        tokio::select! {
            () = link.doubt.notified() => {}
            () = sleep(limits::redis::PING_PAUSE) => {}
            () = link.closed() => return String::new(),
        }
        if link.broken.load(SeqCst) >= standing.number {
            return "the connection broke".to_owned();
        }
        let mut wire = standing.wire.clone();
        let left = link.left.load(SeqCst);
        match timeout_at(link.alive_by(), connect::look_at(&mut wire, standing.facts)).await {
            Ok(Ok(())) => {
                link.left.fetch_sub(left, SeqCst);
            }
            Ok(Err(error)) => return error.to_string(),
            Err(_) => return "the server gave no sign of life in time".to_owned(),
        }
    }
}

fn kind_of(error: &RedisError) -> Kind {
    use ServerErrorKind as Server;
    match error.kind() {
        ErrorKind::Io
        | ErrorKind::AuthenticationFailed
        | ErrorKind::ClusterConnectionNotFound
        | ErrorKind::Server(
            Server::BusyLoading
            | Server::TryAgain
            | Server::ClusterDown
            | Server::MasterDown
            | Server::ReadOnly
            | Server::Moved
            | Server::Ask,
        ) => Kind::Unavailable,
        _ => match error.code() {
            Some("OOM") => Kind::Full,
            // It cannot write its disk, or has too few replicas, or runs somebody's long script.
            Some("MISCONF" | "NOREPLICAS" | "BUSY" | "UNKILLABLE") => Kind::Unavailable,
            _ => Kind::Io,
        },
    }
}

#[cfg(test)]
mod tests {
    use forebay_runtime::clock::TokioClock;

    use super::*;

    #[tokio::test]
    async fn a_sign_of_life_has_time_for_what_goes_before_it() {
        let settings = Settings::parse("redis://127.0.0.1:1?timeout_ms=1000").unwrap();
        let clock = Arc::new(TokioClock::new());
        let held_up = Duration::from_secs(2);
        let (link, _work) = Link::new(settings, Target::Master, clock, "redis", held_up);
        let time = || {
            let now = Instant::now();
            (link.alive_by() - now).as_millis() / 100
        };
        assert_eq!(time(), 30);
        let (one, other) = (link.carry(10 << 20), link.carry(20 << 20));
        assert_eq!(time(), 60);
        drop(one);
        assert_eq!(time(), 50);
        let mut answered = link.send(30 << 20);
        answered.have_come(&Some(Some(())));
        drop((link.send(10 << 20), answered));
        assert_eq!(time(), 60, "what was given up may still be on its way");
        let _all = link.carry(usize::MAX / 2);
        assert_eq!(time(), 30 + 128, "no more than the largest value");
        drop(other);
    }
}
