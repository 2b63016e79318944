//! The same random bytes to memcached and to our front: streams of commands, most well-formed, some not, whole or in
//! pieces; every byte of the answers compared. What is excepted is listed in `docs/memcached-differences.md`.

use forebay_acceptance::front::Front;
use forebay_acceptance::memcached::differential::near_form;
use forebay_acceptance::memcached::near::NearFront;
use forebay_acceptance::memcached::replies::Renaming;
use forebay_acceptance::programs::torture;
use forebay_acceptance::random::Random;
use forebay_acceptance::raw::{Raw, converse, difference, text};
use forebay_contract::servers::memcached::Memcached;

/// A version that nothing has, larger than any that is given out.
const NEVER: &str = "9000000000000000000";
/// Replaced by the version that the server at hand last showed for the key.
const SEEN: &str = "{seen}";
/// The one key with values of nothing, which is never counted: memcached reads on behind them, into what its memory held
/// before.
const VOID: &str = "void";

/// What a stream may hold besides what every stream may.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One command, its answer, the next command.
    Lockstep,
    /// Everything at once. What was fetched before is then answered by chance.
    Pipelined,
}

struct Stream {
    random: Random,
    kind: Kind,
    /// A byte of some command was changed, so that any number in it may be the length of a value.
    changed: bool,
}

impl Stream {
    fn new(seed: u64, kind: Kind) -> Self {
        Self { random: Random::new(seed), kind, changed: false }
    }

    fn key(&mut self) -> String {
        match self.random.below(40) {
            0 => "k".repeat(250),
            1 => "k".repeat(251),
            2 => "\u{7f}\t\u{1}".into(),
            3 => "ключ".into(),
            _ => self.random.pick(&["a", "b", "c", "d", "e", "foo", VOID]).into(),
        }
    }

    /// A key to count, most likely without a number.
    fn counted_key(&mut self) -> String {
        Some(self.key()).filter(|key| key != VOID).unwrap_or_default()
    }

    /// A key and a value for it.
    fn pair(&mut self) -> (String, Vec<u8>) {
        let (key, value) = (self.key(), self.value());
        (if value.is_empty() { VOID.into() } else { key }, value)
    }

    /// A key for a line of several. One over its limit refuses the line; memcached has then fetched those before it, and
    /// drops answers that it has not sent.
    fn short_key(&mut self) -> String {
        Some(self.key()).filter(|key| key.len() < 250).unwrap_or_default()
    }

    fn exptime(&mut self) -> &'static str {
        // Far from each other and from now, so that no second that passes matters.
        match self.random.below(30) {
            0 => "-1",
            2 => "x",
            3 => "",
            4 => "4294967296",
            5..12 => self.random.pick(&["1500", "7500", "90500"]),
            _ => "0",
        }
    }

    fn number(&mut self) -> String {
        match self.random.below(30) {
            0 => "-1".into(),
            1 => "x".into(),
            2 => "18446744073709551615".into(),
            3 => "18446744073709551616".into(),
            4 => "4294967297".into(),
            5 => "+3".into(),
            6 => String::new(),
            _ => self.random.below(1000).to_string(),
        }
    }

    fn value(&mut self) -> Vec<u8> {
        match self.random.below(20) {
            0 => Vec::new(),
            1 => self.random.bytes(1500),
            2 => b"END\r\nVALUE a 0 1\r\n".to_vec(),
            _ => {
                let length = self.random.below(60);
                let mut value = self.random.bytes(length);
                // Not a number by chance; see `count`.
                if let Some(first) = value.first_mut() {
                    *first |= 0x40;
                }
                value
            }
        }
    }

    fn noreply(&mut self) -> &'static str {
        match self.random.below(12) {
            0 => " noreply",
            1 => " norepl",
            _ => "",
        }
    }

    /// The length of `value`, now and then another.
    fn length(&mut self, value: &[u8]) -> String {
        match self.random.below(40) {
            0 => (value.len() + 1).to_string(),
            1 => value.len().saturating_sub(1).to_string(),
            2 => "-1".into(),
            3 => "x".into(),
            _ => value.len().to_string(),
        }
    }

    fn version(&mut self) -> &'static str {
        match (self.kind, self.random.below(4)) {
            (Kind::Lockstep, 0..3) => SEEN,
            (_, 3) if self.random.once_in(4) => "0",
            _ => NEVER,
        }
    }

    fn storage(&mut self) -> Vec<u8> {
        let verb = self.random.pick(&["set", "set", "set", "add", "replace", "append", "prepend", "cas"]);
        let (flags, exptime, (key, value)) = (self.number(), self.exptime(), self.pair());
        let (length, quiet) = (self.length(&value), self.noreply());
        let version = if verb == "cas" { format!(" {}", self.version()) } else { String::new() };
        let line = format!("{verb} {key} {flags} {exptime} {length}{version}{quiet}\r\n");
        [line.as_bytes(), &value, b"\r\n"].concat()
    }

    fn flags(&mut self, letters: &[&'static str]) -> String {
        let mut flags = String::new();
        for _ in 0..self.random.below(6) {
            let letter = self.random.pick(letters);
            let token = match letter {
                // What is left of a life that is over is a number without meaning in memcached.
                "N" | "T" | "R" => self.random.pick(&["", "x", "0", "1500", "7500", "90500"]).to_owned(),
                "F" | "D" | "J" => self.number(),
                "C" => self.version().to_owned(),
                "O" => "o".repeat(self.random.below(34)),
                "M" => self.random.pick(&["S", "E", "A", "P", "R", "I", "+", "", "SS"]).to_owned(),
                _ => String::new(),
            };
            flags += &format!(" {letter}{token}");
        }
        // Asked back, so that versions can be told apart by key.
        if self.random.once_in(2) { flags + " k" } else { flags }
    }

    fn meta(&mut self) -> Vec<u8> {
        let key = self.key();
        match self.random.below(6) {
            0 | 1 => {
                let mut letters = vec!["v", "v", "c", "t", "f", "s", "q", "O", "N", "T", "R", "u", "z"];
                if self.kind == Kind::Lockstep {
                    letters.push("h");
                }
                let flags = self.flags(&letters);
                // An opaque too long is refused before it has done anything; memcached does it, and be it to read the
                // entry, and then refuses. With a new life in the same command memcached may judge `R` by that.
                let is_refused = flags.split(' ').any(|flag| flag.len() > 32);
                let differs = is_refused || flags.contains('R');
                let flags = if differs { flags.replace(['N', 'T'], "z") } else { flags };
                let key = if is_refused { "none" } else { &key };
                format!("mg {key}{flags}\r\n").into_bytes()
            }
            2 | 3 => {
                let (key, value) = self.pair();
                let length = self.length(&value);
                let flags = self.flags(&["c", "q", "O", "T", "F", "C", "I", "M", "M", "z"]);
                [format!("ms {key} {length}{flags}\r\n").as_bytes(), &value, b"\r\n"].concat()
            }
            4 => {
                let flags = self.flags(&["q", "O", "C", "I", "I", "T", "z"]);
                format!("md {key}{flags}\r\n").into_bytes()
            }
            _ => format!("me {key}\r\n").into_bytes(),
        }
    }

    /// memcached changes a number in place, with blanks for lost digits, only where nothing else holds the item: an answer
    /// that is not yet sent, or its own bookkeeping. So here numbers only grow; the others are in `memcached_answers`.
    fn count(&mut self) -> Vec<u8> {
        let key = self.random.pick(&["n1", "n2", "n3"]);
        let (delta, exptime, quiet) = (self.random.below(50), self.exptime(), self.noreply());
        match self.random.below(6) {
            0 => format!("add {key} 7 {exptime} 2{quiet}\r\n10\r\n"),
            1 => format!("incr {key} {delta}{quiet}\r\n"),
            2 => {
                let number = self.random.pick(&["7", "+3", "x", "-1", "", "18446744073709551616"]);
                format!("incr {} {number}\r\n", self.counted_key())
            }
            3 => format!("ma {}{}\r\n", self.counted_key(), self.flags(&["M", "J", "z", "q"])),
            _ => {
                // Without `T`: where a number grows, memcached gives the new life to the item that it has just replaced.
                let flags = self.flags(&["v", "c", "q", "N", "t", "C"]);
                format!("ma {key} D{delta}{flags}\r\n")
            }
        }
        .into_bytes()
    }

    fn line(&mut self) -> Vec<u8> {
        let (key, exptime, number, quiet) = (self.key(), self.exptime(), self.number(), self.noreply());
        match self.random.below(12) {
            0..3 => {
                let count = self.random.below(30);
                let keys: Vec<String> = (0..count).map(|_| self.short_key()).collect();
                let verb = self.random.pick(&["get", "gets", "get", "gets", "bget"]);
                format!("{verb} {}\r\n", keys.join(if self.random.once_in(9) { "  " } else { " " }))
            }
            3 if key.len() < 250 => {
                format!("{} {exptime} {key} {}\r\n", self.random.pick(&["gat", "gats"]), self.short_key())
            }
            4 => format!("touch {key} {exptime}{quiet}\r\n"),
            5 | 6 => format!("delete {key}{}{quiet}\r\n", self.random.pick(&["", "", " 0", " 1"])),
            7 if self.random.once_in(8) => format!("flush_all{quiet}\r\n"),
            7 => "mn\r\n".into(),
            8 => format!("verbosity {number}{quiet}\r\n"),
            9 => format!("version {}\n", self.random.pick(&["", "x"])),
            10 => self
                .random
                .pick(&["\r\n", "\n", " \r\n", "bogus\r\n", "mx a\r\n", "g a\r\n", "get\r\n"])
                .into(),
            _ => format!("get {}\r\n", self.short_key()),
        }
        .into_bytes()
    }

    fn command(&mut self) -> Vec<u8> {
        let mut command = match self.random.below(10) {
            0..4 => self.storage(),
            4..6 => self.meta(),
            6 => self.count(),
            _ => self.line(),
        };
        if self.random.once_in(25) {
            self.changed = true;
            let unchanged = command.clone();
            let place = self.random.below(command.len());
            // Other numbers may be a length that nothing fills, or a version that something has.
            if !command[place].is_ascii_digit() && command[place] != b'\n' {
                match self.random.below(3) {
                    0 => command[place] = self.random.pick(&[" ", "\0", "x", "\n", "0"]).as_bytes()[0],
                    1 => drop(command.remove(place)),
                    _ => command.insert(place, b' '),
                }
            }
            if has_newer_flag(&command) {
                command = unchanged;
            }
        }
        command
    }

    /// Empty lines that complete a value which was announced longer than it is. memcached keeps all its answers while
    /// a value is incomplete, and drops them if it stays so.
    fn filler(&mut self) -> String {
        let lines = if std::mem::take(&mut self.changed) { 120 } else { 2 };
        [" ".repeat(lines * 8), "\r\n".into()].concat().repeat(lines)
    }
}

/// Whether one of the flags may be one that memcached knows only since 1.6.27.
fn has_newer_flag(command: &[u8]) -> bool {
    let line = command.split(|byte| *byte == b'\n').next().unwrap_or_default();
    line.starts_with(b"m")
        && line.split(|byte| *byte == b' ').any(|word| matches!(word.first(), Some(b'E' | b'x')))
}

/// The command with the version that this server last showed for its key.
fn filled(command: &[u8], renaming: &Renaming) -> Vec<u8> {
    let Some(place) = command.windows(SEEN.len()).position(|window| window == SEEN.as_bytes()) else {
        return command.to_vec();
    };
    let key = command.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let version = renaming.version_of(key).to_string();
    [&command[..place], version.as_bytes(), &command[place + SEEN.len()..]].concat()
}

fn rounds(quick: u64) -> u64 {
    if torture() { quick * 50 } else { quick }
}

#[test]
fn one_command_after_another_is_answered_alike() {
    let (memcached, front) = (Memcached::start(), Front::start());
    for seed in 0..rounds(60) {
        let mut stream = Stream::new(seed, Kind::Lockstep);
        let (mut theirs, mut ours) = (Renaming::default(), Renaming::default());
        let (mut to_them, mut to_us) = (Raw::connect(memcached.address), Raw::connect(front.address));
        let mut asked: Vec<Vec<u8>> = vec![b"flush_all\r\n".to_vec()];
        let (_, _) = (to_them.ask(&asked[0]), to_us.ask(&asked[0]));
        for _ in 0..150 {
            let command = [stream.command(), stream.filler().into_bytes()].concat();
            asked.push(command.clone());
            let expected = theirs.apply(&to_them.ask(&filled(&command, &theirs)));
            let answered = ours.apply(&to_us.ask(&filled(&command, &ours)));
            if let Some(difference) = difference(&answered, &expected) {
                let asked: Vec<String> = asked.iter().map(|command| text(command)).collect();
                panic!("seed {seed}, {difference}asked\n{}", asked.join("\n"));
            }
        }
    }
}

/// Commands that a near cache refuses are left out.
#[test]
fn one_command_after_another_is_answered_alike_before_a_shared_store() {
    let (memcached, shared) = (Memcached::start(), Memcached::start());
    let mut count = 0;
    for seed in 0..rounds(40) {
        let mut stream = Stream::new(2_000_000 + seed, Kind::Lockstep);
        // A fresh one has no copies of what was flushed.
        let front = NearFront::start(&[shared.address]);
        let (mut theirs, mut ours) = (Renaming::default(), Renaming::default());
        let (mut to_them, mut to_us) = (Raw::connect(memcached.address), Raw::connect(front.address));
        let (_, _) = (to_them.ask(b"flush_all\r\n"), Raw::connect(shared.address).ask(b"flush_all\r\n"));
        let mut asked: Vec<Vec<u8>> = Vec::new();
        for _ in 0..150 {
            let command = [stream.command(), stream.filler().into_bytes()].concat();
            let Some(command) = near_form(&command) else { continue };
            count += 1;
            asked.push(command.clone());
            let expected = theirs.apply(&to_them.ask(&filled(&command, &theirs)));
            let answered = ours.apply(&to_us.ask(&filled(&command, &ours)));
            if let Some(difference) = difference(&answered, &expected) {
                let asked: Vec<String> = asked.iter().map(|command| text(command)).collect();
                panic!("seed {seed}, {difference}asked\n{}", asked.join("\n"));
            }
        }
    }
    assert!(count > 2_000, "only {count} commands were left");
}

#[test]
fn everything_at_once_or_in_pieces_is_answered_alike() {
    let (memcached, front) = (Memcached::start(), Front::start());
    for seed in 0..rounds(300) {
        let mut stream = Stream::new(1_000_000 + seed, Kind::Pipelined);
        let mut bytes = b"flush_all\r\n".to_vec();
        for _ in 0..stream.random.below(80) {
            bytes.extend(stream.command());
        }
        bytes.extend(stream.filler().bytes());
        let mut cuts: Vec<usize> =
            (0..stream.random.below(10)).map(|_| stream.random.below(bytes.len() + 1)).collect();
        cuts.push(bytes.len());
        cuts.sort_unstable();
        let mut start = 0;
        let pieces: Vec<&[u8]> =
            cuts.iter().map(|end| &bytes[std::mem::replace(&mut start, *end)..*end]).collect();
        let expected = Renaming::default().apply(&converse(memcached.address, &[&bytes]));
        let answered = Renaming::default().apply(&converse(front.address, &pieces));
        if let Some(difference) = difference(&answered, &expected) {
            panic!("seed {seed}, {difference}asked\n{}", text(&bytes));
        }
    }
}
