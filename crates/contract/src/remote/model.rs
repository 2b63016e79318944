//! A shared store in memory that is too simple to be wrong: one lock, its servers a few maps that can be stopped, stand
//! still and forget. The suite is tried on it, and the rules are tested over it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use forebay_core::entry::{Mode, Step, Version};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::payload::Payload;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::clock::Clock;
use forebay_core::ports::remote_store::{
    Addition, Asked, Changed, Fill, Filled, Grant, Put, RemoteCapabilities, RemoteStore, Shared, Sum,
};
use forebay_core::time::Instant;
use parking_lot::Mutex;

use crate::clock::SimClock;

/// The shortest lease and hold.
const LEASE_MIN: Duration = Duration::from_secs(2);

/// The servers, which any number of stores share.
pub struct ModelServers {
    clock: SimClock,
    state: Mutex<State>,
}

struct State {
    nodes: Vec<Node>,
    /// Given out so far; versions and incarnations are never given out twice.
    numbers: u64,
}

#[derive(Default)]
struct Node {
    away: Option<Away>,
    incarnation: u64,
    /// Tokens given out since the start: they begin anew with it, as those of real servers do.
    tokens: u64,
    cells: BTreeMap<Vec<u8>, Cell>,
    /// Tag and key of everything that was ever filled.
    tagged: BTreeSet<(Vec<u8>, Vec<u8>)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Away {
    Stopped,
    Paused,
}

struct Cell {
    content: Content,
    ends: Option<Instant>,
}

enum Content {
    Value { shared: Shared, tags: Vec<Vec<u8>> },
    Leased { token: u64 },
    Held,
}

impl ModelServers {
    /// So many empty servers.
    pub fn new(clock: SimClock, nodes: usize) -> Arc<Self> {
        let mut state = State { nodes: Vec::new(), numbers: 0 };
        for _ in 0..nodes.max(1) {
            let incarnation = state.number();
            state.nodes.push(Node { incarnation, ..Node::default() });
        }
        Arc::new(Self { clock, state: Mutex::new(state) })
    }

    /// How many there are.
    pub fn nodes(&self) -> usize {
        self.state.lock().nodes.len()
    }

    /// Which of them has the key.
    pub fn node_of(&self, key: &[u8]) -> usize {
        let sum = key.iter().fold(17usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
        (sum >> 3) % self.nodes()
    }

    /// Ends one, and all it has.
    pub fn stop(&self, node: usize) {
        let mut state = self.state.lock();
        let incarnation = state.number();
        if let Some(node) = state.nodes.get_mut(node) {
            *node = Node { away: Some(Away::Stopped), incarnation, ..Node::default() };
        }
    }

    /// Lets one stand still.
    pub fn pause(&self, node: usize) {
        self.set_away(node, Some(Away::Paused));
    }

    /// Lets one that was stopped or stood still be there again.
    pub fn bring_back(&self, node: usize) {
        self.set_away(node, None);
    }

    fn set_away(&self, node: usize, away: Option<Away>) {
        if let Some(node) = self.state.lock().nodes.get_mut(node) {
            node.away = away;
        }
    }

    fn is_paused(&self, key: &[u8]) -> bool {
        let node = self.node_of(key);
        self.state.lock().nodes.get(node).is_some_and(|node| node.away == Some(Away::Paused))
    }

    /// Removes all that one has.
    pub fn empty(&self, node: usize) {
        if let Some(node) = self.state.lock().nodes.get_mut(node) {
            node.cells.clear();
        }
    }

    /// Has a key's node forget it.
    pub fn evict(&self, key: &[u8]) {
        let node = self.node_of(key);
        if let Some(node) = self.state.lock().nodes.get_mut(node) {
            node.cells.remove(key);
        }
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
}

/// A store over them.
pub struct ModelStore {
    servers: Arc<ModelServers>,
    time_out: Duration,
    closed: AtomicBool,
}

/// One key of a node that answers.
struct Place<'a> {
    node: &'a mut Node,
    key: &'a [u8],
    now: Instant,
    /// For whoever changes something.
    version: Version,
}

impl ModelStore {
    /// A store whose calls take no longer than `time_out`.
    pub fn new(servers: Arc<ModelServers>, time_out: Duration) -> Self {
        Self { servers, time_out, closed: AtomicBool::new(false) }
    }

    /// Takes no more calls.
    pub fn close(&self) {
        self.closed.store(true, SeqCst);
    }

    /// Does something at the key's place, if its node answers in time.
    async fn at<T>(&self, key: &[u8], act: impl FnOnce(Place<'_>) -> T) -> Result<T> {
        let failed = |kind| Error::new(kind, "ask model for key", String::from_utf8_lossy(key));
        if self.closed.load(SeqCst) {
            return Err(failed(Kind::Closed));
        }
        let node = self.servers.node_of(key);
        let clock = &self.servers.clock;
        let away = self.servers.state.lock().nodes.get(node).and_then(|node| node.away);
        if away == Some(Away::Paused) {
            clock.sleep_until(clock.now() + self.time_out).await;
        }
        if away.is_some() {
            return Err(failed(Kind::Unavailable));
        }
        let mut state = self.servers.state.lock();
        let version = Version(state.number());
        let now = clock.now();
        let node = state.nodes.get_mut(node).ok_or_else(|| failed(Kind::Unavailable))?;
        let over = node.cells.get(key).is_some_and(|cell| cell.ends.is_some_and(|ends| ends <= now));
        if over {
            node.cells.remove(key);
        }
        Ok(act(Place { node, key, now, version }))
    }
}

impl Place<'_> {
    fn ends(&self, life: Option<Duration>) -> Option<Instant> {
        life.map(|life| self.now + life)
    }

    fn value(&self) -> Option<&Shared> {
        match self.node.cells.get(self.key).map(|cell| &cell.content) {
            Some(Content::Value { shared, .. }) => Some(shared),
            Some(Content::Leased { .. } | Content::Held) | None => None,
        }
    }

    fn set(&mut self, content: Content, ends: Option<Instant>) {
        self.node.cells.insert(self.key.to_vec(), Cell { content, ends });
    }

    fn write(&mut self, value: &[u8], flags: u32, life: Option<Duration>, tags: &[&[u8]]) -> Version {
        let shared = Shared { value: value.into(), flags, version: self.version };
        let tags = tags.iter().map(|tag| tag.to_vec()).collect();
        self.set(Content::Value { shared, tags }, self.ends(life));
        self.version
    }

    fn ask(mut self, lease: Duration) -> Asked {
        match self.node.cells.get(self.key).map(|cell| &cell.content) {
            Some(Content::Value { shared, .. }) => Asked::Hit(shared.clone()),
            Some(Content::Leased { .. } | Content::Held) => Asked::Busy,
            None => {
                self.node.tokens += 1;
                let token = self.node.tokens;
                self.set(Content::Leased { token }, self.ends(Some(lease.max(LEASE_MIN))));
                Asked::Granted(Grant { token, incarnation: self.node.incarnation })
            }
        }
    }

    fn fill(mut self, value: &[u8], fill: Fill<'_>, grant: Grant) -> Filled {
        let held = match self.node.cells.get(self.key).map(|cell| &cell.content) {
            Some(Content::Leased { token }) => Grant { token: *token, incarnation: self.node.incarnation },
            Some(Content::Value { .. } | Content::Held) | None => return Filled::Refused,
        };
        if held != grant {
            return Filled::Refused;
        }
        self.node.tagged.extend(fill.tags.iter().map(|tag| (tag.to_vec(), self.key.to_vec())));
        Filled::Stored(self.write(value, fill.flags, fill.life, fill.tags))
    }

    fn put(mut self, value: &[u8], put: Put) -> Changed {
        let there = self.value().map(|shared| shared.version);
        match (put.version, put.mode, there) {
            (Some(_), _, None) => Changed::NotFound,
            (Some(version), _, Some(there)) if version != there => Changed::Exists,
            (_, Mode::Add, Some(_)) | (_, Mode::Replace | Mode::Append | Mode::Prepend, None) => {
                Changed::NotStored
            }
            (_, Mode::Append | Mode::Prepend, Some(_)) => self.extend(value, put.mode),
            _ => Changed::Done(self.write(value, put.flags, put.life, &[])),
        }
    }

    fn extend(self, more: &[u8], mode: Mode) -> Changed {
        let version = self.version;
        if let Some(Cell { content: Content::Value { shared, .. }, .. }) = self.node.cells.get_mut(self.key) {
            let parts = if mode == Mode::Append { [&shared.value, more] } else { [more, &shared.value] };
            *shared = Shared { value: Payload::from(parts.concat()), flags: shared.flags, version };
        }
        Changed::Done(version)
    }

    fn remove(mut self, version: Option<Version>, hold: Duration) -> Changed {
        let there = self.value().map(|shared| shared.version);
        if let (Some(version), Some(there)) = (version, there)
            && version != there
        {
            return Changed::Exists;
        }
        self.node.cells.remove(self.key);
        if !hold.is_zero() {
            self.set(Content::Held, self.ends(Some(hold.max(LEASE_MIN))));
        }
        if there.is_some() { Changed::Done(self.version) } else { Changed::NotFound }
    }

    fn add(mut self, addition: Addition) -> Sum {
        let Some(shared) = self.value() else {
            let Some((number, life)) = addition.create else { return Sum::NotFound };
            self.write(number.to_string().as_bytes(), 0, life, &[]);
            return Sum::Number(number);
        };
        let digits = shared.value.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(&shared.value).ok().and_then(|text| text.parse::<u64>().ok());
        let Some(number) = number.filter(|_| digits) else { return Sum::NotNumber };
        let sum = match addition.step {
            Step::Up => number.wrapping_add(addition.delta),
            Step::Down => number.saturating_sub(addition.delta),
        };
        let version = self.version;
        if let Some(Cell { content: Content::Value { shared, .. }, .. }) = self.node.cells.get_mut(self.key) {
            shared.value = Payload::from(sum.to_string());
            shared.version = version;
        }
        Sum::Number(sum)
    }

    fn touch(self, life: Option<Duration>) -> bool {
        let ends = self.ends(life);
        match self.node.cells.get_mut(self.key) {
            Some(cell) if matches!(cell.content, Content::Value { .. }) => {
                cell.ends = ends;
                true
            }
            Some(_) | None => false,
        }
    }
}

impl RemoteStore for ModelStore {
    fn capabilities(&self) -> RemoteCapabilities {
        RemoteCapabilities {
            lease: true,
            fenced_fill: true,
            conditional: true,
            arithmetic: true,
            touch: true,
            negative: true,
            tags: true,
            locks: true,
        }
    }

    fn get<'a>(&'a self, keys: &'a [&'a [u8]]) -> BoxFuture<'a, Vec<Result<Option<Shared>>>> {
        Box::pin(async move {
            let mut answers = Vec::new();
            // All that stand still are waited for at once: the first takes the whole time-out.
            let mut late = false;
            for key in keys {
                let paused = self.servers.is_paused(key);
                answers.push(if paused && late {
                    Err(Error::new(Kind::Unavailable, "ask model for key", String::from_utf8_lossy(key)))
                } else {
                    self.at(key, |place| place.value().cloned()).await
                });
                late |= paused;
            }
            answers
        })
    }

    fn get_or_lease<'a>(&'a self, key: &'a [u8], lease: Duration) -> BoxFuture<'a, Result<Asked>> {
        Box::pin(self.at(key, move |place| place.ask(lease)))
    }

    fn fill<'a>(
        &'a self,
        key: &'a [u8],
        value: &'a [u8],
        fill: Fill<'a>,
        grant: Grant,
    ) -> BoxFuture<'a, Result<Filled>> {
        Box::pin(self.at(key, move |place| place.fill(value, fill, grant)))
    }

    fn put<'a>(&'a self, key: &'a [u8], value: &'a [u8], put: Put) -> BoxFuture<'a, Result<Changed>> {
        Box::pin(self.at(key, move |place| place.put(value, put)))
    }

    fn remove<'a>(
        &'a self,
        key: &'a [u8],
        version: Option<Version>,
        hold: Duration,
    ) -> BoxFuture<'a, Result<Changed>> {
        Box::pin(self.at(key, move |place| place.remove(version, hold)))
    }

    /// Of the nodes that answer.
    fn remove_tag<'a>(&'a self, tag: &'a [u8]) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let mut removed = 0;
            for Node { cells, tagged, .. } in &mut self.servers.state.lock().nodes {
                cells.retain(|key, cell| match &cell.content {
                    Content::Value { tags, .. } => {
                        let goes = tags.iter().any(|of| of == tag);
                        removed += u64::from(goes);
                        !goes
                    }
                    Content::Leased { .. } => !tagged.contains(&(tag.to_vec(), key.clone())),
                    Content::Held => true,
                });
            }
            Ok(removed)
        })
    }

    fn add<'a>(&'a self, key: &'a [u8], addition: Addition) -> BoxFuture<'a, Result<Sum>> {
        Box::pin(self.at(key, move |place| place.add(addition)))
    }

    fn touch<'a>(&'a self, key: &'a [u8], life: Option<Duration>) -> BoxFuture<'a, Result<bool>> {
        Box::pin(self.at(key, move |place| place.touch(life)))
    }
}
