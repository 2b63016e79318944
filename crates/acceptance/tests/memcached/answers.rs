//! The same bytes to memcached and to our front: chosen cases, every byte of the answers compared.

use forebay_acceptance::front::Front;
use forebay_acceptance::memcached::differential::{assert_same, assert_same_near, each, lines};
use forebay_acceptance::raw::{Raw, converse, text};
use forebay_contract::servers::memcached::Memcached;

fn key_too_long() -> String {
    "k".repeat(251)
}

#[test]
fn malformed_lines_are_answered_alike() {
    let long = key_too_long();
    let mut streams = each(&[
        "",
        " ",
        "a",
        "  version  ",
        "version x",
        "version\r",
        "VERSION",
        "bogus",
        "get",
        "gets",
        "gat",
        "gats",
        "gat 0",
        "gat x",
        "gat x a",
        "gat 4294967296 a",
        "touch a",
        "touch a x",
        "touch a 0 x",
        "touch a 0 x x",
        "incr a",
        "incr a x",
        "incr a -1",
        "incr a 18446744073709551616",
        "incr a noreply",
        "incr a 1 x",
        "decr a 1 noreply",
        "delete",
        "delete noreply",
        "delete a 1",
        "delete a 0 x",
        "delete a noreply x",
        "delete a 1 noreply",
        "delete a 0 noreply x",
        "delete a b c d e",
        "verbosity",
        "verbosity x",
        "verbosity 1",
        "verbosity -1",
        "verbosity 1 x",
        "verbosity 1 2 3",
        "verbosity noreply",
        "verbosity 1 noreply",
        "flush_all x",
        "flush_all noreply 0",
        "flush_all 0 0",
        "flush_all 0 0 0",
        "flush_all -1",
        "flush_all noreply",
        "flush_all 0 noreply",
        "cache_memlimit",
        "cache_memlimit x",
        "cache_memlimit 0",
        "cache_memlimit 7",
        "cache_memlimit 7 noreply",
        "cache_memlimit 8",
        "cache_memlimit 8 noreply",
        "cache_memlimit 64",
        "cache_memlimit 100",
        "cache_memlimit -1",
        "cache_memlimit 8 x",
        "cache_memlimit 2000000000",
        "cache_memlimit 1000000001",
        "cache_memlimit noreply",
        "cache_memlimit 1 2 3",
        "shutdown",
        "shutdown graceful",
        "shutdown noreply",
        "mn",
        "mn x",
        "m",
        "mx",
        "mg",
        "ms",
        "ms a",
        "md",
        "ma",
        "me",
        "me a",
        "me a b",
        "stats nonsense",
        "stats noreply",
        "stats detail",
        "stats detail x",
        "stats sizes",
        "stats reset",
        "stats reset x",
        "stats slabs",
        "stats items",
        "GET / HTTP/1.1",
        "POST / HTTP/1.0",
        "get / HTTP/1.1",
        "HTTP/1.1",
        "mx HTTP/1.1",
        "x HTTP/1.1",
        "mumble HTTP/1.1",
    ]);
    for verb in ["get", "gets", "gat 0", "delete", "mg", "md", "ma", "me"] {
        streams.push(lines(&[&format!("{verb} {long}"), "mn"]));
    }
    for (before, after) in [("set", "0 0 1"), ("touch", "0"), ("incr", "1"), ("ms", "1")] {
        streams.push(lines(&[&format!("{before} {long} {after}"), "mn"]));
    }
    streams.push(lines(&[&format!("get {} {long} a", "a ".repeat(30)), "mn"]));
    streams.push("\nversion\n\n".into());
    streams.push("ver\0sion\r\nversion\0x\r\nget a\0b\r\n".into());
    assert_same(&streams);
    assert_same_near(&streams, 90);
}

#[test]
fn storage_commands_with_faults_are_answered_alike() {
    let streams = [
        lines(&["set a 0 0 -1", "mn"]),
        lines(&["set a 0 0 2147483646", "mn"]),
        lines(&["set a 0 0 2147483648", "mn"]),
        lines(&["set a 0 0", "mn"]),
        lines(&["set a 0 0 noreply", "mn"]),
        lines(&["set a x 0 1", "x", "mn"]),
        lines(&["set a 0 x 1", "x", "mn"]),
        lines(&["set a 0 0 x", "x", "mn"]),
        lines(&["set a -1 0 1", "x", "mn"]),
        lines(&["set a +1 +0 +1", "x", "get a"]),
        lines(&["set a 4294967297 4294967296 4294967297", "x", "get a"]),
        lines(&["set a 0 0 1 norepl", "x", "get a"]),
        lines(&["set a 0 0 1 noreply x", "x", "mn"]),
        lines(&["set b 0 0 3", "abcdef", "get b"]),
        lines(&["set b 0 0 3 noreply", "abcdef", "mn"]),
        lines(&["set b 0 0 3", "ab", "c", "get b"]),
        "set b 0 0 1\nx\r\nget b\n".into(),
        "set b 0 0 1\r\nx\nget b\n\r\n".into(),
        lines(&["set b 0 0 0", "", "get b"]),
        lines(&["cas b 0 0 1", "x", "mn"]),
        lines(&["cas b 0 0 1 x", "x", "mn"]),
        lines(&["cas none 0 0 1 0", "x"]),
        lines(&["cas b 0 0 1 0", "x"]),
        lines(&["cas b 0 0 1 1 x", "x"]),
        lines(&["cas b 0 0 1 1 noreply", "x", "mn"]),
        lines(&["replace none 0 0 1", "x", "append none 0 0 1", "x", "prepend none 0 0 1", "x"]),
        lines(&["set c 5 1500 1", "x", "append c 9 9 1", "y", "prepend c 9 9 1", "z", "get c", "mg c t f"]),
        "set c 0 0 10\r\nabc".into(),
    ];
    assert_same(&streams);
    assert_same_near(&streams, 28);
}

#[test]
fn values_over_the_limit_are_refused_and_swallowed_alike() {
    let large = |verb: &str, length: usize| format!("{verb} {length}\r\n{}\r\n", "x".repeat(length));
    let small = lines(&["set a 0 0 3", "abc"]);
    let get = lines(&["mg a s"]);
    let mut streams = Vec::new();
    for verb in ["set a 0 0", "add a 0 0", "replace a 0 0", "append a 0 0", "prepend a 0 0", "ms a"] {
        streams.push([&small, &large(verb, 2_000_000), &get].map(String::as_str).concat());
    }
    // The largest that fits and the smallest that does not: memcached counts key, flags and its own header.
    for (key, flags, length) in [("a", 0, 1_048_516), ("a", 1, 1_048_512), ("abc", 0, 1_048_514)] {
        for length in [length, length + 1] {
            streams.push([large(&format!("set {key} {flags} 0"), length), get.clone()].concat());
        }
    }
    streams.push(
        [small.clone(), large("set a 0 0", 1_048_516), large("append a 0 0", 200), get.clone()].concat(),
    );
    streams.push(format!("{small}set a 0 0 2000000 noreply\r\n{}\r\n{get}", "x".repeat(2_000_000)));
    assert_same(&streams);
    assert_same_near(&streams, 6);
}

#[test]
fn numbers_are_counted_alike() {
    let mut streams = Vec::new();
    for value in [
        "10",
        "0",
        "9",
        "99",
        "18446744073709551615",
        "18446744073709551616",
        " +5",
        "-5",
        "12 ab",
        "12\tab",
        "00000000000000000000000012",
        "1\x002",
        "abc",
        "1x",
        "5 ",
        "+",
    ] {
        for step in ["incr n 1", "decr n 1", "incr n 18446744073709551615", "decr n 100", "incr n 91"] {
            let set = format!("set n 7 1500 {}", value.len());
            streams.push(lines(&[&set, value, step, "get n", "mg n t f"]));
        }
    }
    streams.push(lines(&[
        "incr none 1",
        "decr none 1",
        "incr none 1 noreply",
        "set n 0 0 1",
        "1",
        "incr n 1 noreply",
    ]));
    assert_same(&streams);
    assert_same_near(&streams, 70);
}

// No differential test: memcached reads on behind a value of blanks, into what its memory held before.
#[test]
fn a_value_of_blanks_is_no_number() {
    let front = Front::start();
    for value in ["", " ", "\t \r\n"] {
        for step in ["incr n 1", "decr n 100"] {
            let set = format!("set n 7 1500 {}", value.len());
            let answered = text(&converse(front.address, &[lines(&[&set, value, step, "get n"]).as_bytes()]));
            let refused = "CLIENT_ERROR cannot increment or decrement non-numeric value";
            let expected = lines(&["STORED", refused, &format!("VALUE n 7 {}", value.len()), value, "END"]);
            assert_eq!(answered, text(expected.as_bytes()), "{step} of {value:?}");
        }
    }
}

#[test]
fn ends_of_life_are_understood_alike() {
    let mut streams = Vec::new();
    for exptime in ["0", "-1", "-2147483648", "1500", "2592000", "2592001", "4294967296", "9999999999"] {
        streams.push(lines(&[
            &format!("set e 0 {exptime} 1"),
            "x",
            "mg e t",
            "set f 0 0 1",
            "y",
            &format!("touch f {exptime}"),
            "mg f t",
            "set g 0 0 1",
            "z",
            &format!("gat {exptime} g none"),
            "mg g t",
            "add e 0 0 1",
            "w",
        ]));
    }
    let tomorrow =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 86_500;
    streams.push(lines(&[&format!("set e 0 {tomorrow} 1"), "x", "mg e t"]));
    assert_same(&streams);
    assert_same_near(&streams, 9);
}

#[test]
fn flush_all_hides_what_was_before_and_nothing_after() {
    assert_same(&[
        lines(&[
            "set a 0 0 1",
            "x",
            "flush_all",
            "get a",
            "set a 0 0 1",
            "y",
            "get a",
            "add b 0 0 1",
            "z",
            "get b",
        ]),
        lines(&[
            "flush_all noreply",
            "get a",
            "incr a 1",
            "append a 0 0 1",
            "x",
            "touch a 0",
            "delete a",
            "mg a",
        ]),
        lines(&[
            "set a 0 0 1",
            "x",
            "flush_all 1",
            "get a",
            "flush_all",
            "set a 0 0 1",
            "y",
            "flush_all 9",
            "get a",
        ]),
    ]);
}

#[test]
fn a_line_that_does_not_end_is_given_up_where_memcached_gives_up() {
    let (memcached, front) = (Memcached::start(), Front::start());
    let long = |prefix: &str, length: usize| format!("{prefix}{}", "x".repeat(length));
    for (line, lives) in [
        (long("", 2048), true),
        (long("", 2049), false),
        (long("get ", 2049), true),
        (long("gets ", 2049), true),
        (long(&format!("{}get ", " ".repeat(100)), 2049), true),
        (long(&format!("{}get ", " ".repeat(101)), 2049), false),
        (long("gat 0 ", 2049), false),
        (long("mg ", 2049), false),
        ("x ".repeat(1500) + "\r\n", true),
        (long("mg ", 3000) + "\r\n", true),
        ("get ".to_owned() + &"key ".repeat(20_000) + "\r\n", true),
    ] {
        for address in [memcached.address, front.address] {
            let mut raw = Raw::connect(address);
            raw.send(line.as_bytes());
            if lives {
                // Still there: the rest of the line, if there is one, and then a command.
                let answer = raw.ask(b"\r\nversion\r\n");
                assert!(
                    text(&answer).contains("VERSION"),
                    "{} of {}: {}",
                    address,
                    text(line.as_bytes()),
                    text(&answer)
                );
            } else {
                assert_eq!(raw.read(), b"", "{} of {}", address, text(line.as_bytes()));
            }
        }
    }
}

#[test]
fn after_quit_nothing_is_answered() {
    assert_same(&[
        lines(&["version", "quit"]),
        lines(&["quit noreply"]),
        lines(&["set a 0 0 1", "x", "get a", "quit"]),
    ]);
}
