//! Who may connect: for now `guest`, from this machine, as with a RabbitMQ that nobody has set up.

use std::net::SocketAddr;

use forebay_wire::amqp::table::{Table, Value};

/// The mechanisms offered.
pub(crate) const MECHANISMS: &[u8] = b"PLAIN AMQPLAIN";
/// The one user, whose password is its name.
const GUEST: &str = "guest";

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

/// Judges the proof that a client gives.
pub(crate) fn judge(mechanism: &str, response: &[u8], peer: SocketAddr) -> Login {
    let proof = match mechanism {
        "PLAIN" => plain(response),
        "AMQPLAIN" => amqplain(response),
        _ => return Login::UnknownMechanism,
    };
    match proof {
        Some((user, password)) if user == GUEST.as_bytes() && password == GUEST.as_bytes() => {
            if peer.ip().to_canonical().is_loopback() {
                Login::Granted(GUEST.to_owned())
            } else {
                Login::Refused
            }
        }
        _ => Login::Refused,
    }
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

    #[test]
    fn guest_comes_in_by_both_mechanisms_and_only_from_this_machine() {
        let granted = Login::Granted("guest".into());
        for peer in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(judge("PLAIN", b"\0guest\0guest", from(peer)), granted);
            assert_eq!(judge("AMQPLAIN", &table(b"guest", b"guest"), from(peer)), granted);
        }
        assert_eq!(judge("PLAIN", b"\0guest\0guest", from("192.0.2.1")), Login::Refused);
    }

    #[test]
    fn nobody_else_comes_in() {
        let here = from("127.0.0.1");
        for response in
            [&b""[..], b"guest", b"\0guest", b"\0guest\0wrong", b"\0root\0guest", b"\0guest\0guest\0"]
        {
            assert_eq!(judge("PLAIN", response, here), Login::Refused, "{response:?}");
        }
        assert_eq!(judge("AMQPLAIN", &table(b"guest", b"wrong"), here), Login::Refused);
        assert_eq!(judge("AMQPLAIN", b"no table", here), Login::Refused);
        assert_eq!(judge("EXTERNAL", b"", here), Login::UnknownMechanism);
    }
}
