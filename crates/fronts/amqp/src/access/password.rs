//! Passwords, of which only what argon2 makes of them is known.

use std::fmt;
use std::sync::Arc;

use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{self, PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Argon2, Params};
use forebay_core::limits;

/// What is kept of a password: a PHC string. It is never shown.
#[derive(Clone)]
pub struct Hashed(Arc<str>);

impl fmt::Debug for Hashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl Hashed {
    /// Reads a PHC string of argon2. The error says what is expected and does not repeat the text.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        let wrong = "expected a hash of argon2 as `forebay hash-password` prints it";
        let hash = PasswordHash::new(text).map_err(|_| wrong)?;
        let params = Params::try_from(&hash).map_err(|_| wrong)?;
        if !matches!(hash.algorithm.as_str(), "argon2d" | "argon2i" | "argon2id") || hash.hash.is_none() {
            return Err(wrong);
        }
        // One who tries passwords must not take more of the machine than that.
        let cost = u64::from(params.m_cost()) * u64::from(params.t_cost());
        if params.m_cost() > limits::amqp::PASSWORD_KIB_MAX || cost > limits::amqp::PASSWORD_COST_MAX {
            return Err("expected a hash that takes at most 256 MiB, and 1 GiB over all passes");
        }
        Ok(Self(text.into()))
    }

    /// Makes a hash of a password, with a salt of its own.
    pub fn of(password: &[u8]) -> password_hash::Result<String> {
        let salt = SaltString::generate(&mut OsRng);
        Ok(Argon2::default().hash_password(password, &salt)?.to_string())
    }

    /// Whether it is the password. Takes some hundredths of a second.
    pub(crate) fn fits(&self, password: &[u8]) -> bool {
        PasswordHash::new(&self.0)
            .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_fits_its_own_hash_and_no_other() {
        let text = Hashed::of(b"secret").unwrap();
        assert_ne!(text, Hashed::of(b"secret").unwrap(), "the salt is another every time");
        let hashed = Hashed::new(&text).unwrap();
        assert!(hashed.fits(b"secret") && !hashed.fits(b"Secret") && !hashed.fits(b""));
        assert!(!format!("{hashed:?}").contains('$'));
    }

    #[test]
    fn what_is_no_hash_or_costs_too_much_is_refused() {
        let salted = |params: &str| {
            format!("$argon2id$v=19${params}$c29tZXNhbHQ$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A")
        };
        assert!(Hashed::new(&salted("m=65536,t=3,p=1")).is_ok());
        assert!(Hashed::new(&salted("m=262145,t=1,p=1")).is_err());
        assert!(Hashed::new(&salted("m=65536,t=17,p=1")).is_err());
        for text in ["", "secret", "$argon2id$v=19$m=1,t=1,p=1$c29tZXNhbHQ", "$pbkdf2$c29tZXNhbHQ"] {
            assert!(Hashed::new(text).is_err(), "{text}");
        }
    }
}
