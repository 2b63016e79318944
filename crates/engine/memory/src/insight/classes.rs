//! How many entries there are of which size, kept up with every change so that asking costs nothing.

use forebay_core::stats::SizeClass;

/// One class for each power of two, up to the largest key and value that can be configured and a little beyond.
const CLASSES: usize = 29;

/// Entries by the power of two that key and value together do not exceed.
#[derive(Clone, Default)]
pub(crate) struct Classes {
    classes: [Class; CLASSES],
}

#[derive(Clone, Copy, Default)]
struct Class {
    items: u64,
    bytes: u64,
}

impl Classes {
    pub(crate) fn add(&mut self, bytes: usize) {
        let class = &mut self.classes[place(bytes)];
        class.items += 1;
        class.bytes += bytes as u64;
    }

    pub(crate) fn take(&mut self, bytes: usize) {
        let class = &mut self.classes[place(bytes)];
        class.items -= 1;
        class.bytes -= bytes as u64;
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Adds another shard's.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (sum, class) in self.classes.iter_mut().zip(&other.classes) {
            sum.items += class.items;
            sum.bytes += class.bytes;
        }
    }

    /// Those in which there is an entry, the smallest first.
    pub(crate) fn filled(&self) -> Vec<SizeClass> {
        let classes = self.classes.iter().enumerate().filter(|(_, class)| class.items > 0);
        classes
            .map(|(place, class)| SizeClass { bytes_max: 1 << place, items: class.items, bytes: class.bytes })
            .collect()
    }
}

fn place(bytes: usize) -> usize {
    let place = bytes.max(1).next_power_of_two().trailing_zeros() as usize;
    place.min(CLASSES - 1)
}

#[cfg(test)]
mod tests {
    use forebay_core::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX_CEILING};

    use super::*;

    #[test]
    fn every_size_has_its_class() {
        for (bytes, bytes_max) in
            [(1, 1), (2, 2), (3, 4), (64, 64), (65, 128), (VALUE_BYTES_MAX_CEILING + KEY_BYTES_MAX, 1 << 28)]
        {
            let mut classes = Classes::default();
            classes.add(bytes);
            assert_eq!(classes.filled(), [SizeClass { bytes_max, items: 1, bytes: bytes as u64 }]);
            classes.take(bytes);
            assert_eq!(classes.filled(), []);
        }
    }
}
