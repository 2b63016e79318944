//! Dead letters that an exchange brings to several queues.

use std::collections::BTreeSet;

use forebay_core::delivery::{Delivery, Reason};
use forebay_core::message::Headers;
use forebay_core::queue::PARKED;

use super::model::Change;
use super::world::{Seen, World};
use crate::routing::decide::{BindRequest, Durability, Target};

/// The exchange of the queue "fan", which brings what it gives up to every queue that is bound.
pub(super) const FAN: &str = "amq.fanout";

impl World {
    /// Binds a queue to the fan, or unbinds it.
    pub(super) fn fan(&mut self, seen: &mut Seen) {
        let Some((name, _)) = self.some_queue(&["dead", "plain", "classes"]) else { return };
        let unbinds = self.random.one_in(4);
        let (none, target) = (Headers::new(), Target::Queue(name.as_str()));
        let request = BindRequest { source: FAN, target, key: "", arguments: &none };
        let mut decided = Vec::new();
        let (changed, sequences) = self.appended(|engine| {
            engine.change("/", |topology| {
                decided = match unbinds {
                    true => topology.unbind(&request)?,
                    false => topology.bind(&request, |_| Some(Durability::Durable))?.into_iter().collect(),
                };
                Ok(decided.clone())
            })
        });
        let what = if unbinds { "fan unbound" } else { "fan bound" };
        self.tell_routes(changed, sequences, decided, what, seen);
    }

    /// The record of a message's departure from the queue "fan": one copy, or, where there is no queue for any, or no room for
    /// all, that it is parked, or the declaration for that. True for the last.
    pub(super) fn copy_or_declare(
        &mut self,
        sequence: u64,
        queue: u64,
        position: u64,
        reason: Reason,
        seen: &mut Seen,
    ) -> bool {
        let model = &self.story.model;
        let bound = model.routes.queues_of(FAN).into_iter();
        let expected: BTreeSet<_> = bound.map(|name| model.number(name).unwrap()).collect();
        let Some(to) = self.brought_to(sequence) else {
            assert!(self.copied.is_empty() && model.number(PARKED).is_none());
            self.story.tell(sequence, Change::Declare(PARKED.to_owned()));
            return false;
        };
        let is_parked = model.queues[&to].name == PARKED;
        let stays = if is_parked {
            assert!(expected.len() != 1 && self.copied.is_empty(), "one copy needs no more room than this");
            false
        } else {
            assert!(expected.contains(&to) && self.copied.insert(to), "once to each that is bound");
            seen.note("copied", 1);
            seen.note("copied to several", u64::from(self.copied.len() == 2));
            self.copied.len() < expected.len()
        };
        let at = self.now();
        self.story.tell(sequence, Change::Move { queue, position, to, reason: Some(reason), at, stays });
        if !stays {
            self.copied.clear();
        }
        !stays
    }

    /// The queue that the record with this sequence has brought a message to.
    fn brought_to(&self, sequence: u64) -> Option<u64> {
        let mut queues = self.engine().topology.all().into_iter();
        let brought = queues.find(|queue| queue.lock().unwrap().find(sequence).is_some());
        brought.map(|queue| queue.number)
    }

    /// Whether there may be others of this message.
    pub(super) fn may_be_a_copy(delivery: &Delivery) -> bool {
        delivery.history.iter().any(|line| line.queue.as_str() == "fan")
    }
}
