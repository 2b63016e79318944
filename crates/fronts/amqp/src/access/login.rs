//! Judging who wants to come in.

use std::net::SocketAddr;
use std::sync::Arc;

use forebay_core::limits;
use forebay_wire::amqp::table::{Table, Value};
use tokio::sync::Semaphore;

use super::password::Hashed;
use super::user::{Directory, GUEST};

/// The mechanisms offered.
pub(crate) const MECHANISMS: &[u8] = b"PLAIN AMQPLAIN";
/// A hash that no password fits, so that a name that is not there takes as long as one that is.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5bm9ib2R5$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// What became of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    /// The user may come in.
    Granted(String),
    /// Not this user, not with this password, or not from there.
    Refused,
    /// No such mechanism.
    UnknownMechanism,
}

/// Who keeps the door.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) directory: Arc<Directory>,
    /// Passwords that may be looked at at a time: it takes memory and a processor.
    looking: Semaphore,
}

impl Door {
    pub(crate) fn new(directory: Arc<Directory>) -> Self {
        Self { directory, looking: Semaphore::new(limits::amqp::PASSWORDS_AT_ONCE) }
    }

    /// Judges the proof that a client gives. Passwords are looked at beside the threads of the connections.
    pub(crate) async fn judge(&self, mechanism: &str, response: &[u8], peer: SocketAddr) -> Login {
        let proof = match mechanism {
            "PLAIN" => plain(response),
            "AMQPLAIN" => amqplain(response),
            _ => return Login::UnknownMechanism,
        };
        let Some((name, password)) = proof else { return Login::Refused };
        let Ok(name) = std::str::from_utf8(name) else { return Login::Refused };
        if self.directory.has_guest() {
            let is_guest = name == GUEST && password == GUEST.as_bytes() && is_here(peer);
            return if is_guest { Login::Granted(name.to_owned()) } else { Login::Refused };
        }
        let user = self.directory.user(name).filter(|_| name != GUEST || is_here(peer));
        let Ok(hashed) = user.map_or_else(|| Hashed::new(NOBODY), |user| Ok(user.password.clone())) else {
            return Login::Refused;
        };
        let Ok(_turn) = self.looking.acquire().await else { return Login::Refused };
        let password = password.to_vec();
        let looked = tokio::task::spawn_blocking(move || hashed.fits(&password)).await;
        match looked {
            Ok(true) if user.is_some() => Login::Granted(name.to_owned()),
            _ => Login::Refused,
        }
    }
}

/// Whether the client is on this machine.
fn is_here(peer: SocketAddr) -> bool {
    peer.ip().to_canonical().is_loopback()
}

/// An identity to act for, which is left empty, the user and the password, each behind a zero.
fn plain(response: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut parts = response.splitn(3, |octet| *octet == 0);
    let (_acting_for, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    Some((user, password))
}

/// A table without its length.
fn amqplain(response: &[u8]) -> Option<(&[u8], &[u8])> {
    let table = Table::parse(response).ok()?;
    let text = |name: &[u8]| match table.get(name) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    };
    Some((text(b"LOGIN")?, text(b"PASSWORD")?))
}

#[cfg(test)]
mod tests {
    use forebay_wire::amqp::table::TableBuf;
    use forebay_wire::amqp::text::ShortBytes;

    use super::super::user::tests::user;
    use super::*;

    fn from(address: &str) -> SocketAddr {
        SocketAddr::new(address.parse().unwrap(), 1)
    }

    fn table(login: &[u8], password: &[u8]) -> Vec<u8> {
        let mut table = TableBuf::new();
        let name = |name: &'static [u8]| ShortBytes::new(name).unwrap();
        table.push(name(b"LOGIN"), Value::Text(login)).push(name(b"PASSWORD"), Value::Text(password));
        table.as_table().as_bytes().to_vec()
    }

    #[tokio::test]
    async fn guest_comes_in_by_both_mechanisms_and_only_from_this_machine() {
        let (door, granted) = (Door::new(Arc::default()), Login::Granted("guest".into()));
        for peer in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(door.judge("PLAIN", b"\0guest\0guest", from(peer)).await, granted);
            assert_eq!(door.judge("AMQPLAIN", &table(b"guest", b"guest"), from(peer)).await, granted);
        }
        assert_eq!(door.judge("PLAIN", b"\0guest\0guest", from("192.0.2.1")).await, Login::Refused);
    }

    #[tokio::test]
    async fn nobody_else_comes_in() {
        let (door, here) = (Door::new(Arc::default()), from("127.0.0.1"));
        for response in
            [&b""[..], b"guest", b"\0guest", b"\0guest\0wrong", b"\0root\0guest", b"\0guest\0guest\0"]
        {
            assert_eq!(door.judge("PLAIN", response, here).await, Login::Refused, "{response:?}");
        }
        assert_eq!(door.judge("AMQPLAIN", &table(b"guest", b"wrong"), here).await, Login::Refused);
        assert_eq!(door.judge("AMQPLAIN", b"no table", here).await, Login::Refused);
        assert_eq!(door.judge("EXTERNAL", b"", here).await, Login::UnknownMechanism);
    }

    #[tokio::test]
    async fn users_come_in_with_their_passwords_from_anywhere_and_guest_only_if_it_is_one_and_here() {
        let users = vec![user("u", "secret", "/"), user("guest", "other", "/")];
        let door = Door::new(Arc::new(Directory::new(&[], users).unwrap()));
        let (here, there) = (from("127.0.0.1"), from("192.0.2.1"));
        let granted = |name: &str| Login::Granted(name.to_owned());
        assert_eq!(door.judge("PLAIN", b"\0u\0secret", there).await, granted("u"));
        assert_eq!(door.judge("AMQPLAIN", &table(b"u", b"secret"), here).await, granted("u"));
        assert_eq!(door.judge("PLAIN", b"\0guest\0other", here).await, granted("guest"));
        assert_eq!(door.judge("PLAIN", b"\0guest\0other", there).await, Login::Refused);
        assert_eq!(door.judge("PLAIN", b"\0guest\0guest", here).await, Login::Refused);
        assert_eq!(door.judge("PLAIN", b"\0u\0wrong", here).await, Login::Refused);
        assert_eq!(door.judge("PLAIN", b"\0nobody\0secret", here).await, Login::Refused);
        assert!(Hashed::new(NOBODY).is_ok());
    }
}
