//! One node: whether it can be used, its connections, and which invalidations it has missed.
//!
//! A node whose state is in doubt is not used: first every connection must answer, so that nothing sent before can still
//! happen, and whatever was to be invalidated and may not have been is removed. That is `supervise`'s work; this is what it
//! and the callers share.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use forebay_core::limits::{MEMCACHED_MISSED_KEYS_MAX, MEMCACHED_UNANSWERED_MAX};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use crate::commands::Commands;
use crate::link::Link;
use crate::link::awaited::Received;
use crate::settings::NodeSettings;

/// Whether a node can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It is not known: it is being looked at, and callers wait for what comes out.
    InDoubt,
    /// It can.
    Up,
    /// It cannot, and callers do not wait for it.
    Away,
    /// It cannot, because it lacks what is needed.
    Unsupported,
    /// Never again: it was taken out of the nodes. The store goes on with others.
    Gone,
    /// Never again: the store was closed.
    Closed,
}

impl State {
    /// Whether it stays so.
    pub(crate) fn is_final(self) -> bool {
        matches!(self, Self::Gone | Self::Closed)
    }
}

/// Why a call to a node has no replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The node is away or was taken out, or its connection ended.
    Away,
    /// The time-out came first.
    Late,
    /// See [`State::Unsupported`].
    Unsupported,
    /// See [`State::Closed`].
    Closed,
}

/// What is to be removed of a key: the greater of two covers the lesser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Remove {
    /// A placeholder, if that is what is there: it may live too long.
    Placeholder,
    /// Whatever is there.
    Whatever,
}

/// What a node that was away must not serve.
#[derive(Debug, Default)]
pub(crate) struct Missed {
    pub(crate) keys: HashMap<Vec<u8>, Remove>,
    /// There were more keys than are remembered.
    pub(crate) all: bool,
}

impl Missed {
    fn is_empty(&self) -> bool {
        self.keys.is_empty() && !self.all
    }

    fn add(&mut self, key: &[u8], remove: Remove) {
        if let Some(known) = self.keys.get_mut(key) {
            *known = remove.max(*known);
        } else if self.all || self.keys.len() >= MEMCACHED_MISSED_KEYS_MAX {
            *self = Self { keys: HashMap::new(), all: true };
        } else {
            self.keys.insert(key.to_vec(), remove);
        }
    }
}

/// A node.
pub(crate) struct Node {
    pub(crate) settings: NodeSettings,
    pub(crate) connections: usize,
    pub(crate) timeout: Duration,
    state: watch::Sender<State>,
    /// Why it cannot be used, while it cannot.
    wanting: Mutex<Option<String>>,
    /// Each in its place, or none until there is a new one.
    links: RwLock<Vec<Option<Arc<Link>>>>,
    turn: AtomicUsize,
    calls: AtomicU64,
    missed: Mutex<Missed>,
    /// It may have entries of keys that it has given up to others since.
    leftovers: AtomicBool,
    /// Rung when the state has come into doubt.
    doubt: Notify,
}

/// Commands of one call before its number.
const CALL_NUMBERS: u64 = 1 << 10;

impl Node {
    /// A node of which nothing is known. With `forgets` all that it has is dropped before it is used: it may hold entries of
    /// keys that were not its own.
    pub(crate) fn new(settings: NodeSettings, connections: usize, timeout: Duration, forgets: bool) -> Self {
        Self {
            settings,
            connections,
            timeout,
            state: watch::Sender::new(State::InDoubt),
            wanting: Mutex::default(),
            links: RwLock::default(),
            turn: AtomicUsize::new(0),
            calls: AtomicU64::new(0),
            missed: Mutex::new(Missed { keys: HashMap::new(), all: forgets }),
            leftovers: AtomicBool::new(false),
            doubt: Notify::new(),
        }
    }

    pub(crate) fn state(&self) -> State {
        *self.state.borrow()
    }

    /// A connection to it, once it is known whether there is one. Whoever names a key gets the same one as long as it lasts:
    /// a write that was given up and happens late does not overtake a later one.
    pub(crate) async fn link(&self, key: Option<&[u8]>, deadline: Instant) -> Result<Arc<Link>, Trouble> {
        let state = match self.state() {
            State::InDoubt => {
                let mut state = self.state.subscribe();
                let settled = timeout_at(deadline, state.wait_for(|state| *state != State::InDoubt)).await;
                settled.map_err(|_| Trouble::Late)?.map_or(State::Closed, |state| *state)
            }
            state => state,
        };
        match state {
            State::Up => self.choose_link(key).ok_or(Trouble::Away),
            State::InDoubt | State::Away | State::Gone => Err(Trouble::Away),
            State::Unsupported => Err(Trouble::Unsupported),
            State::Closed => Err(Trouble::Closed),
        }
    }

    fn choose_link(&self, key: Option<&[u8]>) -> Option<Arc<Link>> {
        let links = self.links.read();
        let turn = match key {
            Some(key) => {
                key.iter().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)))
            }
            // Who is alone stays on one connection, and so with one thread of the server's, which is awake the sooner for that.
            None => {
                let idle = |link: &Option<Arc<Link>>| link.as_ref().is_some_and(|link| link.is_idle());
                links.iter().position(idle).unwrap_or_else(|| self.turn.fetch_add(1, Relaxed))
            }
        };
        (0..links.len())
            .filter_map(|step| links.get(turn.wrapping_add(step) % links.len())?.as_ref())
            .find(|link| !link.has_ended())
            .cloned()
    }

    /// The connection of this id, if it still is one.
    pub(crate) fn link_of(&self, id: u64) -> Option<Arc<Link>> {
        self.links.read().iter().flatten().find(|link| link.id == id && !link.has_ended()).cloned()
    }

    /// No commands yet, for this connection, with numbers that no other call of the node has.
    pub(crate) fn commands(&self, link: &Link) -> Commands {
        Commands::new(self.calls.fetch_add(1, Relaxed).wrapping_mul(CALL_NUMBERS), link.dialect)
    }

    /// Sends commands over a connection and waits for the replies.
    pub(crate) async fn call(
        &self,
        link: &Link,
        commands: Commands,
        deadline: Instant,
    ) -> Result<Vec<Received>, Trouble> {
        match timeout_at(deadline, link.call(commands)).await {
            Ok(Some(replies)) => {
                link.answers();
                Ok(replies)
            }
            Ok(None) if self.state() == State::Closed => Err(Trouble::Closed),
            Ok(None) => Err(Trouble::Away),
            Err(_) => {
                // Another connection may well answer, and must not hide that this one does not.
                if link.leaves_unanswered() >= MEMCACHED_UNANSWERED_MAX {
                    self.put_in_doubt();
                }
                Err(Trouble::Late)
            }
        }
    }

    /// It may have missed the invalidation of this key: it is not used before that was made up for.
    pub(crate) fn miss(&self, key: &[u8], remove: Remove) {
        let mut missed = self.missed.lock();
        missed.add(key, remove);
        self.put_in_doubt();
    }

    /// The ring has changed, so that some of its keys went to others, or some of others came to it. If keys can come back to
    /// it that it once gave up, all that it has is dropped: it may be older than what was there meanwhile.
    pub(crate) fn keys_moved(&self, away: bool, here: bool) {
        if here && self.leftovers.swap(false, Relaxed) {
            *self.missed.lock() = Missed { keys: HashMap::new(), all: true };
            self.put_in_doubt();
        }
        if away {
            self.leftovers.store(true, Relaxed);
        }
    }

    /// Lets the supervisor look at a node that was thought to be up.
    pub(crate) fn put_in_doubt(&self) {
        let changed = self.state.send_if_modified(|state| {
            let up = *state == State::Up;
            if up {
                *state = State::InDoubt;
            }
            up
        });
        if changed {
            self.doubt.notify_one();
        }
    }

    /// Ends it for ever with its store.
    pub(crate) fn close(&self) {
        self.end(State::Closed);
    }

    /// Ends it for ever, and not the store: calls under way can be made again, to the nodes that there are by then.
    pub(crate) fn leave(&self) {
        self.end(State::Gone);
    }

    fn end(&self, state: State) {
        self.state.send_replace(state);
        self.links.write().clear();
        self.doubt.notify_one();
    }

    /// Waits until somebody is in doubt.
    pub(crate) async fn doubted(&self) {
        self.doubt.notified().await;
    }

    pub(crate) fn set_links(&self, links: Vec<Option<Arc<Link>>>) {
        let mut held = self.links.write();
        if !self.state().is_final() {
            *held = links;
        }
    }

    /// What it has missed so far, to be made up for.
    pub(crate) fn take_missed(&self) -> Missed {
        std::mem::take(&mut self.missed.lock())
    }

    /// That could not be made up for.
    pub(crate) fn give_back(&self, back: Missed) {
        let mut missed = self.missed.lock();
        if back.all {
            *missed = back;
        } else {
            back.keys.iter().for_each(|(key, remove)| missed.add(key, *remove));
        }
    }

    /// It can be used, unless it has missed something meanwhile. Says whether it can.
    pub(crate) fn set_up(&self) -> bool {
        let missed = self.missed.lock();
        *self.wanting.lock() = None;
        missed.is_empty() && self.set(State::Up)
    }

    /// It answers and is being made fit: callers wait for what comes out.
    pub(crate) fn let_callers_wait(&self) {
        self.set(State::InDoubt);
    }

    /// It cannot be used for now, and this is why.
    pub(crate) fn set_away(&self, state: State, why: &dyn Display) {
        *self.wanting.lock() = Some(why.to_string());
        self.set(state);
    }

    /// Why it cannot be used, as it was last told.
    pub(crate) fn wanting(&self) -> Option<String> {
        match self.state() {
            State::Gone => Some("it was taken out of the nodes".to_owned()),
            _ => self.wanting.lock().clone(),
        }
    }

    fn set(&self, to: State) -> bool {
        let mut ended = false;
        self.state.send_if_modified(|state| {
            ended = state.is_final();
            let changes = !ended && *state != to;
            if changes {
                *state = to;
            }
            changes
        });
        !ended
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::commands::Dialect;
    use crate::link::carry;

    fn node() -> Node {
        Node::new("localhost".parse().unwrap(), 1, Duration::from_secs(1), false)
    }

    #[test]
    fn a_node_that_missed_something_is_not_used_before_that_was_taken() {
        let node = node();
        assert!(node.set_up());
        node.miss(b"key", Remove::Whatever);
        assert_eq!(node.state(), State::InDoubt);
        assert!(!node.set_up());
        assert_eq!(node.take_missed().keys.len(), 1);
        assert!(node.set_up());
    }

    #[test]
    fn what_could_not_be_made_up_for_is_still_missed() {
        let node = node();
        node.miss(b"one", Remove::Whatever);
        let missed = node.take_missed();
        node.miss(b"two", Remove::Whatever);
        node.give_back(missed);
        assert_eq!(node.take_missed().keys.len(), 2);
        assert!(node.take_missed().is_empty());
    }

    #[test]
    fn more_missed_keys_than_are_remembered_are_all() {
        let mut missed = Missed::default();
        for number in 0..MEMCACHED_MISSED_KEYS_MAX {
            missed.add(&number.to_be_bytes(), Remove::Whatever);
        }
        missed.add(&0usize.to_be_bytes(), Remove::Whatever);
        assert!(!missed.all && missed.keys.len() == MEMCACHED_MISSED_KEYS_MAX);
        missed.add(b"one more", Remove::Whatever);
        assert!(missed.all && missed.keys.is_empty());
        missed.add(b"another", Remove::Whatever);
        assert!(missed.all && missed.keys.is_empty());
    }

    #[test]
    fn a_node_that_was_closed_or_taken_out_stays_so() {
        for (end, state) in [(Node::close as fn(&Node), State::Closed), (Node::leave, State::Gone)] {
            let node = node();
            end(&node);
            assert!(!node.set_up());
            node.set_away(State::Away, &"it is not there");
            node.put_in_doubt();
            assert_eq!(node.state(), state);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_does_not_answer_is_not_hidden_by_another_one() {
        let node = node();
        let (ours, mut server) = duplex(1 << 16);
        let dialect = Dialect::Meta { numbers_ours: true };
        let ((deaf, _calls), (answers, calls)) = (Link::new(1, 0, dialect), Link::new(2, 0, dialect));
        let _task = tokio::spawn(carry(ours, calls));
        let _server = tokio::spawn(async move {
            let mut question = [0; 4];
            while server.read_exact(&mut question).await.is_ok() {
                server.write_all(b"MN\r\n").await.unwrap();
            }
        });
        assert!(node.set_up());
        let ask = async |link: &Link| {
            let mut commands = node.commands(link);
            commands.ask();
            node.call(link, commands, Instant::now() + Duration::from_millis(10)).await.is_ok()
        };
        for _ in 0..MEMCACHED_UNANSWERED_MAX {
            assert_eq!(node.state(), State::Up);
            assert!(ask(&answers).await && !ask(&deaf).await);
        }
        assert_eq!(node.state(), State::InDoubt);
    }

    #[tokio::test]
    async fn callers_wait_while_a_node_is_in_doubt_and_not_when_it_is_away() {
        let node = Arc::new(node());
        let soon = Instant::now() + Duration::from_millis(10);
        assert_eq!(node.link(None, soon).await.err(), Some(Trouble::Late));
        let waiting = tokio::spawn({
            let node = node.clone();
            async move { node.link(None, Instant::now() + Duration::from_secs(60)).await.err() }
        });
        tokio::task::yield_now().await;
        node.set_away(State::Away, &"it is not there");
        assert_eq!(waiting.await.unwrap(), Some(Trouble::Away));
    }
}
