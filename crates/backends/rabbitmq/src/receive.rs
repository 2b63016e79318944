//! Receiving: what the server has sent us is handed out, first to who came first. It lies in this process before anybody
//! asks for it, so a receiver that goes away has taken nothing.

use std::sync::Arc;

use forebay_core::delivery::Delivery;
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::ports::broker::Receive;
use forebay_core::queue::QueueName;
use forebay_core::time::Instant;

use crate::consume;
use crate::inner::Inner;
use crate::queue::Queue;
use crate::queue::letter::Letter;
use crate::queue::shelf::{Consuming, Shelf};
use crate::settle::expire;

const RECEIVE: &str = "receive from queue";

/// What a look comes to.
enum Look {
    /// Deliveries, and what has expired, of this epoch.
    Found(Vec<Delivery>, Vec<Arc<Letter>>, u64),
    Gone,
    /// Nothing now; it is worth to look again then.
    Nothing {
        again_at: Option<Instant>,
        give_up_at: Instant,
    },
}

/// One who asks.
struct Asked {
    receive: Receive,
    turn: u64,
    begun: Instant,
    token: u32,
}

impl Inner {
    /// Receives up to so many messages.
    pub(crate) async fn receive(
        self: &Arc<Self>,
        name: &QueueName,
        receive: Receive,
    ) -> Result<Vec<Delivery>> {
        if receive.count_max == 0 || receive.count_max > limits::RECEIVE_DELIVERIES_MAX {
            let context = format!("{name}: count_max must be 1 to 1000");
            return Err(Error::new(Kind::Invalid, RECEIVE, context));
        }
        let queue = self.queue(name, RECEIVE).await?;
        let turn = queue.turn();
        let (begun, token) = (self.clock.now(), self.clock.random() as u32);
        let asked = Asked { receive, turn: turn.number, begun, token };
        let mut caught_up = false;
        loop {
            let changed = queue.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            self.check_open(RECEIVE)?;
            let now = self.clock.now();
            let (again_at, give_up_at) = match queue.change_quietly(|shelf| look(&queue, shelf, &asked, now))
            {
                Look::Found(deliveries, expired, epoch) => {
                    for letter in expired {
                        self.run(expire(self.clone(), queue.clone(), letter, epoch));
                    }
                    if !deliveries.is_empty() {
                        self.holds.notify_waiters();
                        return Ok(deliveries);
                    }
                    continue;
                }
                Look::Gone => return Err(Error::new(Kind::NotFound, RECEIVE, name.as_str())),
                Look::Nothing { again_at, give_up_at } => (again_at, give_up_at),
            };
            if now >= give_up_at {
                // What has come may not lie here yet.
                if !std::mem::replace(&mut caught_up, true) {
                    queue.catch_up();
                    continue;
                }
                let away = || Error::new(Kind::Unavailable, RECEIVE, self.settings.address());
                return match queue.look(|shelf| shelf.trouble.clone()) {
                    _ if self.link_now().is_none() => Err(away()),
                    Some(trouble) => Err(away().because(trouble.why)),
                    None => Ok(Vec::new()),
                };
            }
            consume::want(self, &queue);
            let next = again_at.map_or(give_up_at, |at| at.min(give_up_at));
            tokio::select! {
                () = changed => {}
                () = self.clock.sleep_until(next) => {}
            }
        }
    }
}

fn look(queue: &Queue, shelf: &mut Shelf, asked: &Asked, now: Instant) -> Look {
    let Asked { receive, turn, begun, token } = asked;
    shelf.used_at = shelf.used_at.max(now);
    let soon = *begun + limits::rabbitmq::EMPTY_MIN;
    let patient = receive.wait_until.max(soon);
    let nothing = |again_at, give_up_at| Look::Nothing { again_at, give_up_at };
    let since = match &shelf.consuming {
        Consuming::Gone => return Look::Gone,
        Consuming::Yes { since, .. } => *since,
        // It will be settled soon whether there is something.
        Consuming::Opening | Consuming::Stopping { .. } => {
            return nothing(None, patient.max(*begun + limits::rabbitmq::ARRIVAL_MAX));
        }
        Consuming::Resting { .. } => return nothing(Some(now + limits::rabbitmq::LOOK), patient),
        Consuming::No { not_before } => {
            return nothing(Some((*not_before).max(now + limits::rabbitmq::LOOK)), patient);
        }
    };
    // Where a queue is made of several, all have had time to say what they have.
    let settled = since + limits::rabbitmq::EMPTY_MIN;
    if queue.lanes().len() > 1 && now < settled {
        return nothing(Some(settled), patient.max(settled));
    }
    if shelf.turns.front() == Some(turn) {
        let until = now + receive.hold.unwrap_or(queue.settings.hold);
        let found = shelf.take(receive.count_max, until, *token, now);
        if !found.taken.is_empty() || !found.expired.is_empty() {
            let held = found.taken.iter().filter_map(|position| shelf.holds.at(*position));
            let deliveries = held.map(|held| queue.delivery(held)).collect();
            return Look::Found(deliveries, found.expired, shelf.epoch());
        }
    }
    nothing(shelf.next_ripe(), patient.max(settled))
}
