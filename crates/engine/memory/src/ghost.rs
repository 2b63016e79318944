//! A memory of keys that were pushed out, two bytes each.

/// Fingerprints in one bucket, newest first; the oldest gives way. 32 bytes: one look is one cache line.
const WAYS: usize = 16;

/// Remembers between half and all of the number of keys it was sized for. A key may be taken for another one once in some
/// thousand times; that only puts an entry into the other queue.
#[derive(Default)]
pub(crate) struct Ghost {
    buckets: Vec<[u16; WAYS]>,
}

impl Ghost {
    pub(crate) fn bytes(&self) -> usize {
        self.buckets.capacity() * size_of::<[u16; WAYS]>()
    }

    /// Remembers a key, sized for `count` of them. It forgets everything when its size has to change, which is once while
    /// a store fills, and again only when the number of entries has doubled or fallen to a quarter.
    pub(crate) fn insert(&mut self, hash: u64, count: usize) {
        let wanted = 1 << (count / WAYS).max(1).ilog2();
        if wanted > self.buckets.len() || wanted * 4 <= self.buckets.len() {
            self.buckets = vec![[0; WAYS]; wanted];
        }
        let fingerprint = fingerprint(hash);
        if let Some(bucket) = self.bucket(hash) {
            bucket.rotate_right(1);
            bucket[0] = fingerprint;
        }
    }

    /// Whether the key is remembered; it is forgotten with that.
    pub(crate) fn take(&mut self, hash: u64) -> bool {
        let fingerprint = fingerprint(hash);
        let Some(bucket) = self.bucket(hash) else { return false };
        let Some(place) = bucket.iter().position(|&other| other == fingerprint) else { return false };
        bucket.copy_within(place + 1.., place);
        bucket[WAYS - 1] = 0;
        true
    }

    fn bucket(&mut self, hash: u64) -> Option<&mut [u16; WAYS]> {
        let mask = self.buckets.len().checked_sub(1)?;
        self.buckets.get_mut(hash as usize & mask)
    }
}

/// From bits that do not choose the bucket; never 0, which marks an empty place.
fn fingerprint(hash: u64) -> u16 {
    ((hash >> 40) as u16).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spreads a small number over 64 bits, as a hash would.
    fn hash(number: u64) -> u64 {
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    }

    #[test]
    fn a_key_is_remembered_until_it_is_taken() {
        let mut ghost = Ghost::default();
        assert!(!ghost.take(hash(1)), "an empty memory knows nobody");
        ghost.insert(hash(1), 100);
        ghost.insert(hash(2), 100);
        assert!(ghost.take(hash(1)));
        assert!(!ghost.take(hash(1)));
        assert!(ghost.take(hash(2)));
        assert!(!ghost.take(hash(3)));
    }

    #[test]
    fn it_remembers_the_newest_of_about_as_many_as_there_are_entries() {
        let mut ghost = Ghost::default();
        let count = 4096;
        for number in 0..10 * count {
            ghost.insert(hash(number), count as usize);
        }
        let known = |ghost: &mut Ghost, range: std::ops::Range<u64>| {
            range.filter(|&number| ghost.take(hash(number))).count() as u64
        };
        assert!(known(&mut ghost, 9 * count + count / 2..10 * count) > count * 2 / 5);
        assert!(known(&mut ghost, 0..5 * count) < count / 50);
    }

    #[test]
    fn it_takes_two_bytes_for_each_key_it_was_sized_for_and_no_more() {
        let mut ghost = Ghost::default();
        ghost.insert(hash(1), 100_000);
        assert!(ghost.bytes() <= 200_000 && ghost.bytes() >= 100_000);
        ghost.insert(hash(1), 10);
        assert!(ghost.bytes() <= 64);
    }
}
