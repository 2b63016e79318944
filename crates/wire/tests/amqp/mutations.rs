//! Valid frames with octets changed, put in and left out, the same ones in every run.

use allocation_counter::measure;

use crate::samples::{frames, refused};
use crate::stream::read;
use crate::walk::walk;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 as usize % bound.max(1)
    }

    fn octet(&mut self) -> u8 {
        // Lengths, letters of types and ends are what is worth hitting.
        const TELLING: [u8; 12] = [0, 1, 8, 0x7f, 0x80, 0xce, 0xff, b'F', b'A', b'S', b'x', b'V'];
        if self.below(2) == 0 { TELLING[self.below(TELLING.len())] } else { self.below(256) as u8 }
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let place = self.below(bytes.len());
        match self.below(5) {
            0 if !bytes.is_empty() => bytes[place] ^= 1 << self.below(8),
            1 if !bytes.is_empty() => bytes[place] = self.octet(),
            2 => bytes.insert(place, self.octet()),
            3 if !bytes.is_empty() => drop(bytes.remove(place)),
            _ => {
                let from = self.below(other.len());
                let until = from + self.below(other.len() - from);
                bytes.splice(place..place, other[from..until].iter().copied());
            }
        }
    }
}

#[test]
fn a_mutated_frame_is_read_or_refused_and_nothing_is_allocated() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let seeds: Vec<Vec<u8>> = frames().into_iter().chain(refused()).collect();
    let (mut whole, mut refused) = (0, 0);
    for round in 0..60_000 {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..=random.below(4) {
            let other = random.below(seeds.len());
            random.mutate(&mut bytes, &seeds[other]);
        }
        let mut complete = false;
        let allocations = measure(|| complete = walk(&bytes)).count_total;
        assert_eq!(allocations, 0, "{}", bytes.escape_ascii());
        if complete {
            whole += 1
        } else {
            refused += 1
        }
        if round % 8 == 0 {
            let half = bytes.len() / 2;
            assert_eq!(read(&[&bytes]), read(&[&bytes[..half], &bytes[half..]]));
        }
    }
    // Mutations that all fail at once, or none at all, would show nothing.
    assert!(whole > 5_000 && refused > 5_000, "{whole} read, {refused} refused");
}
