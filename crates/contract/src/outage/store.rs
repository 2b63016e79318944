//! A load on a shared store, as two processes have it: keys that are read, loaded and invalidated all the time. Nothing older is
//! read than what was invalidated, and keys of servers that nothing is done to are not touched.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use forebay_core::entry::Mode;
use forebay_core::error::{Error, Result};
use forebay_core::ports::remote_store::{Asked, Changed, Fill, Put, RemoteStore, Shared};
use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::load::{Calls, Load, Seen, only_unavailable};
use super::{Bounds, Outage};

/// Who changes keys. Each has keys of its own, so that what it says of one is in order.
const WRITERS: usize = 2;
/// Of so many changes one is a value; the others are removals.
const CHANGES_OF_A_PUT: usize = 7;
/// A lease that does not end while its key is loaded.
const LEASE: Duration = Duration::from_secs(60);
/// The pause after a refusal, and of who is to wait for another's load.
const PAUSE: Duration = Duration::from_millis(1);
const FILL: Fill<'static> = Fill { flags: 0, life: None, tags: &[] };
const PUT: Put = Put { flags: 0, life: None, mode: Mode::Set, version: None };

/// What is loaded, and what it promises.
pub struct Stores {
    /// As each of two processes has it: the first one changes keys, and both read.
    pub all: [Arc<dyn RemoteStore>; 2],
    /// Keys of the server that is hurt.
    pub keys: Vec<String>,
    /// Keys of other servers: no call for them may fail.
    pub elsewhere: Vec<String>,
    /// What could not be invalidated is made up for: the same store reads nothing older afterwards. Else nothing older than
    /// what was confirmed is read, as every store promises.
    pub makes_up: bool,
    /// After so long all must go on.
    pub deaf_max: Duration,
}

impl Outage {
    /// Begins to read and change these keys, and waits until all of it goes on. So many consumers read over each store.
    pub fn begin_on_stores(handle: &Handle, stores: &Stores, bounds: Bounds) -> Self {
        let mut outage = Self::new(handle, bounds, stores.deaf_max);
        for (names, is_hurt) in [(&stores.keys, true), (&stores.elsewhere, false)] {
            if names.is_empty() {
                continue;
            }
            let keys = Arc::new(Keys::new(stores, names, is_hurt, bounds));
            let readers = (0..keys.hits.len()).map(|reader| handle.spawn(keys.clone().read(reader)));
            let readers = readers.collect();
            outage.load(keys.clone(), handle.spawn(keys.change()), readers);
        }
        outage.begun()
    }
}

/// A key, and what is known of it outside the store.
struct Key {
    name: String,
    /// What the source says.
    source: AtomicU64,
    /// The newest whose change was answered, however that was.
    tried: AtomicU64,
    /// The newest whose change was confirmed: nobody may read anything older.
    confirmed: AtomicU64,
}

/// Keys that are all hurt or all not.
struct Keys {
    keys: Vec<Key>,
    stores: [Arc<dyn RemoteStore>; 2],
    is_hurt: bool,
    makes_up: bool,
    pace: Duration,
    /// Changes that were.
    confirmed: AtomicU64,
    /// What each reader has read. They take the stores in turn.
    hits: Vec<AtomicU64>,
    calls: Calls,
}

impl Keys {
    fn new(stores: &Stores, names: &[String], is_hurt: bool, bounds: Bounds) -> Self {
        let key = |name: &String| Key {
            name: name.clone(),
            source: AtomicU64::new(0),
            tried: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
        };
        Self {
            keys: names.iter().map(key).collect(),
            stores: stores.all.clone(),
            is_hurt,
            makes_up: stores.makes_up,
            pace: bounds.pace,
            confirmed: AtomicU64::new(0),
            hits: (0..bounds.consumers * stores.all.len()).map(|_| AtomicU64::new(0)).collect(),
            calls: Calls::default(),
        }
    }

    async fn change(self: Arc<Self>) {
        join_all((0..WRITERS).map(|writer| self.change_own(writer))).await;
        self.calls.ended.store(true, SeqCst);
    }

    async fn change_own(&self, writer: usize) {
        let [store, _] = &self.stores;
        let own = self.keys.iter().skip(writer).step_by(WRITERS);
        for (turn, key) in own.cycle().enumerate() {
            if self.calls.is_to_stop() {
                return;
            }
            let next = key.source.fetch_add(1, SeqCst) + 1;
            let (name, value) = (key.name.as_bytes(), next.to_string());
            let changed = if turn % CHANGES_OF_A_PUT == 0 {
                self.timed(store.put(name, value.as_bytes(), PUT)).await
            } else {
                self.timed(store.remove(name, None, Duration::ZERO)).await
            };
            key.tried.store(next, SeqCst);
            match changed {
                Ok(changed) => {
                    let is_done = matches!(changed, Changed::Done(_) | Changed::NotFound);
                    assert!(is_done, "{}: {changed:?} is no answer to this", key.name);
                    key.confirmed.store(next, SeqCst);
                    self.confirmed.fetch_add(1, SeqCst);
                }
                Err(error) => {
                    self.may_fail(key, &error);
                    self.calls.refuse(&error);
                    sleep(PAUSE).await;
                }
            }
            sleep(self.pace).await;
        }
    }

    async fn read(self: Arc<Self>, reader: usize) {
        let [own, other] = &self.stores;
        let (store, is_own) = if reader.is_multiple_of(2) { (own, true) } else { (other, false) };
        for key in self.keys.iter().cycle().skip(reader * CHANGES_OF_A_PUT) {
            if self.is_done() {
                return;
            }
            let floor = if is_own && self.makes_up { &key.tried } else { &key.confirmed }.load(SeqCst);
            match self.timed(store.get_or_lease(key.name.as_bytes(), LEASE)).await {
                Ok(Asked::Hit(shared)) => {
                    let read = number(&shared);
                    assert!(read >= floor, "{}: {read} was read, {floor} was to be the oldest", key.name);
                    if let Some(hits) = self.hits.get(reader) {
                        hits.fetch_add(1, SeqCst);
                    }
                    // A store may answer without a pause.
                    yield_now().await;
                }
                Ok(Asked::Granted(grant)) => {
                    let loaded = key.source.load(SeqCst).to_string();
                    // What is changed meanwhile makes it void.
                    sleep(self.pace).await;
                    let filled = store.fill(key.name.as_bytes(), loaded.as_bytes(), FILL, grant);
                    if let Err(error) = self.timed(filled).await {
                        self.may_fail(key, &error);
                    }
                }
                Ok(Asked::Busy) => sleep(PAUSE).await,
                Err(error) => {
                    self.may_fail(key, &error);
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Notes how long a call takes.
    async fn timed<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let begun = Instant::now();
        let result = call.await;
        self.calls.took(begun.elapsed());
        result
    }

    fn may_fail(&self, key: &Key, error: &Error) {
        assert!(self.is_hurt, "{}: nothing was done to its server: {error}", key.name);
        only_unavailable(error);
    }
}

fn number(shared: &Shared) -> u64 {
    let text = std::str::from_utf8(&shared.value).expect("what was filled");
    text.parse().expect("what was filled")
}

impl Load for Keys {
    fn name(&self) -> String {
        let whose = if self.is_hurt { "that is hurt" } else { "that is not" };
        format!("keys of the server {whose}")
    }

    fn calls(&self) -> &Calls {
        &self.calls
    }

    fn is_hurt(&self) -> bool {
        self.is_hurt
    }

    /// Changed, read by all, and read by each.
    fn counts(&self, more: u64) -> Vec<u64> {
        let hits = || self.hits.iter().map(|hits| hits.load(SeqCst));
        let all = [self.confirmed.load(SeqCst), hits().sum()].map(|count| count + more);
        all.into_iter().chain(hits().map(|hits| hits + more.min(1))).collect()
    }

    /// Nothing is on its way to anybody.
    fn missing(&self) -> Vec<u64> {
        Vec::new()
    }

    /// Readers have looked all the time.
    fn check(&self) -> Seen {
        let hits = self.hits.iter().map(|hits| hits.load(SeqCst)).sum();
        Seen { confirmed: self.confirmed.load(SeqCst), again: hits }
    }
}
