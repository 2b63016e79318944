//! Reads: what is shown, who is granted the lease, what a look leaves behind.

use forebay_core::entry::{Claim, Read, View};

use crate::policy::Policy;
use crate::shard::{Cause, Fields, Shard};
use crate::slot::{Marks, Slot, seconds, view};

impl<P: Policy> Shard<P> {
    /// `LocalStore::read`.
    pub(crate) fn read(
        &mut self,
        hash: u64,
        key: &[u8],
        read: Read,
        visit: &mut dyn FnMut(View<'_>),
    ) -> bool {
        let Some(index) = self.find(hash, key, read.now) else {
            self.counts.misses += u64::from(read.counts);
            return self.vivify(hash, key, read, visit);
        };
        let claim = claim(self.slots.at_mut(index), read);
        if let Some(expiry) = read.touch {
            self.slots.at_mut(index).set_expiry(expiry);
        }
        visit(view(self.slots.at(index), claim));
        if read.counts {
            let slot = self.slots.at_mut(index);
            slot.accessed = seconds(read.now);
            slot.marks.set(Marks::READ);
            if slot.marks.has(Marks::LEASED) {
                self.counts.misses += 1;
            } else {
                self.counts.hits += 1;
            }
            self.hit(index);
        }
        if read.touch.is_some() && self.slots.at(index).expired(read.now) {
            self.remove(index, hash, Cause::Over);
        }
        true
    }

    /// Leaves a leased placeholder where that was asked for, and shows it to its owner.
    fn vivify(&mut self, hash: u64, key: &[u8], read: Read, visit: &mut dyn FnMut(View<'_>)) -> bool {
        let Some(expires_at) = read.lease else { return false };
        let marks = Marks::LEASED.with(Marks::CLAIMED);
        let bytes = Self::prepare(key, &[]);
        let index =
            self.insert(hash, key.len(), bytes, Fields { now: read.now, flags: 0, expires_at, marks });
        visit(view(self.slots.at(index), Claim::Won));
        // Its owner has read it, as far as the next reader is concerned.
        if read.counts {
            self.slots.at_mut(index).marks.set(Marks::READ);
        }
        true
    }
}

/// One reader wins what needs loading; everybody after it has lost until the entry is written.
/// A reader that asks for no lease in any form is never granted one: it would not load.
fn claim(slot: &mut Slot, read: Read) -> Claim {
    if slot.marks.has(Marks::CLAIMED) {
        return Claim::Lost;
    }
    let can_load = read.lease.is_some() || read.refresh_below_ms.is_some();
    let unsound = slot.marks.has(Marks::STALE.with(Marks::LEASED));
    let ends_soon = match (slot.expiry(), read.refresh_below_ms) {
        (Some(at), Some(below)) => at.since(read.now).as_millis() < u128::from(below),
        _ => false,
    };
    if can_load && (unsound || ends_soon) {
        slot.marks.set(Marks::CLAIMED);
        return Claim::Won;
    }
    Claim::None
}
