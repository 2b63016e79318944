//! The same bytes to memcached and to our front: every byte of the answers compared.

use std::net::SocketAddr;

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

fn hold(address: SocketAddr, session: impl Fn(&mut dyn FnMut(&str, &str))) {
    let (mut renaming, mut raw) = (Renaming::default(), Raw::connect(address));
    session(&mut |question, expected| {
        let version = renaming.version_of(b"a").to_string();
        let answer = raw.ask(question.replace('#', &version).as_bytes());
        assert_eq!(text(&renaming.apply(&answer)), text(expected.as_bytes()), "{address} asked {question}");
    });
}
