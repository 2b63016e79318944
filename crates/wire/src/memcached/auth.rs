//! What a client of the text protocol says of itself before anything else: a `set` of any key, whose value is a name and a
//! password.

use std::fmt;

use super::command::{Command, Refused};
use super::line::{Found, find};
use super::number::unsigned_32;
use super::parse::{Body, Limits, Parsed};
use super::refusal::Refusal;
use super::words::{Line, Words};

/// A name and a password together. What is longer is thrown away.
const VALUE_BYTES_MAX: usize = 1024;

/// Who a client says it is.
#[derive(Clone, Copy)]
pub struct Authenticate<'a> {
    /// The name.
    pub user: &'a [u8],
    /// The password.
    pub password: &'a [u8],
}

/// Without the password.
impl fmt::Debug for Authenticate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticate")
            .field("user", &String::from_utf8_lossy(self.user))
            .finish_non_exhaustive()
    }
}

/// Reads the head of `input`, of which the first `searched` bytes are known to hold no line end, of a client that has not said
/// who it is. The command is [`Command::Authenticate`] or [`Command::Refused`].
pub fn parse<'a>(input: &'a [u8], searched: usize, limits: &Limits) -> Parsed<'a> {
    // A `get` of thousands of keys is not for who comes in.
    let limits = Limits { get_line_bytes_max: limits.open_line_bytes_max, ..*limits };
    let (text, length) = match find(input, searched, &limits) {
        Found::Line { text, length } => (text, length),
        Found::Open => return Parsed::Incomplete { needed: input.len() + 1, searched: input.len() },
        Found::Endless => return Parsed::Close,
    };
    let (line, body) = (Line::new(text), Body::after(input, length));
    let refused = |refusal| Command::from(Refused { refusal, quiet: false });
    let length = unsigned_32(line.word(4)).filter(|_| line.word(0) == b"set" && line.count() >= 5);
    let Some(length) = length.map(|length| length as usize) else {
        return body.none(refused(Refusal::Unauthenticated));
    };
    if length > VALUE_BYTES_MAX {
        return body.swallow(length, refused(Refusal::BadCredentials));
    }
    body.take(length, |value| {
        let Some(value) = value else { return refused(Refusal::BadTermination) };
        let mut words = Words::new(value);
        match (words.next(), words.next()) {
            (Some(user), Some(password)) => Command::Authenticate(Authenticate { user, password }),
            _ => refused(Refusal::BadCredentials),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        key_bytes_max: 250,
        item_bytes_max: 1000,
        open_line_bytes_max: 2048,
        line_bytes_max: 2048,
        get_line_bytes_max: 2048,
    };

    /// What it is read as, its length, and what is to be thrown away after that.
    fn read(input: &str) -> (Command<'_>, usize, usize) {
        match parse(input.as_bytes(), 0, &LIMITS) {
            Parsed::Complete { command, consumed, swallow } => (command, consumed, swallow),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_name_and_a_password_are_the_value_of_a_set() {
        for input in [
            "set x 0 0 11\r\nuser secret\r\n",
            "set x 0 0 12 noreply\r\nuser  secret\r\n",
            "set x a b 16 1 1\r\nuser secret more\r\n",
        ] {
            let (command, consumed, swallow) = read(input);
            let Command::Authenticate(who) = command else { panic!("{command:?}") };
            assert_eq!((who.user, who.password), (&b"user"[..], &b"secret"[..]));
            assert_eq!((consumed, swallow), (input.len(), 0));
            assert!(!format!("{command:?}").contains("secret"));
        }
        let half = "set x 0 0 11\r\nuser sec";
        assert!(matches!(parse(half.as_bytes(), 0, &LIMITS), Parsed::Incomplete { needed: 27, .. }));
    }

    #[test]
    fn anything_else_is_refused_in_memcacheds_words() {
        for (input, words) in [
            ("get a\r\n", "CLIENT_ERROR unauthenticated"),
            ("quit\r\n", "CLIENT_ERROR unauthenticated"),
            ("add x 0 0 11\r\n", "CLIENT_ERROR unauthenticated"),
            ("set x 0 0\r\n", "CLIENT_ERROR unauthenticated"),
            ("set x 0 0 x\r\n", "CLIENT_ERROR unauthenticated"),
            ("set x 0 0 -1\r\n", "CLIENT_ERROR unauthenticated"),
            ("set x 0 0 4\r\nuser\r\n", "CLIENT_ERROR bad authentication token format"),
            ("set x 0 0 0\r\n\r\n", "CLIENT_ERROR bad authentication token format"),
            ("set x 0 0 11\r\nuser secretXX", "CLIENT_ERROR bad command line termination"),
            ("set x 0 0 1025\r\n", "CLIENT_ERROR bad authentication token format"),
        ] {
            let (command, consumed, _) = read(input);
            let Command::Refused(refused) = command else { panic!("{command:?}") };
            assert_eq!((refused.refusal.text(), consumed), (words, input.len()), "{input:?}");
        }
        assert_eq!(read("set x 0 0 1025\r\n").2, 1027);
        assert!(matches!(parse(&[b'a'; 2049], 0, &LIMITS), Parsed::Close));
    }
}
