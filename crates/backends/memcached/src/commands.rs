//! The protocol's commands as bytes, in the words of today's servers (the meta commands) or in those of all servers (the
//! classic ones). A meta command carries a number that its reply must bring back; of the others the order tells.

use std::fmt::{self, Arguments};
use std::io::Write;

use forebay_core::entry::Step;

/// Flags of an entry that holds a key after an invalidation: there is no value, and nobody is to load one yet. No client may
/// use them.
pub(crate) const HELD_FLAGS: u32 = 0xf07e_bae1;
/// Flags of an entry that holds a key for the one who loads its value, where the server does not mark it itself.
pub(crate) const LEASED_FLAGS: u32 = 0xf07e_bae2;

/// Which words a server understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// The meta commands.
    Meta {
        /// It takes version numbers from the client (1.6.27 and later).
        numbers_ours: bool,
    },
    /// Only the classic ones.
    Classic,
}

/// What is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) value: &'a [u8],
    pub(crate) flags: u32,
    /// As it is sent.
    pub(crate) life: i64,
}

/// Over what it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// Whatever is there.
    All,
    /// Nothing.
    Nothing,
    /// What has this number.
    Number(u64),
}

/// A version number of ours for what is written, where the server takes one.
#[derive(Clone, Copy)]
pub(crate) struct Numbered(pub(crate) Option<u64>);

impl fmt::Display for Numbered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |number| write!(f, "E{number}"))
    }
}

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
    pub(crate) dialect: Dialect,
}

impl Commands {
    /// None yet, numbered from `first` on.
    pub(crate) fn new(first: u64, dialect: Dialect) -> Self {
        Self { bytes: Vec::with_capacity(256), first, count: 0, quiet: false, dialect }
    }

    fn is_classic(&self) -> bool {
        self.dialect == Dialect::Classic
    }

    /// What is at the key; its value need not come along.
    pub(crate) fn look(&mut self, key: &[u8]) {
        if self.is_classic() {
            self.classic(&[b"gets", key])
        } else {
            self.meta("mg", key, format_args!("f c"))
        }
    }

    /// The values of these keys. Of many keys only those that are there are answered, where that can be asked for.
    pub(crate) fn get<'a>(&mut self, keys: impl ExactSizeIterator<Item = &'a [u8]>) {
        // For one that would be a question more.
        self.quiet = !self.is_classic() && keys.len() > 1;
        for key in keys {
            match (self.dialect, self.quiet) {
                (Dialect::Classic, _) => self.look(key),
                (Dialect::Meta { .. }, true) => self.meta("mg", key, format_args!("v f c q")),
                (Dialect::Meta { .. }, false) => self.meta("mg", key, format_args!("v f c")),
            }
        }
        self.close_quiet();
    }

    /// The value, or a placeholder for so many seconds. Only the meta commands have it.
    pub(crate) fn vivify(&mut self, key: &[u8], seconds: u64, numbered: Numbered) {
        self.meta("mg", key, format_args!("v f c N{seconds} {numbered}"));
    }

    /// Writes an entry.
    pub(crate) fn write(&mut self, key: &[u8], entry: Entry<'_>, over: Over, numbered: Numbered) {
        let Entry { value, flags, life } = entry;
        match (self.is_classic(), over) {
            (false, Over::All) => self.store(key, value, format_args!("c F{flags} T{life} {numbered}")),
            (false, Over::Nothing) => {
                self.store(key, value, format_args!("c ME F{flags} T{life} {numbered}"))
            }
            (false, Over::Number(number)) => {
                self.store(key, value, format_args!("c F{flags} T{life} C{number} {numbered}"));
            }
            (true, over) => {
                let (verb, number) = match over {
                    Over::All => ("set", String::new()),
                    Over::Nothing => ("add", String::new()),
                    Over::Number(number) => ("cas", format!(" {number}")),
                };
                let line = format!("{flags} {life} {}{number}", value.len());
                self.classic(&[verb.as_bytes(), key, line.as_bytes()]);
                self.put_value(value);
            }
        }
    }

    /// Adds behind what has this number, or before it; flags and life stay. Only the meta commands have it.
    pub(crate) fn extend_over(
        &mut self,
        key: &[u8],
        value: &[u8],
        behind: bool,
        number: u64,
        numbered: Numbered,
    ) {
        let mode = if behind { 'A' } else { 'P' };
        self.store(key, value, format_args!("c M{mode} C{number} {numbered}"));
    }

    /// The same to whatever is there, by the classic words.
    pub(crate) fn extend(&mut self, key: &[u8], value: &[u8], behind: bool) {
        let verb: &[u8] = if behind { b"append" } else { b"prepend" };
        self.classic(&[verb, key, b"0 0", value.len().to_string().as_bytes()]);
        self.put_value(value);
    }

    /// Removes what is there, or what has this number.
    pub(crate) fn remove(&mut self, key: &[u8], number: Option<u64>) {
        match (self.is_classic(), number) {
            (false, None) => self.meta("md", key, format_args!("")),
            (false, Some(number)) => self.meta("md", key, format_args!("C{number}")),
            (true, None) => self.classic(&[b"delete", key]),
            (true, Some(number)) => {
                // An entry whose life is over when it is written.
                let over = Entry { value: b"", flags: 0, life: -1 };
                self.write(key, over, Over::Number(number), Numbered(None));
            }
        }
    }

    /// Removes many keys.
    pub(crate) fn remove_all<'a>(&mut self, keys: impl Iterator<Item = &'a [u8]>) {
        self.quiet = !self.is_classic();
        for key in keys {
            if self.quiet { self.meta("md", key, format_args!("q")) } else { self.remove(key, None) }
        }
        self.close_quiet();
    }

    /// Counts what is there.
    pub(crate) fn count(&mut self, key: &[u8], step: Step, delta: u64, numbered: Numbered) {
        match (self.is_classic(), step) {
            (false, Step::Up) => self.meta("ma", key, format_args!("v MI D{delta} {numbered}")),
            (false, Step::Down) => self.meta("ma", key, format_args!("v MD D{delta} {numbered}")),
            (true, Step::Up) => self.classic(&[b"incr", key, delta.to_string().as_bytes()]),
            (true, Step::Down) => self.classic(&[b"decr", key, delta.to_string().as_bytes()]),
        }
    }

    /// Gives what is there a new life, and looks at it: one answer by the meta commands, else two.
    pub(crate) fn touch(&mut self, key: &[u8], life: i64) {
        if self.is_classic() {
            self.classic(&[b"touch", key, life.to_string().as_bytes()]);
            self.look(key);
        } else {
            self.meta("mg", key, format_args!("f c T{life}"));
        }
    }

    /// Asks for an answer.
    pub(crate) fn ask(&mut self) {
        if self.is_classic() { self.plain("version") } else { self.plain("mn") }
    }

    /// Drops all entries. From 1.6.25 on the first command may leave those that were used within this second: whatever was is
    /// dropped by the second one, which counts from one second ahead less one, and so at once.
    pub(crate) fn flush(&mut self) {
        self.plain("flush_all");
        self.plain("flush_all 1");
    }

    /// A command without key and flags, whose reply brings no number.
    fn plain(&mut self, line: &str) {
        self.classic(&[line.as_bytes()]);
    }

    fn classic(&mut self, words: &[&[u8]]) {
        for (place, word) in words.iter().enumerate() {
            if place > 0 {
                self.bytes.push(b' ');
            }
            self.bytes.extend_from_slice(word);
        }
        self.bytes.extend_from_slice(b"\r\n");
        self.count += 1;
    }

    fn close_quiet(&mut self) {
        if self.quiet {
            self.bytes.extend_from_slice(b"mn\r\n");
        }
    }

    fn meta(&mut self, verb: &str, key: &[u8], flags: Arguments<'_>) {
        self.begin(verb, key);
        self.end(flags);
    }

    fn store(&mut self, key: &[u8], value: &[u8], flags: Arguments<'_>) {
        self.begin("ms", key);
        self.end(format_args!("{} {flags}", value.len()));
        self.put_value(value);
    }

    fn put_value(&mut self, value: &[u8]) {
        self.bytes.reserve(value.len() + 64);
        self.bytes.extend_from_slice(value);
        self.bytes.extend_from_slice(b"\r\n");
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

    const META: Dialect = Dialect::Meta { numbers_ours: true };
    const ENTRY: Entry<'static> = Entry { value: b"a\r\n", flags: 5, life: -1 };

    #[test]
    fn meta_commands_are_numbered_from_the_first_on() {
        let mut commands = Commands::new(7, META);
        commands.write(b"key", ENTRY, Over::Number(9), Numbered(Some(11)));
        commands.look(b"key");
        assert_eq!(commands.bytes, b"ms key 3 c F5 T-1 C9 E11 O7\r\na\r\n\r\nmg key f c O8\r\n");
        assert_eq!((commands.count, commands.quiet), (2, false));
    }

    #[test]
    fn many_keys_are_asked_for_quietly_where_that_can_be() {
        let keys = [&b"a"[..], b"b"];
        let sent = |dialect| {
            let mut commands = Commands::new(1, dialect);
            commands.get(keys.into_iter());
            (String::from_utf8(commands.bytes).unwrap(), commands.count, commands.quiet)
        };
        assert_eq!(sent(META), ("mg a v f c q O1\r\nmg b v f c q O2\r\nmn\r\n".to_owned(), 2, true));
        assert_eq!(sent(Dialect::Classic), ("gets a\r\ngets b\r\n".to_owned(), 2, false));
    }

    #[test]
    fn every_command_has_classic_words() {
        let mut commands = Commands::new(1, Dialect::Classic);
        commands.write(b"k", ENTRY, Over::All, Numbered(None));
        commands.write(b"k", ENTRY, Over::Nothing, Numbered(None));
        commands.write(b"k", ENTRY, Over::Number(9), Numbered(None));
        commands.remove(b"k", None);
        commands.remove(b"k", Some(9));
        commands.remove_all([&b"k"[..]].into_iter());
        commands.count(b"k", Step::Up, 3, Numbered(None));
        commands.count(b"k", Step::Down, 4, Numbered(None));
        commands.touch(b"k", 60);
        commands.ask();
        commands.flush();
        let expected = "set k 5 -1 3\r\na\r\n\r\nadd k 5 -1 3\r\na\r\n\r\ncas k 5 -1 3 9\r\na\r\n\r\n\
            delete k\r\ncas k 0 -1 0 9\r\n\r\ndelete k\r\nincr k 3\r\ndecr k 4\r\ntouch k 60\r\ngets k\r\n\
            version\r\nflush_all\r\nflush_all 1\r\n";
        assert_eq!(String::from_utf8(commands.bytes).unwrap(), expected);
        assert_eq!(commands.count, 13);
    }

    #[test]
    fn what_would_end_a_word_or_line_is_no_key() {
        for key in [&b""[..], b"a b", b"a\r\nflush_all", b"a\0", b"a\x7f", &[b'k'; 251]] {
            assert!(!is_key(key), "{key:?}");
        }
        assert!(is_key(b"k") && is_key(&[b'k'; 250]) && is_key("\u{e9}".as_bytes()));
    }
}
