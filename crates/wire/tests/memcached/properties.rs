//! Properties that hold for every stream: valid, mutated or garbage.

use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use proptest::sample::{Index, select};

use crate::stream::{BINARY, WAY_IN, assert_same_in_pieces, read};

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[a-z]{1,6}",
        1 => "[!-~]{1,40}",
        1 => Just("k".repeat(250)),
        1 => Just("k".repeat(251)),
        1 => Just("Zm9v".to_owned()),
    ]
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[0-9]{1,3}",
        1 => any::<i64>().prop_map(|number| number.to_string()),
        1 => any::<u64>().prop_map(|number| number.to_string()),
        1 => select(vec!["+1", "-1", "1x", "", "99999999999999999999", "4294967297"]).prop_map(str::to_owned),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..40), vec(any::<u8>(), 0..6000)]
}

fn meta_flags() -> impl Strategy<Value = String> {
    let flag = prop_oneof![
        "[a-zA-Z]".prop_map(String::from),
        ("[NTRFCDJ]", number()).prop_map(|(letter, number)| letter + &number),
        "M[SEARPIDX+-]{0,2}",
        "O[!-~]{0,40}",
    ];
    vec(flag, 0..6).prop_map(|flags| flags.join(" "))
}

/// One command as a client might send it, most of them well-formed.
fn command() -> impl Strategy<Value = Vec<u8>> {
    let storage = ("set|add|replace|append|prepend|cas", key(), number(), number(), value(), any::<bool>())
        .prop_map(|(verb, key, flags, exptime, value, quiet)| {
            let version = if verb == "cas" { " 7" } else { "" };
            let quiet = if quiet { " noreply" } else { "" };
            let line = format!("{verb} {key} {flags} {exptime} {}{version}{quiet}\r\n", value.len());
            [line.as_bytes(), &value, b"\r\n"].concat()
        });
    let meta_set = (key(), meta_flags(), value()).prop_map(|(key, flags, value)| {
        [format!("ms {key} {} {flags}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat()
    });
    let line = prop_oneof![
        ("get|gets|gat 0|gats 9", vec(key(), 0..30))
            .prop_map(|(verb, keys)| format!("{verb} {}", keys.join(" "))),
        ("mg|md|ma|me|mn", key(), meta_flags())
            .prop_map(|(verb, key, flags)| format!("{verb} {key} {flags}")),
        ("delete|incr|decr|touch", key(), number(), "( noreply)?")
            .prop_map(|(verb, key, number, quiet)| format!("{verb} {key} {number}{quiet}")),
        "(flush_all|verbosity|version|stats|cache_memlimit|shutdown|quit|bogus)( [0-9a-z]{1,8}){0,3}",
        "GET / HTTP/1.1",
        "[ -~]{0,60}",
    ];
    let line = (line, "\r?\n").prop_map(|(line, end)| (line + &end).into_bytes());
    prop_oneof![2 => storage, 1 => meta_set, 4 => line]
}

/// One packet of the binary protocol, most of them well-formed.
fn packet() -> impl Strategy<Value = Vec<u8>> {
    let extras = select(vec![0usize, 0, 4, 8, 20, 3]).prop_flat_map(|length| vec(any::<u8>(), length));
    let parts = (0..0x28u8, extras, "[a-z]{0,6}", value(), -1..2i64);
    parts.prop_map(|(opcode, extras, key, value, more)| {
        let body = (extras.len() + key.len() + value.len()) as i64 + if more == 1 { 0 } else { more };
        let mut packet = vec![0x80, opcode, 0, key.len() as u8, extras.len() as u8, 0, 0, 0];
        packet.extend((body.max(0) as u32).to_be_bytes());
        packet.extend([7; 12]);
        [&packet, &extras[..], key.as_bytes(), &value].concat()
    })
}

/// Commands, sometimes with bytes changed, dropped or doubled.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<Index>(), any::<u8>(), 0..3u8);
    (vec(command(), 0..12), vec(change, 0..4), any::<bool>()).prop_map(|(commands, changes, mutate)| {
        let mut stream = commands.concat();
        for (place, byte, kind) in changes.into_iter().filter(|_| mutate) {
            if stream.is_empty() {
                break;
            }
            let place = place.index(stream.len());
            match kind {
                0 => stream[place] = byte,
                1 => drop(stream.remove(place)),
                _ => stream.insert(place, byte),
            }
        }
        stream
    })
}

fn pieces<'a>(stream: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    places.push(stream.len());
    places.sort_unstable();
    let mut start = 0;
    places.iter().map(|end| &stream[std::mem::replace(&mut start, *end)..*end]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn where_a_stream_is_split_never_changes_what_it_means(
        stream in stream().prop_filter("an open line over its limit is given up", |stream| short_lines(stream)),
        cuts in vec(any::<Index>(), 0..20),
    ) {
        assert_eq!(read(&[&stream]), read(&pieces(&stream, &cuts)));
    }

    #[test]
    fn garbage_is_read_to_its_end_or_given_up(
        garbage in vec(any::<u8>(), 0..70_000),
        cuts in vec(any::<Index>(), 0..4),
    ) {
        read(&pieces(&garbage, &cuts));
    }

    #[test]
    fn a_stream_of_packets_means_the_same_wherever_it_is_cut(
        packets in vec(packet(), 0..8),
        length in any::<u8>(),
    ) {
        assert_same_in_pieces(BINARY, &[&[length][..], &packets.concat()].concat());
    }

    #[test]
    fn who_comes_in_is_understood_wherever_the_stream_is_cut(stream in stream(), length in any::<u8>()) {
        assert_same_in_pieces(WAY_IN, &[&[length][..], &stream].concat());
    }

    #[test]
    fn words_of_the_protocol_in_any_order_are_read_to_their_end(
        words in vec(select(WORDS.to_vec()), 0..200),
        cuts in vec(any::<Index>(), 0..4),
    ) {
        let stream = words.concat();
        read(&pieces(stream.as_bytes(), &cuts));
    }
}

/// A line over 2048 bytes is given up or read depending on whether its end has come; see `line.rs`.
fn short_lines(stream: &[u8]) -> bool {
    stream.split(|byte| *byte == b'\n').all(|line| line.len() <= 2048)
}

const WORDS: [&str; 32] = [
    "get ",
    "gets ",
    "gat ",
    "set ",
    "cas ",
    "ms ",
    "mg ",
    "ma ",
    "md ",
    "mn",
    "delete ",
    "incr ",
    "touch ",
    "a ",
    "b ",
    "0 ",
    "1 ",
    "-1 ",
    "noreply",
    " ",
    "\r\n",
    "\n",
    "\r",
    "\0",
    "b",
    " v",
    " N0",
    " O",
    " T1",
    " C",
    "quit\r\n",
    "stats\r\n",
];
