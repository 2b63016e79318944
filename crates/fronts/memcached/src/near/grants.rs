//! Who may fill. Clients are told one number of a lease, as memcached has only one; the rest is remembered here.

use std::collections::HashMap;

use forebay_core::limits::near::MEMCACHED_GRANTS_MAX;
use forebay_core::ports::remote_store::Grant;
use forebay_core::time::Instant;
use parking_lot::Mutex;

/// Leases granted to clients of this front, the last of each key, and when they end. Numbers alone would not do: nodes of one
/// store may each count their own.
#[derive(Default)]
pub(super) struct Grants(Mutex<HashMap<Box<[u8]>, Ending>>);

/// A grant, and when it ends.
type Ending = (Grant, Instant);

impl Grants {
    /// Remembers a grant. Where there are too many, those whose time is over are forgotten, and all if there are none: who
    /// fills under a forgotten one is refused, and somebody loads again.
    pub(super) fn note(&self, key: &[u8], grant: Grant, ends: Instant, now: Instant) {
        let mut grants = self.0.lock();
        if grants.len() >= MEMCACHED_GRANTS_MAX {
            grants.retain(|_, (_, ends)| *ends > now);
            if grants.len() >= MEMCACHED_GRANTS_MAX {
                grants.clear();
            }
        }
        grants.insert(key.into(), (grant, ends));
    }

    /// The grant of this key and number. It serves once.
    pub(super) fn take(&self, key: &[u8], token: u64) -> Option<Grant> {
        let mut grants = self.0.lock();
        grants.get(key).filter(|(grant, _)| grant.token == token)?;
        grants.remove(key).map(|(grant, _)| grant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_ms(1_000);

    fn note(grants: &Grants, key: &[u8], token: u64, ends_ms: u64) {
        grants.note(key, Grant { token, incarnation: 7 }, Instant::from_ms(ends_ms), NOW);
    }

    #[test]
    fn a_grant_is_of_its_key_and_serves_once() {
        let grants = Grants::default();
        note(&grants, b"key", 1, 2_000);
        assert_eq!(grants.take(b"other", 1), None);
        assert_eq!(grants.take(b"key", 2), None);
        assert_eq!(grants.take(b"key", 1), Some(Grant { token: 1, incarnation: 7 }));
        assert_eq!(grants.take(b"key", 1), None);
    }

    #[test]
    fn grants_of_two_nodes_may_have_the_same_number() {
        let grants = Grants::default();
        note(&grants, b"one", 1, 2_000);
        note(&grants, b"other", 1, 2_000);
        assert!(grants.take(b"one", 1).is_some());
        assert!(grants.take(b"other", 1).is_some());
    }

    #[test]
    fn there_are_never_more_than_may_be_and_what_is_over_goes_first() {
        let grants = Grants::default();
        let noted = |number: usize, ends| note(&grants, &number.to_be_bytes(), 1, ends);
        for number in 0..MEMCACHED_GRANTS_MAX {
            noted(number, if number == 0 { 5_000 } else { 1_000 });
        }
        noted(usize::MAX, 5_000);
        assert_eq!(grants.0.lock().len(), 2);
        assert!(grants.take(&0usize.to_be_bytes(), 1).is_some());
        for number in 0..=MEMCACHED_GRANTS_MAX {
            noted(number, 5_000);
        }
        assert!(grants.0.lock().len() <= MEMCACHED_GRANTS_MAX);
        assert!(grants.take(&MEMCACHED_GRANTS_MAX.to_be_bytes(), 1).is_some());
    }
}
