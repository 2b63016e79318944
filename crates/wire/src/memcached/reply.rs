//! What a server answers, as clients read it: meta replies, and the classic ones of a client that asks for one key at a time.
//! Strict where a mistake would hand one caller another's answer.

/// Bounds of what a server may send.
#[derive(Clone, Copy, Debug)]
pub struct ReplyLimits {
    /// A line, its end included.
    pub line_bytes_max: usize,
    /// A value.
    pub value_bytes_max: usize,
}

/// What the head of the input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// Not yet a reply. Asking again with fewer than `needed` bytes gives the same answer.
    Incomplete {
        /// How many bytes of input there must be, those already there included.
        needed: usize,
    },
    /// A reply.
    Complete {
        /// What is answered.
        reply: Reply<'a>,
        /// How many bytes of the input it took.
        consumed: usize,
    },
    /// No reply, or over a limit. Nothing after it can be understood: the connection must end.
    Broken,
}

/// One reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// What kind it is.
    pub code: Code,
    /// Its flags; all unset where the kind has none.
    pub marks: Marks,
    /// The value with `Value`, or the digits of a number; what follows the first word with `Version`, `Stat` and the errors.
    pub body: &'a [u8],
}

/// The kinds of replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// `VA`; `VALUE` with the `END` that follows it; a number alone, of `incr` and `decr`.
    Value,
    /// `HD`, `STORED`, `DELETED`, `TOUCHED`.
    Hit,
    /// `EN`.
    Miss,
    /// `NS`, `NOT_STORED`.
    NotStored,
    /// `EX`, `EXISTS`.
    Exists,
    /// `NF`, `NOT_FOUND`.
    NotFound,
    /// `MN`.
    Noop,
    /// `OK`, to `flush_all`.
    Ok,
    /// `VERSION`.
    Version,
    /// `STAT`.
    Stat,
    /// `END` alone: of `stats`, or nothing was found.
    End,
    /// `ERROR`: no such command.
    Unknown,
    /// `CLIENT_ERROR`.
    ClientError,
    /// `SERVER_ERROR`.
    ServerError,
}

/// The flags of a meta reply that a client acts on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// `O`: the number that the command was given.
    pub opaque: Option<u64>,
    /// `c`.
    pub version: Option<u64>,
    /// `f`.
    pub flags: u32,
    /// `W`: this reader is to load.
    pub won: bool,
    /// `Z`: another reader is to load.
    pub lost: bool,
    /// `X`: it was marked stale.
    pub stale: bool,
}

impl Marks {
    /// Whether what was found holds a place for a value that somebody loads, and is no value.
    pub const fn is_placeholder(&self) -> bool {
        self.won || self.lost || self.stale
    }
}

/// The line end after a value.
const VALUE_END: &[u8] = b"\r\n";
/// And after the only value that was asked for.
const ITEM_END: &[u8] = b"\r\nEND\r\n";

/// Reads the head of `input`. Allocates nothing.
pub fn read<'a>(input: &'a [u8], limits: &ReplyLimits) -> Answer<'a> {
    let shown = input.get(..limits.line_bytes_max).unwrap_or(input);
    let Some(end) = memchr::memchr(b'\n', shown) else {
        return match input.len() < limits.line_bytes_max {
            true => Answer::Incomplete { needed: input.len() + 1 },
            false => Answer::Broken,
        };
    };
    let (line, after) = (input.get(..end).unwrap_or_default(), end + 1);
    let Some(line) = line.strip_suffix(b"\r") else { return Answer::Broken };
    let (word, rest) = cut(line);
    let Some(code) = code(word) else { return Answer::Broken };
    match word {
        b"VA" => return value(input, rest, after, limits),
        b"VALUE" => return item(input, rest, after, limits),
        _ => {}
    }
    let marks = match code {
        Code::Hit | Code::Miss | Code::NotStored | Code::Exists | Code::NotFound => marks(rest),
        _ => Some(Marks::default()),
    };
    let body = match code {
        Code::Version | Code::Stat | Code::ClientError | Code::ServerError => rest,
        Code::Value => word,
        _ => &[],
    };
    match marks {
        Some(marks) => Answer::Complete { reply: Reply { code, marks, body }, consumed: after },
        None => Answer::Broken,
    }
}

fn code(word: &[u8]) -> Option<Code> {
    Some(match word {
        b"HD" | b"STORED" | b"DELETED" | b"TOUCHED" => Code::Hit,
        b"VA" | b"VALUE" => Code::Value,
        b"EN" => Code::Miss,
        b"NS" | b"NOT_STORED" => Code::NotStored,
        b"EX" | b"EXISTS" => Code::Exists,
        b"NF" | b"NOT_FOUND" => Code::NotFound,
        b"MN" => Code::Noop,
        b"OK" => Code::Ok,
        b"VERSION" => Code::Version,
        b"STAT" => Code::Stat,
        b"END" => Code::End,
        b"ERROR" => Code::Unknown,
        b"CLIENT_ERROR" => Code::ClientError,
        b"SERVER_ERROR" => Code::ServerError,
        digits if number(digits).is_some() => Code::Value,
        _ => return None,
    })
}

/// `VA <length> <flags>*`, and the value after the line.
fn value<'a>(input: &'a [u8], rest: &[u8], line: usize, limits: &ReplyLimits) -> Answer<'a> {
    let (length, flags) = cut(rest);
    let length = number(length).and_then(|length| usize::try_from(length).ok());
    let Some(length) = length.filter(|length| *length <= limits.value_bytes_max) else {
        return Answer::Broken;
    };
    match marks(flags) {
        Some(marks) => body(input, line, length, VALUE_END, marks),
        None => Answer::Broken,
    }
}

/// `VALUE <key> <flags> <length> [<version>]`, the value after the line, and `END`.
fn item<'a>(input: &'a [u8], rest: &[u8], line: usize, limits: &ReplyLimits) -> Answer<'a> {
    let mut words = rest.split(|byte| *byte == b' ');
    let (_key, mut next) = (words.next(), || words.next().map(number));
    let (Some(Some(flags)), Some(Some(length)), version) = (next(), next(), next()) else {
        return Answer::Broken;
    };
    let (Ok(flags), Ok(length)) = (u32::try_from(flags), usize::try_from(length)) else {
        return Answer::Broken;
    };
    if length > limits.value_bytes_max || version == Some(None) || next().is_some() {
        return Answer::Broken;
    }
    let marks = Marks { flags, version: version.flatten(), ..Marks::default() };
    body(input, line, length, ITEM_END, marks)
}

/// A value of this length from `begin` on, and its end.
fn body<'a>(input: &'a [u8], begin: usize, length: usize, end: &[u8], marks: Marks) -> Answer<'a> {
    let consumed = begin.saturating_add(length).saturating_add(end.len());
    let Some(body) = input.get(begin..consumed) else {
        return Answer::Incomplete { needed: consumed };
    };
    match body.strip_suffix(end) {
        Some(body) => Answer::Complete { reply: Reply { code: Code::Value, marks, body }, consumed },
        None => Answer::Broken,
    }
}

/// The first word, and what follows its space.
fn cut(text: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b' ', text) {
        Some(end) => (text.get(..end).unwrap_or_default(), text.get(end + 1..).unwrap_or_default()),
        None => (text, &[]),
    }
}

/// `None` where a number that is acted on is none. Flags that were not asked for are passed over.
fn marks(text: &[u8]) -> Option<Marks> {
    let mut marks = Marks::default();
    for word in text.split(|byte| *byte == b' ') {
        match word.split_first() {
            Some((b'O', token)) => marks.opaque = Some(number(token)?),
            Some((b'c', token)) => marks.version = Some(number(token)?),
            Some((b'f', token)) => marks.flags = u32::try_from(number(token)?).ok()?,
            Some((b'W', [])) => marks.won = true,
            Some((b'Z', [])) => marks.lost = true,
            Some((b'X', [])) => marks.stale = true,
            _ => {}
        }
    }
    Some(marks)
}

/// Decimal digits and nothing else.
pub fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ReplyLimits = ReplyLimits { line_bytes_max: 64, value_bytes_max: 100 };

    fn complete(input: &[u8]) -> (Reply<'_>, usize) {
        match read(input, &LIMITS) {
            Answer::Complete { reply, consumed } => (reply, consumed),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_value_is_read_by_its_length_and_its_flags_in_any_order() {
        let (reply, consumed) = complete(b"VA 4 f7 c12 O3 Z kname\r\nHD\r\n\r\nMN\r\n");
        assert_eq!((reply.code, reply.body, consumed), (Code::Value, &b"HD\r\n"[..], 30));
        let marks = Marks { opaque: Some(3), version: Some(12), flags: 7, lost: true, ..Marks::default() };
        assert_eq!(reply.marks, marks);
        assert!(marks.is_placeholder() && !Marks::default().is_placeholder());
        assert_eq!(complete(b"VA 0\r\n\r\n").0.body, b"");
    }

    #[test]
    fn a_classic_value_is_read_with_the_end_after_it() {
        let input = b"VALUE key 7 4 12\r\nEND\r\r\nEND\r\nSTORED\r\n";
        let (reply, consumed) = complete(input);
        assert_eq!((reply.code, reply.body, consumed), (Code::Value, &b"END\r"[..], 29));
        assert_eq!(reply.marks, Marks { flags: 7, version: Some(12), ..Marks::default() });
        for length in 0..consumed {
            let Answer::Incomplete { needed } = read(&input[..length], &LIMITS) else { panic!("{length}") };
            assert!(needed > length && needed <= consumed);
        }
        assert_eq!(complete(b"VALUE key 0 0\r\n\r\nEND\r\n").0.marks.version, None);
        assert_eq!(complete(b"18446744073709551615\r\n").0.body, b"18446744073709551615");
    }

    #[test]
    fn every_kind_of_line_is_told_from_the_others() {
        for (text, code, body) in [
            ("HD c5", Code::Hit, ""),
            ("EN O1", Code::Miss, ""),
            ("NS", Code::NotStored, ""),
            ("EX", Code::Exists, ""),
            ("NF", Code::NotFound, ""),
            ("STORED", Code::Hit, ""),
            ("DELETED", Code::Hit, ""),
            ("TOUCHED", Code::Hit, ""),
            ("NOT_STORED", Code::NotStored, ""),
            ("EXISTS", Code::Exists, ""),
            ("NOT_FOUND", Code::NotFound, ""),
            ("MN", Code::Noop, ""),
            ("OK", Code::Ok, ""),
            ("END", Code::End, ""),
            ("ERROR", Code::Unknown, ""),
            ("VERSION 1.6.18", Code::Version, "1.6.18"),
            ("STAT pid 7", Code::Stat, "pid 7"),
            ("CLIENT_ERROR invalid flag", Code::ClientError, "invalid flag"),
            ("SERVER_ERROR out of memory", Code::ServerError, "out of memory"),
        ] {
            let line = format!("{text}\r\n");
            let (reply, consumed) = complete(line.as_bytes());
            assert_eq!((reply.code, reply.body, consumed), (code, body.as_bytes(), line.len()), "{text}");
        }
    }

    #[test]
    fn what_is_no_reply_or_over_a_limit_is_broken() {
        for text in [
            &b"hello\r\n"[..],
            b"HD\n",
            b"VA\r\n",
            b"VA x\r\n",
            b"VA -1\r\n",
            b"VA 101\r\n",
            b"VA 18446744073709551615\r\n",
            b"VA 2\r\nabcd",
            b"18446744073709551616\r\n",
            b"VALUE\r\n",
            b"VALUE k 0\r\n",
            b"VALUE k x 0\r\n",
            b"VALUE k 4294967296 0\r\n",
            b"VALUE k 0 101\r\n",
            b"VALUE k 0 0 x\r\n",
            b"VALUE k 0 0 1 2\r\n",
            b"VALUE k 0 1\r\na\r\nVALUE",
            b"HD Ox\r\n",
            b"HD O\r\n",
            b"HD c99999999999999999999\r\n",
            b"HD f4294967296\r\n",
        ] {
            assert_eq!(read(text, &LIMITS), Answer::Broken, "{}", String::from_utf8_lossy(text));
        }
        assert_eq!(read(&[b'a'; 64], &LIMITS), Answer::Broken);
        assert_eq!(read(&[b'a'; 63], &LIMITS), Answer::Incomplete { needed: 64 });
    }

    #[test]
    fn it_says_how_much_is_missing() {
        assert_eq!(read(b"", &LIMITS), Answer::Incomplete { needed: 1 });
        assert_eq!(read(b"VA 10\r\n123", &LIMITS), Answer::Incomplete { needed: 19 });
    }
}
