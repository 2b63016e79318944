//! Receiving: what was read of our partitions is handed out, first to who came first. It lies in this process before anybody
//! asks for it, so a receiver that goes away has taken nothing.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::delivery::Delivery;
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::limits::kafka::{EMPTY_MIN, LOOK};
use forebay_core::ports::broker::Receive;
use forebay_core::queue::QueueName;
use forebay_core::time::Instant;

use crate::consume::member::{away, want};
use crate::inner::Inner;
use crate::queue::Queue;
use crate::queue::shelf::{Consuming, Found, Shelf};
use crate::settle::expire;

const RECEIVE: &str = "receive from queue";

/// What a look comes to.
enum Look {
    Found(Found),
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
    /// How long it may take until it is known what is there.
    wait: Duration,
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
        let queue = self.bounded(RECEIVE, self.queue(name, RECEIVE)).await?;
        let turn = queue.turn();
        let (begun, token) = (self.clock.now(), self.clock.random() as u32);
        let asked = Asked { receive, turn: turn.number, begun, wait: self.settings.wait, token };
        loop {
            let changed = queue.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            self.check_open(RECEIVE)?;
            let now = self.clock.now();
            let (again_at, give_up_at) = match queue.change_quietly(|shelf| look(&queue, shelf, &asked, now))
            {
                Look::Found(found) => {
                    for (letter, generation) in found.expired {
                        self.run(expire(self.clone(), queue.clone(), letter, generation));
                    }
                    if !found.taken.is_empty() {
                        return Ok(found.taken.iter().map(|held| queue.delivery(held)).collect());
                    }
                    continue;
                }
                Look::Gone => return Err(Error::new(Kind::NotFound, RECEIVE, name.as_str())),
                Look::Nothing { again_at, give_up_at } => (again_at, give_up_at),
            };
            if now >= give_up_at {
                let joined = queue.look(|shelf| shelf.consuming == Consuming::Yes { joined: true });
                return if joined { Ok(Vec::new()) } else { Err(away(self, &queue)) };
            }
            want(self, &queue);
            let next = again_at.map_or(give_up_at, |at| at.min(give_up_at));
            tokio::select! {
                () = changed => {}
                () = self.clock.sleep_until(next) => {}
            }
        }
    }
}

fn look(queue: &Queue, shelf: &mut Shelf, asked: &Asked, now: Instant) -> Look {
    let Asked { receive, turn, begun, wait, token } = asked;
    if shelf.consuming == Consuming::Gone {
        return Look::Gone;
    }
    shelf.used_at = shelf.used_at.max(now);
    if shelf.turns.front() == Some(turn) {
        let until = now + receive.hold.unwrap_or(queue.settings.hold);
        let found = shelf.take(receive.count_max, until, *token, now);
        if !found.taken.is_empty() || !found.expired.is_empty() {
            return Look::Found(found);
        }
    }
    let caught_up = shelf.is_caught_up();
    // Until it is known what was there, an empty answer would say what is not so.
    let soon = *begun + if caught_up { EMPTY_MIN } else { *wait };
    let again_at = match shelf.consuming {
        Consuming::No { not_before } => Some(not_before.max(now + LOOK)),
        _ => shelf.next_ripe(),
    };
    Look::Nothing { again_at, give_up_at: receive.wait_until.max(soon) }
}
