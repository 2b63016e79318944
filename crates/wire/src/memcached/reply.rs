//! What a server answers, as clients read it: meta replies, and the few classic ones that a client of the meta protocol
//! needs. Strict where a mistake would hand one caller another's answer.

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
    /// The value with `Value`; what follows the first word with `Version`, `Stat` and the errors.
    pub body: &'a [u8],
}

/// The kinds of replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// `VA`.
    Value,
    /// `HD`.
    Hit,
    /// `EN`.
    Miss,
    /// `NS`.
    NotStored,
    /// `EX`.
    Exists,
    /// `NF`.
    NotFound,
    /// `MN`.
    Noop,
    /// `OK`, to `flush_all`.
    Ok,
    /// `VERSION`.
    Version,
    /// `STAT`.
    Stat,
    /// `END`, of `stats`.
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
    if code == Code::Value {
        return value(input, rest, after, limits);
    }
    let marks = match code {
        Code::Hit | Code::Miss | Code::NotStored | Code::Exists | Code::NotFound => marks(rest),
        _ => Some(Marks::default()),
    };
    let body = match code {
        Code::Version | Code::Stat | Code::ClientError | Code::ServerError => rest,
        _ => &[],
    };
    match marks {
        Some(marks) => Answer::Complete { reply: Reply { code, marks, body }, consumed: after },
        None => Answer::Broken,
    }
}

fn code(word: &[u8]) -> Option<Code> {
    Some(match word {
        b"HD" => Code::Hit,
        b"VA" => Code::Value,
        b"EN" => Code::Miss,
        b"NS" => Code::NotStored,
        b"EX" => Code::Exists,
        b"NF" => Code::NotFound,
        b"MN" => Code::Noop,
        b"OK" => Code::Ok,
        b"VERSION" => Code::Version,
        b"STAT" => Code::Stat,
        b"END" => Code::End,
        b"ERROR" => Code::Unknown,
        b"CLIENT_ERROR" => Code::ClientError,
        b"SERVER_ERROR" => Code::ServerError,
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
    let Some(marks) = marks(flags) else { return Answer::Broken };
    let consumed = line.saturating_add(length).saturating_add(VALUE_END.len());
    let Some(body) = input.get(line..consumed) else {
        return Answer::Incomplete { needed: consumed };
    };
    match body.strip_suffix(VALUE_END) {
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
    fn every_kind_of_line_is_told_from_the_others() {
        for (text, code, body) in [
            ("HD c5", Code::Hit, ""),
            ("EN O1", Code::Miss, ""),
            ("NS", Code::NotStored, ""),
            ("EX", Code::Exists, ""),
            ("NF", Code::NotFound, ""),
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
