//! `lru_crawler`. What memcached's crawler is for, the store does by itself; the dump of what is there is for people.

use std::sync::atomic::Ordering::Relaxed;

use forebay_core::entry::View;
use forebay_core::ports::pledges::Pledges;
use forebay_core::time::Instant;
use forebay_wire::memcached::command::Crawler;
use forebay_wire::memcached::refusal::Refusal;

use super::meta::text::item_words;
use super::paused::Paused;
use super::run::Ran;
use super::turn::Turn;
use crate::reply;
use crate::watch::line;

pub(super) fn crawler<S: Pledges>(turn: &mut Turn<'_, S>, asked: Crawler) -> Ran {
    let enabled = &turn.shared.dumps;
    let answer = match asked {
        Crawler::Enable if enabled.swap(true, Relaxed) => Refusal::CrawlerRuns.text(),
        Crawler::Disable => {
            enabled.store(false, Relaxed);
            "OK"
        }
        Crawler::Crawl | Crawler::Dump { .. } if !enabled.load(Relaxed) => Refusal::CrawlerDisabled.text(),
        Crawler::Dump { first_class: true } => return dump(turn, 0),
        Crawler::Dump { first_class: false } => "END",
        Crawler::Enable | Crawler::Tune | Crawler::Crawl => "OK",
    };
    reply::line(turn.out, answer);
    Ran::Done
}

/// Shows some of what is there from a place of the store's walk on; others have their turn before the next.
pub(crate) fn dump<S: Pledges>(turn: &mut Turn<'_, S>, from: u64) -> Ran {
    let (now, out) = (turn.now, &mut *turn.out);
    let next = turn.shared.store.walk(from, now, &mut |key, view| item(out, key, &view, now));
    match next {
        Some(next) => Ran::Paused(Paused::Dump(next)),
        None => {
            reply::line(turn.out, "END");
            Ran::Done
        }
    }
}

/// One line, as memcached has it: its end is no carriage return.
fn item(out: &mut Vec<u8>, key: &[u8], view: &View<'_>, now: Instant) {
    out.extend_from_slice(b"key=");
    line::key(out, key);
    out.extend_from_slice(b" exp=");
    match view.expires_at {
        Some(end) => reply::number(out, end.as_ms() / 1000),
        None => out.extend_from_slice(b"-1"),
    }
    let used = view.accessed_at.as_ms().min(now.as_ms()) / 1000;
    item_words(out, key, view, used);
    out.push(b'\n');
}
