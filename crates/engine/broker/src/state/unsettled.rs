//! Messages of a queue that are not ready: in a consumer's hands, or waiting for their time.

use std::collections::{BTreeSet, HashMap};

use forebay_core::limits;
use forebay_core::time::Instant;

use super::entry::{Entry, NEVER};
use crate::records::Status;

/// A message in a consumer's hands.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) entry: Entry,
    pub(crate) token: u32,
    /// When the hold ends, or has ended.
    pub(crate) until: Instant,
    pub(crate) hold: Hold,
    /// When to look at it again.
    due: Instant,
}

/// How far a hold has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// It has not run out.
    Running,
    /// It has, and waits to be offered to whoever settles such.
    RunOut,
    /// It was offered, and will run out again if nobody settles it.
    Offered,
}

/// Places below which a map keeps what it has.
const SHRINK_FROM: usize = 1024;

/// A message that waits for its time.
#[derive(Debug)]
pub(crate) struct Delayed {
    pub(crate) entry: Entry,
    pub(crate) until: Instant,
}

/// What has come to its time.
#[derive(Debug)]
pub(crate) enum Due {
    /// A delayed message is to be ready.
    Ready(Entry),
    /// A hold has run out.
    RunOut { position: u64, token: u32 },
}

/// Held and delayed messages, with one order of time over both.
#[derive(Debug, Default)]
pub(crate) struct Unsettled {
    held: HashMap<u64, Held>,
    delayed: HashMap<u64, Delayed>,
    /// When to look at which position again.
    due: BTreeSet<(Instant, u64)>,
}

impl Unsettled {
    pub(crate) fn held_len(&self) -> usize {
        self.held.len()
    }

    pub(crate) fn delayed_len(&self) -> usize {
        self.delayed.len()
    }

    /// What the maps take.
    pub(crate) fn bytes(&self) -> usize {
        // A byte beside each place of a hash map; the nodes of a tree are filled to two thirds or more.
        self.held.capacity() * (size_of::<(u64, Held)>() + 1)
            + self.delayed.capacity() * (size_of::<(u64, Delayed)>() + 1)
            + self.due.len() * size_of::<(Instant, u64)>() * 3 / 2
    }

    pub(crate) fn hold(&mut self, entry: Entry, token: u32, until: Instant) {
        self.due.insert((until, entry.position));
        self.held.insert(entry.position, Held { entry, token, until, hold: Hold::Running, due: until });
    }

    pub(crate) fn delay(&mut self, entry: Entry, until: Instant) {
        self.due.insert((until, entry.position));
        self.delayed.insert(entry.position, Delayed { entry, until });
    }

    /// The message if it is still in the hands of the consumer with this token.
    pub(crate) fn held(&self, position: u64, token: u32) -> Option<&Held> {
        self.held.get(&position).filter(|held| held.token == token)
    }

    /// The message and where it is.
    pub(crate) fn find(&mut self, position: u64) -> Option<(&mut Entry, Status)> {
        if let Some(held) = self.held.get_mut(&position) {
            return Some((&mut held.entry, Status::Held { token: held.token, until: held.until }));
        }
        let delayed = self.delayed.get_mut(&position)?;
        Some((&mut delayed.entry, Status::Delayed { until: delayed.until }))
    }

    /// Lets a hold run until then.
    pub(crate) fn extend(&mut self, position: u64, until: Instant) {
        if let Some(held) = self.held.get_mut(&position) {
            self.due.remove(&(held.due, position));
            (held.until, held.due) = (until, until);
            self.due.insert((until, position));
        }
    }

    /// Notes that a hold that has run out was offered; after a grace it is offered again.
    pub(crate) fn offered(&mut self, position: u64, now: Instant) {
        if let Some(held) = self.held.get_mut(&position).filter(|held| held.hold == Hold::RunOut) {
            held.hold = Hold::Offered;
            held.due = now + limits::EXPIRED_GRACE;
            self.due.insert((held.due, position));
        }
    }

    /// Leaves a hold that has run out as it is until then.
    pub(crate) fn look_again(&mut self, position: u64, at: Instant) {
        if let Some(held) = self.held.get_mut(&position) {
            (held.hold, held.due) = (Hold::Running, at);
            self.due.insert((at, position));
        }
    }

    /// Positions of what is held for as long as the process lives, in no particular order.
    pub(crate) fn of_process(&self) -> impl Iterator<Item = u64> {
        self.held.iter().filter(|(_, held)| held.until == NEVER).map(|(position, _)| *position)
    }

    /// Whether anything is held of which the hold ends by time.
    pub(crate) fn has_timed(&self) -> bool {
        self.held.values().any(|held| held.until != NEVER)
    }

    /// Takes the message out of the consumer's hands.
    pub(crate) fn release(&mut self, position: u64) -> Option<Entry> {
        let held = self.held.remove(&position)?;
        shrink(&mut self.held);
        self.due.remove(&(held.due, position));
        Some(held.entry)
    }

    pub(crate) fn undelay(&mut self, position: u64) -> Option<Entry> {
        let delayed = self.delayed.remove(&position)?;
        shrink(&mut self.delayed);
        self.due.remove(&(delayed.until, position));
        Some(delayed.entry)
    }

    /// When something comes to its time next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes the next thing that has come to its time.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Due> {
        while let Some((at, position)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, position));
            if let Some(delayed) = self.delayed.remove(&position) {
                shrink(&mut self.delayed);
                return Some(Due::Ready(delayed.entry));
            }
            if let Some(held) = self.held.get_mut(&position) {
                held.hold = Hold::RunOut;
                return Some(Due::RunOut { position, token: held.token });
            }
        }
        None
    }

    /// All entries, to be counted.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        let held = self.held.values().map(|held| &held.entry);
        held.chain(self.delayed.values().map(|delayed| &delayed.entry))
    }

    /// All entries, whose bodies must stay as they are.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        let held = self.held.values_mut().map(|held| &mut held.entry);
        held.chain(self.delayed.values_mut().map(|delayed| &mut delayed.entry))
    }

    /// How many moments are noted, and how many should be.
    #[cfg(test)]
    pub(crate) fn audit(&self) -> (usize, usize) {
        let held = self.held.values().filter(|held| held.hold != Hold::RunOut).count();
        (self.due.len(), held + self.delayed.len())
    }

    /// Takes all delayed messages out, in a time that only the number of held ones counts for. The moments noted for
    /// them go with them, one by one.
    pub(crate) fn clear_delayed(&mut self) -> impl Iterator<Item = Entry> + use<> {
        let delayed = std::mem::take(&mut self.delayed);
        let noted = self.held.iter().filter(|(_, held)| held.hold != Hold::RunOut);
        let noted = noted.map(|(position, held)| (held.due, *position)).collect();
        let mut due = std::mem::replace(&mut self.due, noted);
        delayed.into_values().map(move |delayed| {
            due.pop_first();
            delayed.entry
        })
    }

    /// Takes everything out.
    pub(crate) fn clear(&mut self) -> impl Iterator<Item = Entry> + use<> {
        let all = std::mem::take(self);
        let held = all.held.into_values().map(|held| held.entry);
        held.chain(all.delayed.into_values().map(|delayed| delayed.entry))
    }
}

/// Gives back what a burst has taken, once it is over.
fn shrink<T>(map: &mut HashMap<u64, T>) {
    if map.capacity() > SHRINK_FROM && map.len() < map.capacity() / 8 {
        map.shrink_to(map.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::entry::{Rank, at};

    #[test]
    fn what_a_burst_of_holds_or_delays_took_is_given_back_when_it_is_over() {
        let mut unsettled = Unsettled::default();
        let count = 20 * SHRINK_FROM as u64;
        let now = Instant::from_ms(9);
        for position in 1..=count {
            let entry = |position| at(position, Rank::default());
            unsettled.hold(entry(position), 1, now);
            unsettled.delay(entry(count + position), now);
            unsettled.delay(entry(2 * count + position), now);
        }
        let before = (unsettled.held.capacity(), unsettled.delayed.capacity());
        (1..=count).for_each(|position| drop(unsettled.release(position)));
        (1..=count).for_each(|position| drop(unsettled.undelay(count + position)));
        while unsettled.pop_due(now).is_some() {}
        let after = (unsettled.held.capacity(), unsettled.delayed.capacity());
        assert!(after.0 < before.0 / 8 && after.1 < before.1 / 8, "{before:?} {after:?}");
    }
}
