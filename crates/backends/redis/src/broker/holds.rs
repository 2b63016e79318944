//! Holds: looking at one, prolonging it, and handing out those that have run out.

use std::time::Duration;

use forebay_core::delivery::{Delivery, DeliveryId};
use forebay_core::error::Result;
use forebay_core::limits;
use forebay_core::ports::broker::Held;
use forebay_core::queue::QueueName;
use forebay_core::time::Instant;
use redis::Value;

use super::answers::Fields;
use super::declare;
use super::session::{Back, Session, delivery, token_text};
use crate::link::About;
use crate::script::{Call, strange};

/// Holds that ran out.
struct Offered {
    /// How long until the next one does.
    soonest: Option<Duration>,
    deliveries: Vec<Delivery>,
    /// What cannot be read of them.
    unread: Vec<(QueueName, DeliveryId)>,
}

impl Session {
    /// Hands out what ran out, to be settled, and says how long until something more does.
    pub(super) async fn offer(&self) -> Result<(Option<Duration>, Vec<Delivery>)> {
        let about = About { operation: "look for holds that ran out", on: "all queues" };
        self.check_open(about)?;
        let key = format!("{}holds", self.root);
        let numbers = [
            limits::EXPIRED_GRACE.as_millis().to_string(),
            limits::EXPIRED_DELIVERIES_MAX.to_string(),
            limits::RECEIVE_BYTES_MAX.to_string(),
        ];
        let [grace, most, bytes] = numbers.each_ref().map(String::as_bytes);
        let call = Call {
            about,
            end: None,
            keys: &[key.as_bytes()],
            arguments: &[self.root.as_bytes(), grace, most, bytes],
        };
        let answer = self.scripts.offer.run(&self.link, call).await?;
        let offered = self.read_offered(answer).ok_or_else(|| strange(about))?;
        for (queue, id) in offered.unread {
            let back = self.unread(&queue, id.position, Back::UnreadAfterHold);
            // What stays held is offered again.
            let _ = self.give_back(&queue, id, back).await;
        }
        Ok((offered.soonest, offered.deliveries))
    }

    fn read_offered(&self, answer: Value) -> Option<Offered> {
        let mut fields = Fields::of(answer)?;
        let now = fields.moment()?;
        let soonest = fields.maybe_number()?.map(|at| Instant::from_ms(at).since(now));
        let mut offered = Offered { soonest, deliveries: Vec::new(), unread: Vec::new() };
        let mut all = fields.fields()?;
        while !all.is_empty() {
            let mut one = all.fields()?;
            let queue = QueueName::new(&one.text()?).ok()?;
            let (stored, position) = (one.bytes()?, one.number()?);
            let token = u32::from_str_radix(&one.text()?, 16).ok()?;
            let read = || {
                let tries = one.text()?.parse().ok()?;
                let held_until = one.moment()?;
                let letter = one.rest_of_letter(position, tries)?;
                let settings = self.settings(&queue, stored)?;
                Some(delivery(&settings, letter, token, held_until))
            };
            match read() {
                Some(delivery) => offered.deliveries.push(delivery),
                None => offered.unread.push((queue, DeliveryId { position, token })),
            }
        }
        Some(offered)
    }

    /// Looks at a hold, and prolongs it where a time is given.
    pub(super) async fn look_at_hold(
        &self,
        operation: &'static str,
        queue: &QueueName,
        id: DeliveryId,
        hold: Option<Duration>,
    ) -> Result<Option<Held>> {
        let about = About { operation, on: queue.as_str() };
        let (position, token) = (id.position.to_string(), token_text(id.token));
        let hold = hold.map_or_else(String::new, declare::ms);
        let arguments = [position.as_bytes(), token.as_bytes(), hold.as_bytes()];
        let answer = self.run(operation, &self.scripts.extend, queue, &arguments).await?;
        if answer == Value::Int(0) {
            return Ok(None);
        }
        let read = || {
            let mut fields = Fields::of(answer)?;
            let settings = self.settings(queue, fields.bytes()?)?;
            let tries: u32 = fields.text()?.parse().ok()?;
            let held_until = fields.moment()?;
            Some(Held { attempt: tries.saturating_add(1), retry: settings.retry, held_until })
        };
        read().map(Some).ok_or_else(|| strange(about))
    }
}
