//! A memory of keys that were pushed out, four bytes each.

/// Fingerprints in one bucket; the oldest gives way.
const WAYS: usize = 8;

/// Remembers about as many keys as it was sized for, by 32 bits of their hash. It may forget early and, rarely, take one key
/// for another: both only move an entry to another queue.
#[derive(Default)]
pub(crate) struct Ghost {
    buckets: Vec<[u32; WAYS]>,
}

impl Ghost {
    pub(crate) fn bytes(&self) -> usize {
        self.buckets.capacity() * size_of::<[u32; WAYS]>()
    }

    /// Remembers a key, with room for at least `count`. Growing forgets everything.
    pub(crate) fn insert(&mut self, hash: u64, count: usize) {
        let wanted = (count / WAYS).next_power_of_two();
        if wanted > self.buckets.len() || wanted * 4 < self.buckets.len() {
            self.buckets = vec![[0; WAYS]; wanted];
        }
        let fingerprint = fingerprint(hash);
        if let Some(bucket) = self.bucket(hash) {
            bucket.copy_within(..WAYS - 1, 1);
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

    fn bucket(&mut self, hash: u64) -> Option<&mut [u32; WAYS]> {
        let mask = self.buckets.len().checked_sub(1)?;
        self.buckets.get_mut(hash as usize & mask)
    }
}

/// Never 0, which marks an empty place.
fn fingerprint(hash: u64) -> u32 {
    (hash >> 32) as u32 | 1
}
