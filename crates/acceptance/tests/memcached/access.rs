//! Who may use the memcached front, and for how long in silence. What is answered in the text protocol to those who have not said who
//! they are is compared with memcached's own `-Y`.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_acceptance::front::Front;
use forebay_acceptance::memcached::packets::{Conversation, Packet};
use forebay_acceptance::raw::{Raw, converse, text};
use forebay_contract::servers::memcached::Memcached;
use forebay_memcached::Options;
use forebay_memcached::access::users::Users;

const USERS: &str = "user:secret\nother:pass:word\n";

fn guarded() -> Front {
    let users = Some(Arc::new(Users::read(USERS).unwrap()));
    Front::start_with(Options { users, ..Options::default() })
}

#[test]
fn who_has_not_said_who_it_is_is_answered_alike() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users");
    fs::write(&file, USERS).unwrap();
    let (memcached, front) = (Memcached::start_with(&["-Y", file.to_str().unwrap()]), guarded());
    for stream in [
        "get a\r\n",
        "\r\n",
        "x\n",
        "quit\r\n",
        "add x 0 0 11\r\n",
        "ms x 11\r\n",
        "GET / HTTP/1.1\r\n",
        "set x 0 0 11\r\nuser secret\r\nget a\r\n",
        "set x 0 0 15\r\nother pass:word\r\nmn\r\n",
        "set x 0 0 11 noreply\r\nuser secret\r\nmn\r\n",
        "set x 0 0 12\r\nuser  secret\r\nmn\r\n",
        "set x 0 0 18\r\nuser secret more x\r\nmn\r\n",
        "set x a b 11\r\nuser secret\r\nmn\r\n",
        "set x 0 0 11 1 1\r\nuser secret\r\nmn\r\n",
        "set x 0 0 11\nuser secret\r\nmn\r\n",
        "set x 0 0 11\r\nuser secret\r\nset x 0 0 11\r\nuser secret\r\nget x\r\n",
        "set x 0 0 10\r\nuser wrong\r\n",
        "set x 0 0 13\r\nnobody secret\r\n",
        "set x 0 0 4\r\nuser\r\n",
        "set x 0 0 0\r\n\r\n",
        "set x 0 0 x\r\n",
        "set x 0 0 -1\r\n",
        "set x 0 0 11abc\r\n",
        "set x 0 0\r\n",
        "set x 0 0 11\r\nuser secre",
    ] {
        let expected = converse(memcached.address, &[stream.as_bytes()]);
        let answered = converse(front.address, &[stream.as_bytes()]);
        assert_eq!(text(&answered), text(&expected), "asked {stream:?}");
        // Byte by byte it means the same.
        let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
        assert_eq!(text(&converse(front.address, &bytes)), text(&answered), "asked {stream:?} in bytes");
    }
}

#[test]
fn a_wrong_password_is_refused_and_the_next_may_be_right() {
    let front = guarded();
    let mut raw = Raw::connect(front.address);
    raw.send(b"set x 0 0 10\r\nuser wrong\r\nset x 0 0 11\r\nuser secret\r\n");
    assert_eq!(text(&raw.read_exactly(45)), "CLIENT_ERROR authentication failure\\r\\nSTORED\\r\\n");
    let stats = String::from_utf8(raw.ask(b"stats\r\n")).unwrap();
    assert!(stats.contains("STAT auth_cmds 2\r\nSTAT auth_errors 1\r\n"), "{stats}");
    let settings = String::from_utf8(raw.ask(b"stats settings\r\n")).unwrap();
    assert!(settings.contains("STAT auth_enabled_sasl yes\r\nSTAT auth_enabled_ascii yes\r\n"), "{settings}");
}

#[test]
fn what_is_too_long_for_a_password_is_thrown_away_unread() {
    let front = guarded();
    let mut stream = b"set x 0 0 1000000\r\n".to_vec();
    stream.resize(stream.len() + 1_000_000, b'x');
    stream.extend(b"\r\nset x 0 0 11\r\nuser secret\r\nmn\r\n");
    let answered = converse(front.address, &[&stream]);
    assert_eq!(text(&answered), "CLIENT_ERROR bad authentication token format\\r\\nSTORED\\r\\nMN\\r\\n");
}

const GET: u8 = 0x00;
const NOOP: u8 = 0x0a;
const VERSION: u8 = 0x0b;
const SASL_LIST: u8 = 0x20;
const SASL_AUTH: u8 = 0x21;
const SASL_STEP: u8 = 0x22;

fn plain(credentials: &[u8]) -> Packet {
    Packet::new(SASL_AUTH).key(b"PLAIN").value(credentials)
}

#[test]
fn sasl_plain_lets_in_who_is_known() {
    let front = guarded();
    for credentials in [&b"\0user\0secret"[..], b"user\0user\0secret", b"\0other\0pass:word"] {
        let mut conversation = Conversation::with(front.address);
        // These two are answered to everybody; what ends the question is not.
        let mut raw = Raw::connect(front.address);
        raw.send(&[Packet::new(SASL_LIST).bytes(0), Packet::new(VERSION).bytes(1)].concat());
        let listed = raw.read_exactly(24 + 5);
        assert_eq!(&listed[24..], b"PLAIN");
        let (shown, open) = conversation.ask(&plain(credentials));
        assert!(open && shown[0].contains("0x0,") && shown[0].contains("Authenticated"), "{shown:?}");
        assert!(conversation.ask(&Packet::new(GET).key(b"none")).1);
    }
}

#[test]
fn sasl_turns_away_whom_it_does_not_know() {
    let front = guarded();
    for refused in [
        plain(b"\0user\0wrong"),
        plain(b"\0user\0"),
        plain(b"\0user"),
        plain(b""),
        plain(b"user secret"),
        Packet::new(SASL_AUTH).key(b"CRAM-MD5").value(b"\0user\0secret"),
        Packet::new(SASL_STEP).key(b"PLAIN").value(b"\0user\0secret"),
        Packet::new(GET).key(b"a"),
        Packet::new(NOOP),
    ] {
        let mut conversation = Conversation::with(front.address);
        let (shown, open) = conversation.ask(&refused);
        assert!(
            !open && shown[0].contains("0x20,") && shown[0].contains("Auth failure."),
            "{refused:?}: {shown:?}"
        );
    }
    // An attempt that failed may be followed by one that does not.
    let mut raw = Raw::connect(front.address);
    raw.send(&[plain(b"\0user\0wrong").bytes(0), plain(b"\0user\0secret").bytes(1)].concat());
    let answered = raw.read_exactly(24 + 13 + 24 + 13);
    assert_eq!((&answered[24..37], &answered[61..]), (&b"Auth failure."[..], &b"Authenticated"[..]));
}

#[test]
fn a_silent_connection_is_closed_and_a_busy_one_is_not() {
    let idle = Duration::from_millis(400);
    let front = Front::start_with(Options { idle: Some(idle), ..Options::default() });
    let mut busy = Raw::connect(front.address);
    let (mut silent, mut half) = (Raw::connect(front.address), Raw::connect(front.address));
    half.send(b"set a 0 0 10\r\nhalf");
    let begun = Instant::now();
    assert_eq!(silent.ask(b"mn\r\n"), b"MN\r\n");
    while begun.elapsed() < 3 * idle {
        assert_eq!(busy.ask(b"mn\r\n"), b"MN\r\n");
    }
    assert_eq!((silent.read(), half.read()), (Vec::new(), Vec::new()));
    let stats = String::from_utf8(busy.ask(b"stats\r\n")).unwrap();
    assert!(stats.contains("STAT idle_kicks 2\r\n"), "{stats}");
}
