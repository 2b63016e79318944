//! The same bytes to memcached and to our front: every byte of the answers compared.

use std::net::SocketAddr;

use super::near::NearFront;
use super::replies::Renaming;
use crate::front::Front;
use crate::raw::{Raw, converse, text};
use forebay_contract::servers::memcached::Memcached;

/// Sends each stream on a connection of its own to both, which share nothing but the streams.
pub fn assert_same(streams: &[String]) {
    let (memcached, front) = (Memcached::start(), Front::start());
    let (mut theirs, mut ours) = (Renaming::default(), Renaming::default());
    for stream in streams {
        let expected = theirs.apply(&converse(memcached.address, &[stream.as_bytes()]));
        let answered = ours.apply(&converse(front.address, &[stream.as_bytes()]));
        assert_eq!(text(&answered), text(&expected), "asked {}", text(stream.as_bytes()));
    }
}

/// The same for a front before a shared memcached, without what such a front refuses. At least so many streams are left.
pub fn assert_same_near(streams: &[String], least: usize) {
    let (memcached, shared) = (Memcached::start(), Memcached::start());
    let front = NearFront::start(&[shared.address]);
    let (mut theirs, mut ours) = (Renaming::default(), Renaming::default());
    let streams: Vec<Vec<u8>> = streams.iter().filter_map(|stream| near_form(stream.as_bytes())).collect();
    assert!(streams.len() >= least, "only {} streams are left", streams.len());
    for stream in &streams {
        let expected = theirs.apply(&converse(memcached.address, &[stream]));
        let answered = ours.apply(&converse(front.address, &[stream]));
        assert_eq!(text(&answered), text(&expected), "asked {}", text(stream));
    }
}

/// A stream without the flags that a near cache refuses; `None` where something else in it is refused, or is answered
/// otherwise: placeholders are no entries of a shared store.
pub fn near_form(stream: &[u8]) -> Option<Vec<u8>> {
    let mut form = Vec::with_capacity(stream.len());
    for line in stream.split_inclusive(|byte| *byte == b'\n') {
        let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
        let words: Vec<&[u8]> = line[..end].split(|byte| *byte == b' ').collect();
        let verb = words.iter().find(|word| !word.is_empty()).copied().unwrap_or_default();
        let refused: &[u8] = match verb {
            b"flush_all" | b"me" => return None,
            b"mg" => b"NR",
            b"ms" | b"md" => b"I",
            // Whether a counter was begun by it is not known, so that quiet ones are.
            b"ma" => b"ctCTq",
            _ => b"",
        };
        let is_flag =
            |word: &[u8], letters: &[u8]| word.first().is_some_and(|letter| letters.contains(letter));
        if words.iter().skip(2).any(|word| is_flag(word, refused))
            || line.iter().any(|byte| is_control(*byte))
        {
            return None;
        }
        let kept = words
            .iter()
            .enumerate()
            // What follows a flag's letter means nothing for these.
            .filter(|(place, word)| verb != b"mg" || *place < 2 || !is_flag(word, b"thl"));
        form.extend(kept.map(|(_, word)| *word).collect::<Vec<_>>().join(&b' '));
        form.extend_from_slice(&line[end..]);
    }
    Some(form)
}

fn is_control(byte: u8) -> bool {
    byte == 0x7f || (byte < b' ' && !matches!(byte, b'\r' | b'\n'))
}

/// The lines with their ends.
pub fn lines(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("{line}\r\n")).collect()
}

/// Each line as a stream of its own.
pub fn each(cases: &[&str]) -> Vec<String> {
    cases.iter().map(|case| lines(&[case])).collect()
}

/// What `session` asks and expects holds for memcached and for our front. `#` in a question is the version that the
/// server last showed for the key `a`.
pub fn assert_both(session: impl Fn(&mut dyn FnMut(&str, &str))) {
    let (memcached, front) = (Memcached::start(), Front::start());
    for address in [memcached.address, front.address] {
        hold(address, &session);
    }
}

/// What `session` asks and expects holds for our front, and for memcached where the tests were told of one that is newer than the
/// judge: `FOREBAY_MEMCACHED_PROGRAM`.
pub fn assert_newer(session: impl Fn(&mut dyn FnMut(&str, &str))) {
    let hold = |address: SocketAddr| {
        let mut raw = Raw::connect(address);
        session(&mut |question, expected| {
            assert_eq!(
                text(&raw.ask(question.as_bytes())),
                text(expected.as_bytes()),
                "{address} asked {question}"
            );
        });
    };
    hold(Front::start().address);
    if Memcached::is_chosen() {
        hold(Memcached::start().address);
    }
}

fn hold(address: SocketAddr, session: impl Fn(&mut dyn FnMut(&str, &str))) {
    let (mut renaming, mut raw) = (Renaming::default(), Raw::connect(address));
    session(&mut |question, expected| {
        let version = renaming.version_of(b"a").to_string();
        let answer = raw.ask(question.replace('#', &version).as_bytes());
        assert_eq!(text(&renaming.apply(&answer)), text(expected.as_bytes()), "{address} asked {question}");
    });
}
