//! Which keys are pinned results: those that begin with one of these.

use std::fmt;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::KEY_BYTES_MAX;
use forebay_core::limits::memory::PINNED_PREFIXES_MAX;

/// What the daemon pins unless told otherwise: Celery's results, its groups and its chords' counters, as its memcached
/// backend names them, and results of tasks under `task:`.
const DEFAULT: [&str; 4] = ["celery-task-meta-", "celery-taskset-meta-", "chord-unlock-", "task:"];

/// Beginnings of keys. None by default.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Prefixes {
    all: Vec<Box<[u8]>>,
    /// By first byte, whether any begins with it: most keys are told apart by that.
    first: [u64; 4],
}

/// As text: people read it in logs.
impl fmt::Debug for Prefixes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all.iter().map(|prefix| String::from_utf8_lossy(prefix))).finish()
    }
}

impl Prefixes {
    /// `Invalid`: an empty one, which every key begins with, one that no key can begin with, or too many.
    pub fn new(all: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Result<Self> {
        let mut prefixes = Self::default();
        for prefix in all {
            let prefix = prefix.as_ref();
            let shown = || format!("{:?}", String::from_utf8_lossy(prefix));
            if prefix.is_empty() || prefix.len() > KEY_BYTES_MAX {
                return Err(Error::new(Kind::Invalid, "pin keys with prefix", shown())
                    .because("expected 1 to 250 bytes"));
            }
            if prefixes.all.len() == PINNED_PREFIXES_MAX {
                return Err(
                    Error::new(Kind::Invalid, "pin keys with prefix", shown()).because("too many prefixes")
                );
            }
            prefixes.add(prefix);
        }
        Ok(prefixes)
    }

    /// What the daemon pins unless told otherwise.
    pub fn usual() -> Self {
        DEFAULT.into_iter().fold(Self::default(), |mut prefixes, prefix| {
            prefixes.add(prefix.as_bytes());
            prefixes
        })
    }

    fn add(&mut self, prefix: &[u8]) {
        let first = prefix.first().copied().unwrap_or(0);
        if let Some(word) = self.first.get_mut(usize::from(first >> 6)) {
            *word |= 1 << (first & 63);
        }
        self.all.push(prefix.into());
    }

    /// Whether the key begins with one of them.
    pub fn has(&self, key: &[u8]) -> bool {
        let Some(first) = key.first() else { return false };
        let word = self.first.get(usize::from(first >> 6)).copied().unwrap_or(0);
        word >> (first & 63) & 1 == 1 && self.all.iter().any(|prefix| key.starts_with(prefix))
    }

    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All of them, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.all.iter().map(AsRef::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_pinned_by_its_beginning_alone() {
        let prefixes = Prefixes::usual();
        assert_eq!(Prefixes::new(DEFAULT).unwrap(), prefixes);
        for key in ["celery-task-meta-7", "celery-taskset-meta-", "chord-unlock-x", "task:"] {
            assert!(prefixes.has(key.as_bytes()), "{key}");
        }
        for key in ["", "t", "task", "Task:7", "my-task:7", "celery-task-met", "chord"] {
            assert!(!prefixes.has(key.as_bytes()), "{key}");
        }
        assert!(!Prefixes::default().has(b"task:7"));
        assert!(Prefixes::new([[0xff]]).unwrap().has(&[0xff, 1]));
    }

    #[test]
    fn a_prefix_that_pins_everything_or_nothing_is_refused() {
        assert!(Prefixes::new([""]).is_err());
        assert!(Prefixes::new(["x".repeat(KEY_BYTES_MAX + 1)]).is_err());
        assert!(Prefixes::new(vec!["x"; PINNED_PREFIXES_MAX]).is_ok());
        assert!(Prefixes::new(vec!["x"; PINNED_PREFIXES_MAX + 1]).is_err());
    }
}
