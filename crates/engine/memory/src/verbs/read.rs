//! Reads: what is shown, who is granted the lease, what a look leaves behind.

use forebay_core::entry::{Claim, Read, View};

use crate::records::record::{Header, Marks, seconds};
use crate::shard::{Cause, Fields, Shard};

impl Shard {
    /// `LocalStore::read`.
    pub(crate) fn read(
        &mut self,
        hash: u64,
        key: &[u8],
        read: Read,
        visit: &mut dyn FnMut(View<'_>),
    ) -> bool {
        let expired = self.counts.expired;
        let Some(found) = self.find(hash, key, read.now) else {
            self.counts.misses += u64::from(read.counts);
            self.counts.misses_expired += (self.counts.expired - expired) * u64::from(read.counts);
            return self.vivify(hash, key, read, visit);
        };
        let mut header = found.header;
        let claim = claim(&mut header, read);
        if let Some(expiry) = read.touch {
            header.set_expiry(expiry);
        }
        visit(header.view(self.heap.value(found.position, &header), claim));
        if read.counts {
            header.accessed = seconds(read.now);
            header.marks.set(Marks::READ);
            header.marks.set_uses(header.marks.uses() + 1);
            if header.marks.has(Marks::LEASED) {
                self.counts.misses += 1;
            } else {
                self.counts.hits += 1;
                if self.sampler.is_due(self.counts.hits) {
                    self.sampled(hash, key, read.now);
                }
            }
        }
        // Most reads of a hot entry change nothing: its memory is not written, and stays in other cores' caches.
        if header != found.header {
            self.heap.set_header(found.position, &header);
        }
        if read.touch.is_some() && header.expired(read.now) {
            self.remove(hash, found.position, Cause::Over);
        }
        true
    }

    /// Leaves a leased placeholder where that was asked for, and shows it to its owner.
    fn vivify(&mut self, hash: u64, key: &[u8], read: Read, visit: &mut dyn FnMut(View<'_>)) -> bool {
        let Some(expires_at) = read.lease else { return false };
        let marks = Marks::LEASED.with(Marks::CLAIMED);
        let fields = Fields { now: read.now, flags: 0, expires_at, marks, named: read.named };
        let found = self.insert(hash, key, &[], fields);
        visit(found.header.view(&[], Claim::Won));
        // Its owner has read it, as far as the next reader is concerned.
        if read.counts {
            let mut header = found.header;
            header.marks.set(Marks::READ);
            self.heap.set_header(found.position, &header);
        }
        true
    }
}

/// One reader wins what needs loading; everybody after it has lost until the entry is written.
/// A reader that asks for no lease in any form is never granted one: it would not load.
fn claim(header: &mut Header, read: Read) -> Claim {
    if header.marks.has(Marks::CLAIMED) {
        return Claim::Lost;
    }
    let would_load = read.lease.is_some() || read.refresh_below_ms.is_some();
    let unsound = header.marks.has(Marks::STALE.with(Marks::LEASED));
    let ends_soon = match (header.expiry(), read.refresh_below_ms) {
        (Some(at), Some(below)) => at.since(read.now).as_millis() < u128::from(below),
        _ => false,
    };
    if would_load && (unsound || ends_soon) {
        header.marks.set(Marks::CLAIMED);
        return Claim::Won;
    }
    Claim::None
}
