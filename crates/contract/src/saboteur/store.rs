//! A store that forgets whenever it likes and refuses writes for want of room.

use std::sync::Arc;

use forebay_core::entry::{
    Arithmetic, Condition, Counted, Delete, Deleted, Lease, Mode, Read, View, Write, Written,
};
use forebay_core::ports::local_store::LocalStore;
use forebay_core::stats::StoreStats;
use forebay_core::time::Instant;
use parking_lot::Mutex;

use crate::random::Random;

/// Wraps a sound store. Before one call in a few it forgets the key; one write in a few is refused as `NoRoom` or
/// `TooLarge`, with what that means for the older value.
pub struct StoreSaboteur {
    store: Arc<dyn LocalStore>,
    /// One lock around everything: what it does in two steps is seen as one.
    random: Mutex<Random>,
    forgets_one_in: u64,
    refuses_one_in: u64,
}

impl StoreSaboteur {
    /// Forgets before one call in four and refuses one write in eight.
    pub fn new(store: Arc<dyn LocalStore>, seed: u64) -> Self {
        Self { store, random: Mutex::new(Random::new(seed)), forgets_one_in: 4, refuses_one_in: 8 }
    }

    fn forget(&self, random: &mut Random, key: &[u8], now: Instant) {
        if random.one_in(self.forgets_one_in) {
            self.store.delete(key, Delete::at(now));
        }
    }
}

impl LocalStore for StoreSaboteur {
    fn read(&self, key: &[u8], read: Read, visit: &mut dyn FnMut(View<'_>)) -> bool {
        let mut random = self.random.lock();
        self.forget(&mut random, key, read.now);
        self.store.read(key, read, visit)
    }

    fn takes_names(&self, key: &[u8]) -> bool {
        self.store.takes_names(key)
    }

    fn write(&self, key: &[u8], value: &[u8], write: Write) -> Written {
        let mut random = self.random.lock();
        self.forget(&mut random, key, write.now);
        if !random.one_in(self.refuses_one_in) {
            return self.store.write(key, value, write);
        }
        let refusal = if random.one_in(2) { Written::NoRoom } else { Written::TooLarge };
        if write.mode == Mode::Set && !matches!(write.condition, Condition::Version(_)) {
            // A condition that does not hold is said before there is a want of room.
            let written = self.store.write(key, value, write);
            if !matches!(written, Written::Stored(_)) {
                return written;
            }
            self.store.delete(key, Delete::at(write.now));
        }
        refusal
    }

    fn delete(&self, key: &[u8], delete: Delete) -> Deleted {
        let mut random = self.random.lock();
        self.forget(&mut random, key, delete.now);
        self.store.delete(key, delete)
    }

    fn count(&self, key: &[u8], arithmetic: Arithmetic) -> Counted {
        let mut random = self.random.lock();
        self.forget(&mut random, key, arithmetic.now);
        self.store.count(key, arithmetic)
    }

    fn lease(&self, key: &[u8]) -> Lease {
        let _random = self.random.lock();
        self.store.lease(key)
    }

    fn flush(&self, at: Instant, now: Instant) {
        let _random = self.random.lock();
        self.store.flush(at, now);
    }

    fn sweep(&self, now: Instant) -> usize {
        self.store.sweep(now)
    }

    fn stats(&self) -> StoreStats {
        self.store.stats()
    }
}
