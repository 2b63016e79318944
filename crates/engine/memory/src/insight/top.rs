//! The keys that are read most, from a sample of the hits: space-saving with counts that fade.
//!
//! Metwally, Agrawal, El Abbadi: "Efficient computation of frequent and top-k elements in data streams", ICDT 2005. A key that
//! is not among the candidates takes the place of the least of them, and inherits its count as its error.

use forebay_core::limits::KEY_BYTES_MAX;
use forebay_core::limits::memory::{SAMPLE_READS, TOP_FADE, TOP_KEYS, TOP_SHOWN_MAX};
use forebay_core::stats::TopKey;
use forebay_core::time::Instant;
use parking_lot::Mutex;

/// When a shard's next hit is a sample. A sample stands for all hits since the one before, so that few reads are known at
/// once and many cost little.
pub(crate) struct Sampler {
    sampled: u64,
    next: u64,
    random: u32,
}

impl Sampler {
    /// Shards with different seeds do not sample in step.
    pub(crate) fn new(seed: u32) -> Self {
        Self { sampled: 0, next: 1, random: seed | 1 }
    }

    /// Whether the latest hit is a sample.
    pub(crate) fn is_due(&self, hits: u64) -> bool {
        hits >= self.next
    }

    /// How many hits this sample stands for. The gaps to the next one differ, so that a pattern in the reads is not
    /// mistaken for a favourite.
    pub(crate) fn take(&mut self, hits: u64) -> u64 {
        let weight = hits - self.sampled;
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        let gap_max = (hits / 8).clamp(1, 2 * SAMPLE_READS);
        self.sampled = hits;
        self.next = hits + 1 + u64::from(self.random) % gap_max;
        weight
    }
}

/// The candidates. All its memory is there from the start: noting a key allocates nothing.
pub(crate) struct Top {
    sketch: Mutex<Sketch>,
}

struct Sketch {
    hashes: [u64; TOP_KEYS],
    /// Reads, and how many of them may be others'.
    counts: [u64; TOP_KEYS],
    errors: [u64; TOP_KEYS],
    keys: Box<[Key]>,
    faded_at: Instant,
}

#[derive(Clone, Copy)]
struct Key {
    length: u8,
    bytes: [u8; KEY_BYTES_MAX],
}

impl Key {
    fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    fn set(&mut self, key: &[u8]) {
        let length = key.len().min(KEY_BYTES_MAX);
        self.bytes[..length].copy_from_slice(&key[..length]);
        self.length = u8::try_from(length).unwrap_or(u8::MAX);
    }
}

impl Default for Top {
    fn default() -> Self {
        let keys = vec![Key { length: 0, bytes: [0; KEY_BYTES_MAX] }; TOP_KEYS].into();
        let sketch = Sketch {
            hashes: [0; TOP_KEYS],
            counts: [0; TOP_KEYS],
            errors: [0; TOP_KEYS],
            keys,
            faded_at: Instant::default(),
        };
        Self { sketch: Mutex::new(sketch) }
    }
}

impl Top {
    /// Notes a sample. Where another thread is at it, this one is let go: a hit waits for nobody.
    pub(crate) fn note(&self, hash: u64, key: &[u8], weight: u64, now: Instant) {
        if let Some(mut sketch) = self.sketch.try_lock() {
            sketch.fade(now);
            sketch.note(hash, key, weight);
        }
    }

    /// The keys most of whose reads are certain, those with the most reads first.
    pub(crate) fn keys(&self) -> Vec<TopKey> {
        let mut keys = self.sketch.lock().known();
        keys.sort_unstable_by(|one, other| other.reads.cmp(&one.reads).then_with(|| one.key.cmp(&other.key)));
        keys.truncate(TOP_SHOWN_MAX);
        keys
    }
}

impl Sketch {
    fn note(&mut self, hash: u64, key: &[u8], weight: u64) {
        let known = self.hashes.iter().position(|known| *known == hash);
        let place = known.filter(|place| self.keys[*place].bytes() == key).unwrap_or_else(|| {
            let least = self.counts.iter().enumerate().min_by_key(|(_, count)| **count);
            let place = least.map_or(0, |(place, _)| place);
            self.hashes[place] = hash;
            self.errors[place] = self.counts[place];
            self.keys[place].set(key);
            place
        });
        self.counts[place] += weight;
    }

    /// Halves all counts for every while that has passed: what was read long ago does not count as much.
    fn fade(&mut self, now: Instant) {
        if self.faded_at == Instant::default() {
            self.faded_at = now;
        }
        let halvings = now.since(self.faded_at).as_millis() / TOP_FADE.as_millis();
        let Ok(halvings @ 1..) = u32::try_from(halvings) else { return };
        self.faded_at = now;
        for count in self.counts.iter_mut().chain(&mut self.errors) {
            *count = count.checked_shr(halvings).unwrap_or(0);
        }
    }

    fn known(&self) -> Vec<TopKey> {
        let counted = self.counts.iter().zip(&self.errors).zip(&self.keys);
        let certain = counted.filter(|((count, error), _)| **count > **error * 2);
        certain
            .map(|((&reads, &reads_error), key)| TopKey { key: key.bytes().to_vec(), reads, reads_error })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_ms(1_700_000_000_000);

    fn note(top: &Top, number: u64, weight: u64, now: Instant) {
        top.note(number.wrapping_mul(0x9e37_79b9_7f4a_7c15), &number.to_be_bytes(), weight, now);
    }

    #[test]
    fn favourites_are_found_among_many_others_and_their_reads_lie_within_the_error() {
        let top = Top::default();
        let mut reads = [0; 10];
        for step in 0..200_000u64 {
            let favourite = step % 20;
            if favourite < 10 && step / 20 % (favourite + 1) == 0 {
                note(&top, favourite, 1, NOW);
                reads[favourite as usize] += 1;
            }
            note(&top, 1_000 + step % 50_000, 1, NOW);
        }
        let keys = top.keys();
        assert!(keys.len() < 20, "what is read now and then does not stand out: {keys:?}");
        for favourite in [0u64, 1, 2, 3] {
            let found = keys.iter().find(|key| key.key == favourite.to_be_bytes());
            let Some(found) = found else { panic!("{favourite} is not among {keys:?}") };
            let truly = reads[favourite as usize];
            assert!(found.reads >= truly && found.reads - found.reads_error <= truly, "{found:?} {truly}");
        }
        assert!(keys.is_sorted_by(|one, other| one.reads >= other.reads));
    }

    #[test]
    fn reads_fade_with_time() {
        let top = Top::default();
        note(&top, 1, 1_000, NOW);
        let later = NOW + TOP_FADE * 3;
        note(&top, 2, 500, later);
        let reads: Vec<_> = top.keys().iter().map(|key| key.reads).collect();
        assert_eq!(reads, [500, 125]);
        note(&top, 3, 7, later + TOP_FADE * 1_000);
        assert_eq!(top.keys().len(), 1, "in the end they are forgotten");
    }

    #[test]
    fn samples_stand_for_all_hits_and_become_rare_with_many() {
        let mut sampler = Sampler::new(7);
        let (mut samples, mut weights, mut last) = (0, 0, 0);
        for hits in 1..=1_000_000 {
            if sampler.is_due(hits) {
                samples += 1;
                weights += sampler.take(hits);
                last = hits;
            }
            if hits == 10 {
                assert!(samples >= 5, "few hits are almost all known");
            }
        }
        assert_eq!(weights, last);
        let expected = 1_000_000 / SAMPLE_READS;
        assert!((expected / 2..expected * 2).contains(&samples), "{samples} samples");
    }

    #[test]
    fn the_longest_key_is_kept_whole() {
        let top = Top::default();
        let key = vec![b'k'; KEY_BYTES_MAX];
        top.note(1, &key, 1, NOW);
        assert_eq!(top.keys(), [TopKey { key, reads: 1, reads_error: 0 }]);
    }
}
