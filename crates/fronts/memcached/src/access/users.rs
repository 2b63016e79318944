//! The names and passwords of those who may come in.

use std::{fmt, hint};

use forebay_core::limits::memcached::USERS_MAX;

/// Names and their passwords.
#[derive(Clone, PartialEq, Eq)]
pub struct Users(Vec<User>);

#[derive(Clone, PartialEq, Eq)]
struct User {
    name: Box<[u8]>,
    password: Box<[u8]>,
}

/// The names alone.
impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|user| String::from_utf8_lossy(&user.name));
        f.debug_tuple("Users").field(&names.collect::<Vec<_>>()).finish()
    }
}

impl Users {
    /// Reads lines of `name:password`, as in the file that memcached takes with `-Y`. Neither may be empty or have a blank in
    /// it, as a client of the text protocol could not say it. The error names the line and does not show it.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut users: Vec<User> = Vec::new();
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.is_empty()) {
            let (name, password) = line
                .split_once(':')
                .filter(|(name, password)| {
                    ![name, password].iter().any(|word| word.is_empty() || word.contains(char::is_whitespace))
                })
                .ok_or_else(|| format!("line {number}: expected name:password without blanks"))?;
            if users.iter().any(|user| *user.name == *name.as_bytes()) {
                return Err(format!("line {number}: this name is there twice"));
            }
            users.push(User { name: name.as_bytes().into(), password: password.as_bytes().into() });
        }
        match users.len() {
            0 => Err("expected at least one line of name:password".into()),
            count if count > USERS_MAX => Err(format!("expected at most {USERS_MAX} users")),
            _ => Ok(Self(users)),
        }
    }

    /// Whether there is such a name and this is its password. How long it takes says nothing of the names and passwords there are.
    pub(crate) fn know(&self, name: &[u8], password: &[u8]) -> bool {
        let check = |known: bool, user: &User| {
            known | (are_same(&user.name, name) & are_same(&user.password, password))
        };
        self.0.iter().fold(false, |known, user| hint::black_box(check(known, user)))
    }
}

/// Looks at every byte that was offered, whatever the first ones are and however many were expected.
fn are_same(expected: &[u8], offered: &[u8]) -> bool {
    let compare = |bits: u8, (place, byte): (usize, &u8)| {
        hint::black_box(bits | (byte ^ expected.get(place).copied().unwrap_or(!byte)))
    };
    (expected.len() == offered.len()) & (offered.iter().enumerate().fold(0, compare) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_with_its_own_password_alone() {
        let users = Users::read("user:secret\n\nother:pass:word\r\n").unwrap();
        assert!(users.know(b"user", b"secret") && users.know(b"other", b"pass:word"));
        for (name, password) in [
            ("user", "pass:word"),
            ("user", "secre"),
            ("user", "secretx"),
            ("user", ""),
            ("", ""),
            ("use", "secret"),
        ] {
            assert!(!users.know(name.as_bytes(), password.as_bytes()), "{name} {password}");
        }
        assert!(!format!("{users:?}").contains("secret"));
    }

    #[test]
    fn a_bad_line_is_named_and_not_shown() {
        for (text, what) in [
            ("", "at least one"),
            ("a:secret\nsecret\n", "line 2"),
            (":secret", "line 1"),
            ("secret:", "line 1"),
            ("a:my secret", "line 1"),
            ("a:secret\na:secret", "line 2: this name is there twice"),
        ] {
            let error = Users::read(text).unwrap_err();
            assert!(error.contains(what) && !error.contains("secret"), "{text:?}: {error}");
        }
        let many: String = (0..=USERS_MAX).map(|number| format!("u{number}:p\n")).collect();
        assert!(Users::read(&many).unwrap_err().contains("at most"));
    }
}
