//! Counters kept as decimal text.

use forebay_core::entry::{Arithmetic, Counted, Step, Version};

use crate::decimal::{Decimal, parse};
use crate::policy::Policy;
use crate::shard::{Fields, Shard};
use crate::slot::{Marks, joined, seconds};
use crate::write::Leftover;

impl<P: Policy> Shard<P> {
    /// `LocalStore::count`.
    pub(crate) fn count(&mut self, hash: u64, key: &[u8], arithmetic: Arithmetic) -> (Counted, Leftover) {
        let Some(index) = self.find(hash, key, arithmetic.now) else {
            return (self.create_counter(hash, key, arithmetic), None);
        };
        let slot = self.slots.at(index);
        if arithmetic.version.is_some_and(|version| version.0 != slot.version) {
            return (Counted::Exists, None);
        }
        let Some(present) = parse(slot.value()) else { return (Counted::NotNumber, None) };
        let number = match arithmetic.step {
            Step::Up => present.wrapping_add(arithmetic.delta),
            Step::Down => present.saturating_sub(arithmetic.delta),
        };
        let expires_at = arithmetic.touch.unwrap_or(slot.expiry());
        let text = Decimal::new(number);
        self.counts.writes += 1;
        if text.as_bytes().len() > slot.value().len() {
            let bytes = joined(&[key, text.as_bytes()]);
            let marks = slot.marks;
            let fields = Fields { now: arithmetic.now, flags: slot.flags, expires_at, marks };
            let (version, old) = self.overwrite(index, bytes, fields);
            return (counted(number, version, expires_at, false), Some(old));
        }
        let version = self.next_version();
        let slot = self.slots.at_mut(index);
        text.write_padded(slot.value_mut());
        slot.version = version;
        slot.set_expiry(expires_at);
        slot.accessed = seconds(arithmetic.now);
        self.hit(index);
        (counted(number, version, expires_at, false), None)
    }

    fn create_counter(&mut self, hash: u64, key: &[u8], arithmetic: Arithmetic) -> Counted {
        let Some((number, expires_at)) = arithmetic.create else { return Counted::NotFound };
        self.counts.writes += 1;
        let bytes = joined(&[key, Decimal::new(number).as_bytes()]);
        let fields = Fields { now: arithmetic.now, flags: 0, expires_at, marks: Marks::default() };
        let index = self.insert(hash, key.len(), bytes, fields);
        counted(number, self.slots.at(index).version, expires_at, true)
    }
}

fn counted(number: u64, version: u64, expires_at: forebay_core::entry::Expiry, created: bool) -> Counted {
    Counted::Value { number, version: Version(version), expires_at, created }
}
