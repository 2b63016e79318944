//! Counters kept as decimal text.

use forebay_core::entry::{Arithmetic, Counted, Expiry, Step, Version};

use super::decimal::{Decimal, parse};
use crate::records::record::{Marks, seconds};
use crate::shard::{Fields, Shard};

impl Shard {
    /// `LocalStore::count`.
    pub(crate) fn count(&mut self, hash: u64, key: &[u8], arithmetic: Arithmetic) -> Counted {
        let Some(found) = self.find(hash, key, arithmetic.now) else {
            return self.create_counter(hash, key, arithmetic);
        };
        let mut header = found.header;
        if arithmetic.version.is_some_and(|version| version.0 != header.version) {
            return Counted::Exists;
        }
        let value = self.heap.value(found.position, &header);
        let Some(present) = parse(value) else { return Counted::NotNumber };
        let number = match arithmetic.step {
            Step::Up => present.wrapping_add(arithmetic.delta),
            Step::Down => present.saturating_sub(arithmetic.delta),
        };
        let text = Decimal::new(number);
        let grows = text.as_bytes().len() > value.len();
        let expires_at = arithmetic.touch.unwrap_or(header.expiry());
        self.counts.writes += 1;
        if grows {
            // An invalidated number does not become true by counting: the marks stay.
            let marks = header.marks;
            let fields = Fields {
                now: arithmetic.now,
                flags: header.flags,
                expires_at,
                marks,
                named: arithmetic.named,
            };
            let version = self.overwrite(hash, found, key, text.as_bytes(), fields);
            return counted(number, version, expires_at, false);
        }
        header.version = self.version_of(hash, arithmetic.named);
        header.set_expiry(expires_at);
        header.accessed = seconds(arithmetic.now);
        header.marks.set_uses(header.marks.uses() + 1);
        self.heap.set_header(found.position, &header);
        text.write_padded(self.heap.value_mut(found.position, &header));
        counted(number, header.version, expires_at, false)
    }

    fn create_counter(&mut self, hash: u64, key: &[u8], arithmetic: Arithmetic) -> Counted {
        let Some((number, expires_at)) = arithmetic.create else { return Counted::NotFound };
        self.counts.writes += 1;
        let text = Decimal::new(number);
        let (now, named) = (arithmetic.now, arithmetic.named);
        let fields = Fields { now, flags: 0, expires_at, marks: Marks::default(), named };
        let found = self.insert(hash, key, text.as_bytes(), fields);
        counted(number, found.header.version, expires_at, true)
    }
}

fn counted(number: u64, version: u64, expires_at: Expiry, created: bool) -> Counted {
    Counted::Value { number, version: Version(version), expires_at, created }
}
