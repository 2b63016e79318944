//! Storing what was loaded: the lease before the source is asked, the write after it, and what becomes of a load that failed.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::time::Duration;

use forebay_core::entry::{Condition, Expiry, Lease, Read, Write, Written};
use forebay_core::payload::Payload;
use forebay_core::time::Instant;

use crate::cache::Cache;
use crate::envelope::{self, Encoding, Envelope, Opened};
use crate::flight::{Landing, Lead};

/// How long what was loaded lives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Terms {
    /// How long a value is good; `None` is without end.
    pub(crate) fresh_for: Option<Duration>,
    /// The share of that which is taken off at random.
    pub(crate) jitter: f64,
    /// How much longer it is kept, stale; zero where nobody may be served it.
    pub(crate) stale_for: Duration,
    /// How long it is remembered that the source has none; `None` is not at all.
    pub(crate) negative_for: Option<Duration>,
    /// Whether a failed load is noted down beside a value that is still fresh.
    pub(crate) notes_failures: bool,
}

/// A key that is ours to load, with the right to store what the source answers.
pub(crate) struct Errand {
    lead: Lead,
    lease: Lease,
    /// Whether there is an older value, which must not outlive an answer that there is none.
    has_older: bool,
}

impl Errand {
    pub(crate) fn key(&self) -> &[u8] {
        self.lead.key()
    }
}

/// An entry as it is written.
struct Entry<'a> {
    bytes: Cow<'a, [u8]>,
    flags: u32,
    expires_at: Expiry,
}

impl Terms {
    /// A value and nothing else: what every program that shares the store can read.
    pub(crate) fn plain(fresh_for: Option<Duration>, jitter: f64) -> Self {
        Self { fresh_for, jitter, stale_for: Duration::ZERO, negative_for: None, notes_failures: false }
    }

    fn entry<'a>(&self, value: &'a [u8], now: Instant, random: u64) -> Entry<'a> {
        let fresh_until = self.fresh_for.map(|fresh_for| end_of_life(now, fresh_for, self.jitter, random));
        match fresh_until {
            Some(fresh_until) if self.stale_for > Duration::ZERO || self.notes_failures => {
                let envelope =
                    Envelope { encoding: Encoding::Raw, fresh_until, retry_at: Instant::default() };
                Entry {
                    bytes: envelope.wrap(value).into(),
                    flags: envelope::FLAGS,
                    expires_at: Some(fresh_until + self.stale_for),
                }
            }
            expires_at => Entry { bytes: value.into(), flags: 0, expires_at },
        }
    }

    /// That the source has no value; `None` where that is not remembered.
    fn absence(&self, now: Instant, random: u64) -> Option<Entry<'static>> {
        let fresh_until = end_of_life(now, self.negative_for?, self.jitter, random);
        let envelope = Envelope { encoding: Encoding::Negative, fresh_until, retry_at: Instant::default() };
        Some(Entry {
            bytes: envelope.wrap(&[]).into(),
            flags: envelope::FLAGS,
            expires_at: Some(fresh_until),
        })
    }
}

impl Cache {
    /// Takes the lease, and then looks once more: whatever changes from here on makes the fill void, and what came before is
    /// seen by the look, be it a flight that landed between the miss and the lead or a value that was set. What is `enough`
    /// lands at once.
    pub(crate) fn claim(
        &self,
        lead: Lead,
        enough: impl Fn(&Opened<'_>, Instant) -> bool,
    ) -> ControlFlow<Landing, Errand> {
        let (lease, now) = (self.store.lease(lead.key()), self.clock.now());
        let seen = self.look(lead.key(), false, now, |opened| {
            enough(&opened, now).then(|| opened.value.map(Payload::from))
        });
        match seen {
            Some(Some(value)) => {
                let landing = Ok(value);
                lead.land(landing.clone());
                ControlFlow::Break(landing)
            }
            older => ControlFlow::Continue(Errand { lead, lease, has_older: older.is_some() }),
        }
    }

    /// Stores what was loaded, unless the key was written or invalidated since it was claimed, and lets everybody have it. A
    /// value that is too large for the store is served all the same.
    pub(crate) fn settle(&self, errand: Errand, loaded: Landing, terms: &Terms) {
        let (key, condition) = (errand.lead.key(), Condition::Lease(errand.lease));
        let now = self.clock.now();
        match &loaded {
            Ok(Some(value)) => {
                self.put(key, value, terms, condition);
            }
            Ok(None) => match terms.absence(now, self.clock.random()) {
                Some(absence) => {
                    self.put_entry(key, &absence, condition, now);
                }
                // A write that is over at once removes the older value under the lease, as a deletion could not.
                None if errand.has_older => {
                    let over = Entry { bytes: Cow::Borrowed(&[]), flags: 0, expires_at: Some(now) };
                    self.put_entry(key, &over, condition, now);
                }
                None => {}
            },
            Err(_) => {}
        }
        errand.lead.land(loaded);
    }

    /// Writes a value on these terms.
    pub(crate) fn put(&self, key: &[u8], value: &[u8], terms: &Terms, condition: Condition) -> Written {
        let now = self.clock.now();
        self.put_entry(key, &terms.entry(value, now, self.clock.random()), condition, now)
    }

    fn put_entry(&self, key: &[u8], entry: &Entry<'_>, condition: Condition, now: Instant) -> Written {
        let write = Write { flags: entry.flags, expires_at: entry.expires_at, condition, ..Write::at(now) };
        self.store.write(key, &entry.bytes, write)
    }

    /// Notes down beside an older value that its load failed, so that it is not tried again before `retry_at`. Whoever has
    /// written in the meantime wins.
    pub(crate) fn note_failure(&self, key: &[u8], retry_at: Instant) {
        let (now, mut older) = (self.clock.now(), None);
        self.store.read(key, Read { counts: false, ..Read::at(now) }, &mut |view| {
            let envelope = if view.flags == envelope::FLAGS { envelope::unwrap(view.value) } else { None };
            if let Some((envelope, value)) = envelope {
                let bytes = Envelope { retry_at, ..envelope }.wrap(value);
                older = Some((bytes, view.version, view.expires_at));
            }
        });
        let Some((bytes, version, expires_at)) = older else { return };
        let entry = Entry { bytes: bytes.into(), flags: envelope::FLAGS, expires_at };
        self.put_entry(key, &entry, Condition::Version(version), now);
    }
}

/// When an entry ends: after its time to live, less a random part of it.
pub(crate) fn end_of_life(now: Instant, ttl: Duration, jitter: f64, random: u64) -> Instant {
    let share = jitter * (random as f64 / u64::MAX as f64);
    let ms = ttl.as_millis().min(u128::from(u64::MAX)) as f64;
    now + Duration::from_millis((ms * (1.0 - share)).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_ms(1_000);
    const FRESH: Option<Duration> = Some(Duration::from_secs(10));

    #[test]
    fn a_time_to_live_loses_up_to_its_jitter() {
        let end = |jitter, random| {
            end_of_life(Instant::from_ms(1_000), Duration::from_secs(10), jitter, random).as_ms()
        };
        assert_eq!(end(0.0, u64::MAX), 11_000);
        assert_eq!(end(0.2, 0), 11_000);
        assert_eq!(end(0.2, u64::MAX), 9_000);
        assert_eq!(end(0.2, u64::MAX / 2), 10_000);
        assert_eq!(end(1.0, u64::MAX), 1_000);
    }

    #[test]
    fn an_endless_time_to_live_does_not_overflow() {
        let end = end_of_life(Instant::from_ms(1_000), Duration::MAX, 0.0, 0);
        assert!(end > Instant::from_ms(u64::MAX / 2));
    }

    #[test]
    fn a_value_without_anything_to_note_is_stored_as_it_is() {
        let entry = Terms::plain(FRESH, 0.0).entry(b"value", NOW, 0);
        assert_eq!((&*entry.bytes, entry.flags), (&b"value"[..], 0));
        assert_eq!(entry.expires_at, Some(Instant::from_ms(11_000)));
        let endless = Terms { stale_for: Duration::from_secs(5), ..Terms::plain(None, 0.1) };
        assert_eq!(endless.entry(b"value", NOW, 0).flags, 0, "it is never stale");
    }

    #[test]
    fn a_value_that_may_be_served_stale_lives_on_after_its_fresh_time() {
        let terms = Terms { stale_for: Duration::from_secs(5), ..Terms::plain(FRESH, 0.0) };
        let entry = terms.entry(b"value", NOW, 0);
        assert_eq!(entry.expires_at, Some(Instant::from_ms(16_000)));
        let (envelope, value) = envelope::unwrap(&entry.bytes).unwrap();
        assert_eq!((envelope.fresh_until.as_ms(), value), (11_000, &b"value"[..]));
    }
}
