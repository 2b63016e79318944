//! When which name was last made invalid.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use forebay_core::entry::Version;
use forebay_core::limits::cache::TAG_STRIPES;
use forebay_core::time::Instant;

/// When which tag or namespace was last made invalid, on a count of all invalidations: a fixed number of places that names
/// share by their hash. Names that share a place are made invalid together, which costs loads and never truth; so it takes the
/// same memory for any number of names.
pub(crate) struct Marks {
    present: AtomicU64,
    places: Box<[AtomicU64]>,
    hasher: RandomState,
}

impl Marks {
    /// Nothing is invalid that is made from now on. The count starts from the clock: what an earlier run of the program has made
    /// is invalid, because its marks are gone.
    pub(crate) fn new(now: Instant) -> Self {
        let first = Version::first(now).0;
        let places = (0..TAG_STRIPES).map(|_| AtomicU64::new(first)).collect();
        Self { present: AtomicU64::new(first), places, hasher: RandomState::new() }
    }

    /// The count now. What is made from what was read after this call is good until the next invalidation.
    pub(super) fn present(&self) -> u64 {
        self.present.load(SeqCst)
    }

    /// The name's place.
    pub(super) fn place(&self, name: &[u8]) -> u16 {
        (self.hasher.hash_one(name) % TAG_STRIPES as u64) as u16
    }

    /// When the place was last made invalid.
    pub(super) fn last(&self, place: u16) -> u64 {
        self.places.get(usize::from(place)).map_or(u64::MAX, |last| last.load(SeqCst))
    }

    /// Everything made until now under this name is invalid.
    pub(super) fn invalidate(&self, name: &[u8]) {
        let number = self.present.fetch_add(1, SeqCst) + 1;
        if let Some(place) = self.places.get(usize::from(self.place(name))) {
            place.fetch_max(number, SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalidation_is_after_what_was_made_before_it_and_before_what_comes_after() {
        let marks = Marks::new(Instant::from_ms(1));
        let place = marks.place(b"a");
        let before = marks.present();
        assert!(marks.last(place) <= before);
        marks.invalidate(b"a");
        assert!(marks.last(place) > before);
        assert!(marks.last(place) <= marks.present());
    }

    #[test]
    fn what_an_earlier_run_has_made_is_invalid() {
        let earlier = Marks::new(Instant::from_ms(1));
        earlier.invalidate(b"a");
        let later = Marks::new(Instant::from_ms(2));
        assert!((0..TAG_STRIPES).all(|place| later.last(place as u16) > earlier.present()));
    }

    #[test]
    fn any_number_of_names_share_the_same_places() {
        let marks = Marks::new(Instant::from_ms(1));
        for number in 0..3 * TAG_STRIPES {
            marks.invalidate(&number.to_le_bytes());
        }
        assert_eq!(marks.places.len(), TAG_STRIPES);
    }
}
