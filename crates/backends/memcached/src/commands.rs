//! The protocol's commands as bytes. Each carries a number that its reply must bring back.

use std::fmt::Arguments;
use std::io::Write;

/// Flags of an entry that holds a key after an invalidation: there is no value, and nobody is to load one yet. No client may
/// use them.
pub(crate) const HELD_FLAGS: u32 = 0xf07e_bae1;

/// The commands of one call, sent one after another without a pause.
#[derive(Debug)]
pub(crate) struct Commands {
    /// What is sent.
    pub(crate) bytes: Vec<u8>,
    /// The number of the first one; they are counted on from it.
    pub(crate) first: u64,
    /// How many there are, the closing `mn` apart.
    pub(crate) count: u64,
    /// Only what is not a miss is answered, and then comes the answer to `mn`.
    pub(crate) quiet: bool,
}

impl Commands {
    /// None yet, numbered from `first` on.
    pub(crate) fn new(first: u64) -> Self {
        Self { bytes: Vec::with_capacity(128), first, count: 0, quiet: false }
    }

    /// `mg`, `md` or `ma` with these flags.
    pub(crate) fn line(&mut self, verb: &str, key: &[u8], flags: Arguments<'_>) {
        self.begin(verb, key);
        self.end(flags);
    }

    /// `ms` with these flags.
    pub(crate) fn store(&mut self, key: &[u8], value: &[u8], flags: Arguments<'_>) {
        self.begin("ms", key);
        self.put(format_args!(" {}", value.len()));
        self.bytes.reserve(value.len() + 64);
        self.end(flags);
        self.bytes.extend_from_slice(value);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// A command without key and flags, whose reply brings no number.
    pub(crate) fn plain(&mut self, line: &str) {
        self.bytes.extend_from_slice(line.as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
        self.count += 1;
    }

    /// Closes a call whose commands are quiet.
    pub(crate) fn close_quiet(&mut self) {
        self.bytes.extend_from_slice(b"mn\r\n");
        self.quiet = true;
    }

    fn begin(&mut self, verb: &str, key: &[u8]) {
        self.bytes.extend_from_slice(verb.as_bytes());
        self.bytes.push(b' ');
        self.bytes.extend_from_slice(key);
    }

    fn end(&mut self, flags: Arguments<'_>) {
        let number = self.first.wrapping_add(self.count);
        self.put(format_args!(" {flags} O{number}\r\n"));
        self.count += 1;
    }

    fn put(&mut self, text: Arguments<'_>) {
        // Writing to memory does not fail.
        let _ = self.bytes.write_fmt(text);
    }
}

/// Whether memcached takes it for one word of a line.
pub(crate) fn is_key(key: &[u8]) -> bool {
    (1..=forebay_core::limits::KEY_BYTES_MAX).contains(&key.len())
        && key.iter().all(|byte| *byte > b' ' && *byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_numbered_from_the_first_on() {
        let mut commands = Commands::new(7);
        commands.line("mg", b"key", format_args!("v q"));
        commands.store(b"key", b"a\r\n", format_args!("T{} c", -1));
        commands.close_quiet();
        assert_eq!(commands.bytes, b"mg key v q O7\r\nms key 3 T-1 c O8\r\na\r\n\r\nmn\r\n");
        assert_eq!((commands.count, commands.quiet), (2, true));
    }

    #[test]
    fn what_would_end_a_word_or_line_is_no_key() {
        for key in [&b""[..], b"a b", b"a\r\nflush_all", b"a\0", b"a\x7f", &[b'k'; 251]] {
            assert!(!is_key(key), "{key:?}");
        }
        assert!(is_key(b"k") && is_key(&[b'k'; 250]) && is_key("\u{e9}".as_bytes()));
    }
}
