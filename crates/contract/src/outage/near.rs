//! A load on two daemons that are near caches of one shared store, in memcached's words: keys that are written, removed and read
//! all the time, each through either. Nobody reads anything older than what was confirmed a stated time ago.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use forebay_core::error::{Error, Kind, Result};
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::sleep;

use super::load::Load;
use super::tally::Tally;
use super::{Bounds, Outage};

/// Of so many changes one is a removal; the others are values.
const CHANGES_OF_A_REMOVAL: usize = 7;
/// The pause after a refusal.
const PAUSE: Duration = Duration::from_millis(1);
/// Confirmed changes that are remembered of a key: many more than there can be in the time that is looked at.
const CHANGES_MAX: usize = 10_000;

/// What is loaded, and what it promises.
pub struct Near {
    /// Where the daemons speak memcached's protocol. Each changes keys of its own, and all are read through both.
    pub fronts: [SocketAddr; 2],
    /// Keys of the server that is hurt.
    pub keys: Vec<String>,
    /// Keys of other servers: no call for them may fail.
    pub elsewhere: Vec<String>,
    /// Nothing is read that is older than a change that was confirmed so long ago.
    pub older_max: Duration,
    /// After so long all must go on.
    pub deaf_max: Duration,
}

impl Outage {
    /// Begins to read and change these keys, and waits until all of it goes on. So many consumers read through each daemon.
    pub fn begin_on_near(handle: &Handle, near: &Near, bounds: Bounds) -> Self {
        let mut outage = Self::new(handle, bounds, near.deaf_max);
        for (names, is_hurt) in [(&near.keys, true), (&near.elsewhere, false)] {
            if names.is_empty() {
                continue;
            }
            let keys = Arc::new(Keys::new(near, names, is_hurt, bounds));
            let tally = keys.tally.clone();
            let readers = tally.readers().map(|reader| handle.spawn(keys.clone().read(reader)));
            let readers = readers.collect();
            outage.load(tally, handle.spawn(keys.change()), readers);
        }
        outage.begun()
    }
}

/// A key, and what is known of it outside the store.
struct Key {
    name: String,
    /// The number of the last change, which is its value where it is one.
    last: AtomicU64,
    /// The changes that were confirmed, and when, in order.
    confirmed: Mutex<VecDeque<(Instant, u64)>>,
}

impl Key {
    fn confirm(&self, change: u64) {
        let mut confirmed = self.confirmed.lock();
        if confirmed.len() == CHANGES_MAX {
            confirmed.pop_front();
        }
        confirmed.push_back((Instant::now(), change));
    }

    /// The newest that was confirmed by then.
    fn floor(&self, then: Instant) -> u64 {
        let confirmed = self.confirmed.lock();
        confirmed.iter().rev().find(|(at, _)| *at <= then).map_or(0, |(_, change)| *change)
    }
}

/// Keys that are all hurt or all not.
struct Keys {
    keys: Vec<Key>,
    fronts: [SocketAddr; 2],
    older_max: Duration,
    pace: Duration,
    /// Readers take the daemons in turn.
    tally: Arc<Tally>,
}

impl Keys {
    fn new(near: &Near, names: &[String], is_hurt: bool, bounds: Bounds) -> Self {
        let key =
            |name: &String| Key { name: name.clone(), last: AtomicU64::new(0), confirmed: Mutex::default() };
        Self {
            keys: names.iter().map(key).collect(),
            fronts: near.fronts,
            older_max: near.older_max,
            pace: bounds.pace,
            tally: Arc::new(Tally::new(bounds.consumers * near.fronts.len(), is_hurt)),
        }
    }

    async fn change(self: Arc<Self>) {
        join_all((0..self.fronts.len()).map(|writer| self.change_own(writer))).await;
        self.tally.calls.ended.store(true, SeqCst);
    }

    /// One alone changes a key, so that what it says of it is in order.
    async fn change_own(&self, writer: usize) {
        let mut front = Front::connect(self.fronts[writer]).await;
        let own = self.keys.iter().skip(writer).step_by(self.fronts.len());
        for (turn, key) in own.cycle().enumerate() {
            if self.tally.calls.is_to_stop() {
                return;
            }
            let change = key.last.fetch_add(1, SeqCst) + 1;
            let command = if turn % CHANGES_OF_A_REMOVAL == 0 {
                format!("md {}\r\n", key.name)
            } else {
                let value = change.to_string();
                format!("ms {} {}\r\n{value}\r\n", key.name, value.len())
            };
            match self.tally.timed(front.ask(&command)).await {
                Ok(_) => {
                    key.confirm(change);
                    self.tally.confirmed.fetch_add(1, SeqCst);
                }
                Err(error) => {
                    self.tally.may_fail(&key.name, &error);
                    self.tally.calls.refuse(&error);
                    sleep(PAUSE).await;
                }
            }
            sleep(self.pace).await;
        }
    }

    async fn read(self: Arc<Self>, reader: usize) {
        let mut front = Front::connect(self.fronts[reader % self.fronts.len()]).await;
        for key in self.keys.iter().cycle().skip(reader * CHANGES_OF_A_REMOVAL) {
            if self.tally.is_done() {
                return;
            }
            let floor = Instant::now().checked_sub(self.older_max).map_or(0, |then| key.floor(then));
            match self.tally.timed(front.ask(&format!("mg {} v\r\n", key.name))).await {
                Ok(Some(read)) => {
                    assert!(read >= floor, "{}: {read} was read, {floor} was to be the oldest", key.name);
                    self.tally.hit(reader);
                }
                Ok(None) => {}
                Err(error) => {
                    self.tally.may_fail(&key.name, &error);
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// A connection to a daemon, to which nothing is done.
struct Front {
    stream: BufReader<TcpStream>,
}

impl Front {
    async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the daemon accepts");
        stream.set_nodelay(true).expect("a socket option");
        Self { stream: BufReader::new(stream) }
    }

    /// What is read, if anything was to be and is there; `Unavailable` where the daemon says that its store is.
    async fn ask(&mut self, command: &str) -> Result<Option<u64>> {
        let answer = self.answer(command).await.expect("the daemon answers");
        let mut words = answer.split_ascii_whitespace();
        match words.next() {
            Some("VA") => Ok(Some(words.next_back().and_then(|value| value.parse().ok()).expect("a number"))),
            Some("HD" | "NF" | "EN") => Ok(None),
            Some("SERVER_ERROR") => Err(Error::new(Kind::Unavailable, "ask the daemon", answer.trim_end())),
            word => unreachable!("{word:?} is no answer"),
        }
    }

    /// A line, with the value where one follows.
    async fn answer(&mut self, command: &str) -> io::Result<String> {
        self.stream.write_all(command.as_bytes()).await?;
        let mut answer = String::new();
        self.stream.read_line(&mut answer).await?;
        if let Some(bytes) = answer.strip_prefix("VA ").and_then(|rest| rest.trim_end().parse().ok()) {
            let mut value = vec![0; bytes];
            self.stream.read_exact(&mut value).await?;
            answer.push_str(&String::from_utf8_lossy(&value));
            self.stream.read_line(&mut String::new()).await?;
        }
        Ok(answer)
    }
}
