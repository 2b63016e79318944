//! A load on a shared store, as two processes have it: keys that are read, loaded and invalidated all the time. Nothing older is
//! read than what was invalidated, and keys of servers that nothing is done to are not touched.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use forebay_core::entry::Mode;
use forebay_core::ports::remote_store::{Asked, Changed, Fill, Put, RemoteStore, Shared};
use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::load::Load;
use super::tally::Tally;
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
    makes_up: bool,
    pace: Duration,
    /// Readers take the stores in turn.
    tally: Arc<Tally>,
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
            makes_up: stores.makes_up,
            pace: bounds.pace,
            tally: Arc::new(Tally::new(bounds.consumers * stores.all.len(), is_hurt)),
        }
    }

    async fn change(self: Arc<Self>) {
        join_all((0..WRITERS).map(|writer| self.change_own(writer))).await;
        self.tally.calls.ended.store(true, SeqCst);
    }

    async fn change_own(&self, writer: usize) {
        let [store, _] = &self.stores;
        let own = self.keys.iter().skip(writer).step_by(WRITERS);
        for (turn, key) in own.cycle().enumerate() {
            if self.tally.calls.is_to_stop() {
                return;
            }
            let next = key.source.fetch_add(1, SeqCst) + 1;
            let (name, value) = (key.name.as_bytes(), next.to_string());
            let changed = if turn % CHANGES_OF_A_PUT == 0 {
                self.tally.timed(store.put(name, value.as_bytes(), PUT)).await
            } else {
                self.tally.timed(store.remove(name, None, Duration::ZERO)).await
            };
            key.tried.store(next, SeqCst);
            match changed {
                Ok(changed) => {
                    let is_done = matches!(changed, Changed::Done(_) | Changed::NotFound);
                    assert!(is_done, "{}: {changed:?} is no answer to this", key.name);
                    key.confirmed.store(next, SeqCst);
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
        let [own, other] = &self.stores;
        let (store, is_own) = if reader.is_multiple_of(2) { (own, true) } else { (other, false) };
        for key in self.keys.iter().cycle().skip(reader * CHANGES_OF_A_PUT) {
            if self.tally.is_done() {
                return;
            }
            let floor = if is_own && self.makes_up { &key.tried } else { &key.confirmed }.load(SeqCst);
            match self.tally.timed(store.get_or_lease(key.name.as_bytes(), LEASE)).await {
                Ok(Asked::Hit(shared)) => {
                    let read = number(&shared);
                    assert!(read >= floor, "{}: {read} was read, {floor} was to be the oldest", key.name);
                    self.tally.hit(reader);
                    // A store may answer without a pause.
                    yield_now().await;
                }
                Ok(Asked::Granted(grant)) => {
                    let loaded = key.source.load(SeqCst).to_string();
                    // What is changed meanwhile makes it void.
                    sleep(self.pace).await;
                    let filled = store.fill(key.name.as_bytes(), loaded.as_bytes(), FILL, grant);
                    if let Err(error) = self.tally.timed(filled).await {
                        self.tally.may_fail(&key.name, &error);
                    }
                }
                Ok(Asked::Busy) => sleep(PAUSE).await,
                Err(error) => {
                    self.tally.may_fail(&key.name, &error);
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

fn number(shared: &Shared) -> u64 {
    let text = std::str::from_utf8(&shared.value).expect("what was filled");
    text.parse().expect("what was filled")
}
