//! Malformed commands and memcached's words for them. Each was asked of memcached 1.6.18.

use crate::stream::{read, refusal};

fn key_too_long() -> String {
    "k".repeat(251)
}

#[test]
fn malformed_commands_are_refused_in_memcacheds_words() {
    const ERROR: Option<&str> = Some("ERROR");
    const FORMAT: Option<&str> = Some("CLIENT_ERROR bad command line format");
    const QUIET_FORMAT: Option<&str> = Some("(quiet) CLIENT_ERROR bad command line format");
    const TIME: Option<&str> = Some("CLIENT_ERROR invalid exptime argument");
    const TOKEN: Option<&str> = Some("CLIENT_ERROR bad token in command line format");
    const TWICE: Option<&str> = Some("CLIENT_ERROR duplicate flag");
    const INVALID: Option<&str> = Some("CLIENT_ERROR invalid flag");
    const EITHER: Option<&str> = Some("CLIENT_ERROR invalid or duplicate flag");
    const DELETE: Option<&str> = Some("CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]");
    let long = key_too_long();
    let opaque = "1".repeat(32);
    let cases: &[(&str, Option<&str>)] = &[
        ("", ERROR),
        (" ", ERROR),
        ("a", ERROR),
        ("version\r", ERROR),
        ("VERSION", ERROR),
        ("version x", None),
        ("version\0x", None),
        ("get", ERROR),
        ("get a\0b", None),
        (&format!("get a {long} a"), FORMAT),
        ("gat", ERROR),
        ("gat 0", None),
        ("gat x", TIME),
        (&format!("gat x {long}"), TIME),
        ("bget a", None),
        ("set", ERROR),
        ("set a 0 0", ERROR),
        ("set a 0 0 1 noreply x", ERROR),
        ("set a 0 0 noreply", QUIET_FORMAT),
        ("set a x 0 1", FORMAT),
        ("set a -1 0 1", FORMAT),
        ("set a 0 x 1 noreply", QUIET_FORMAT),
        ("set a 0 0 -1", FORMAT),
        ("set a 0 0 2147483646", FORMAT),
        ("set a 0 0 2147483645", Some("too large")),
        ("set a 0 0 99999999999999999999", FORMAT),
        (&format!("set {long} 0 0 1"), FORMAT),
        ("set a 0 0 1", Some("incomplete")),
        ("set a 0 0 1 norepl", Some("incomplete")),
        ("cas a 0 0 1", ERROR),
        ("cas a 0 0 1 x", FORMAT),
        ("cas a 0 0 1 -1", FORMAT),
        ("cas a 0 0 1 1 x", Some("incomplete")),
        ("incr a", ERROR),
        ("incr a noreply", Some("(quiet) CLIENT_ERROR invalid numeric delta argument")),
        ("incr a -1", Some("CLIENT_ERROR invalid numeric delta argument")),
        ("incr a 1 x", None),
        ("decr a 1 x x", ERROR),
        (&format!("decr {long} 1"), FORMAT),
        ("touch a", ERROR),
        ("touch a x", TIME),
        ("touch a 0 x", None),
        ("delete", ERROR),
        ("delete noreply", None),
        ("delete a 0", None),
        ("delete a 0 noreply", None),
        ("delete a 1", DELETE),
        ("delete a 0 x", DELETE),
        ("delete a noreply x", DELETE),
        (
            "delete a 1 noreply",
            Some("(quiet) CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]"),
        ),
        ("delete a 0 noreply x", ERROR),
        (&format!("delete {long}"), FORMAT),
        ("flush_all x", TIME),
        ("flush_all noreply 0", TIME),
        ("flush_all noreply", None),
        ("flush_all 0 0", None),
        ("flush_all 0 0 0", ERROR),
        ("verbosity", ERROR),
        ("verbosity x", FORMAT),
        ("verbosity noreply", QUIET_FORMAT),
        ("verbosity 1 2", None),
        ("verbosity 1 2 3", ERROR),
        ("cache_memlimit", ERROR),
        ("cache_memlimit x", ERROR),
        ("cache_memlimit noreply", Some("(quiet) ERROR")),
        ("cache_memlimit 7", Some("MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m")),
        ("cache_memlimit 1000000001", Some("MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes")),
        ("stats nonsense", ERROR),
        ("stats detail", Some("CLIENT_ERROR usage: stats detail on|off|dump")),
        ("GET / HTTP/1.1", Some("close")),
        ("HTTP/1.1", Some("close")),
        ("get / HTTP/1.1", None),
        ("mumble HTTP/1.1", Some("close")),
        ("mx HTTP/1.1", ERROR),
        ("x HTTP/1.1", ERROR),
        ("mx", ERROR),
        ("mg", ERROR),
        (&format!("mg {long}"), FORMAT),
        ("mg a v v", TWICE),
        ("mg a \u{7f}", TWICE),
        ("mg a E1", None),
        ("mg a x", None),
        ("mg a S3", INVALID),
        ("mg a Nx", TOKEN),
        ("mg a T", TOKEN),
        ("mg a Rx", TOKEN),
        ("mg a C", TOKEN),
        ("mg a Fx", FORMAT),
        ("mg a Nx Fx", TOKEN),
        ("mg a Fx M", Some("CLIENT_ERROR incorrect length for M token")),
        ("mg a MSS", Some("CLIENT_ERROR incorrect length for M token")),
        ("mg a Jx", Some("CLIENT_ERROR invalid numeric initial value")),
        ("mg a Dx", Some("CLIENT_ERROR invalid numeric delta value")),
        ("mg Zm9 b", Some("CLIENT_ERROR error decoding key")),
        (&format!("mg a O{opaque}"), Some("CLIENT_ERROR opaque token too long")),
        ("mg a v t c f s k O q h l u P L I", None),
        (&format!("mg a{}", " z".repeat(18)), Some("CLIENT_ERROR options flags are too long")),
        (&format!("md a{}", " z".repeat(18)), Some("CLIENT_ERROR options flags too long")),
        ("ms", ERROR),
        ("ms a", FORMAT),
        ("ms a x", FORMAT),
        ("ms a -1", FORMAT),
        ("ms a 1 z", INVALID),
        ("ms a 1 Mz", Some("CLIENT_ERROR invalid mode for ms M token")),
        (&format!("ms a 1 Mz O{opaque}"), Some("CLIENT_ERROR invalid mode for ms M token")),
        (&format!("ms a 1 O{opaque}"), Some("CLIENT_ERROR opaque token too long")),
        (&format!("ms {long} 1"), FORMAT),
        ("ms a 100000", Some("too large")),
        ("md", ERROR),
        ("md a z", EITHER),
        ("md a I I", EITHER),
        ("md Zm9 b", EITHER),
        ("ma a Dx", EITHER),
        ("ma a Mx", Some("CLIENT_ERROR invalid mode for ma M token")),
        ("me", FORMAT),
        ("me Zm9 b", FORMAT),
        ("me Zm9 x b", None),
        ("mn x", None),
    ];
    for (line, expected) in cases {
        assert_eq!(refusal(format!("{line}\r\n").as_bytes()).as_deref(), *expected, "{line:?}");
    }
}

/// What `input` means after its first command, in a few words.
fn after(input: &str) -> Vec<String> {
    read(&[input.as_bytes()]).iter().skip(1).map(|meant| meant.chars().take(7).collect()).collect()
}

#[test]
fn after_a_refusal_the_stream_goes_on_where_memcached_would() {
    // A length that cannot be is no length: the value is read as commands.
    assert_eq!(after("set a 0 0 -1\r\nversion\r\n"), ["Version"]);
    assert_eq!(after("ms a -1\r\nversion\r\n"), ["Version"]);
    // A length that can be is thrown away.
    assert_eq!(after("ms a 2 z\r\nhi\r\nversion\r\n"), ["Version"]);
    assert_eq!(after(&format!("set a 0 0 5000\r\n{}\r\nversion\r\n", "x".repeat(5000))), ["Version"]);
    assert_eq!(after(&format!("ms a 5000\r\n{}\r\nversion\r\n", "x".repeat(5000))), ["Version"]);
    // A value that is longer than said ends where its length says.
    assert_eq!(after("set a 0 0 1\r\nxyz\r\nversion\r\n"), ["Refused", "Version"]);
}

#[test]
fn an_item_is_measured_with_memcacheds_overhead() {
    let fits = 4096 - 59 - 1;
    assert_eq!(refusal(format!("set a 0 0 {fits}\r\n").as_bytes()).as_deref(), Some("incomplete"));
    assert_eq!(refusal(format!("set a 0 0 {}\r\n", fits + 1).as_bytes()).as_deref(), Some("too large"));
    assert_eq!(refusal(format!("set a 1 0 {}\r\n", fits - 4).as_bytes()).as_deref(), Some("incomplete"));
    assert_eq!(refusal(format!("set a 1 0 {}\r\n", fits - 3).as_bytes()).as_deref(), Some("too large"));
}
