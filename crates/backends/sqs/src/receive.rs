//! Receiving: what SQS has handed to this process goes to those who wait, first to who came first.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::delivery::Delivery;
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::ports::broker::Receive;
use forebay_core::queue::QueueName;
use forebay_core::time::Instant;

use crate::inner::Inner;
use crate::later;
use crate::poll;
use crate::queue::Queue;
use crate::queue::shelf::{Letter, Shelf};
use crate::settle::expire;

const RECEIVE: &str = "receive from queue";

/// What a look comes to.
enum Look {
    Found(Vec<Delivery>, Vec<Arc<Letter>>),
    Gone,
    /// Nothing now. Whether it is certain that there is nothing, and why it is not, if SQS cannot be asked.
    Nothing(bool, Option<String>),
}

/// A receiver's place among those who wait. Given up when it is dropped: the next one's turn has come.
struct Turn<'a> {
    queue: &'a Queue,
    number: u64,
    /// The first request that was made after it came.
    request: u64,
    /// When a request that waits at SQS would have been answered if something was there.
    sure_at: Instant,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.queue.change(|shelf| shelf.waiting.leave(self.number));
    }
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
        let entered =
            queue.change_quietly(|shelf| shelf.waiting.enter(receive.count_max, receive.wait_until));
        let (begun, token) = (self.clock.now(), self.clock.random() as u32);
        let sure_at = begun + limits::sqs::EMPTY_MIN;
        let turn = Turn { queue: &queue, number: entered.0, request: entered.1, sure_at };
        // A request that is made for us has come to its end by then.
        let hopeless_at = receive.wait_until.max(begun) + self.settings.timeout + Duration::from_secs(1);
        loop {
            let changed = queue.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            self.check_open(RECEIVE)?;
            let now = self.clock.now();
            let (certain, trouble) =
                match queue.change_quietly(|shelf| look(&queue, shelf, &turn, receive, token, now)) {
                    Look::Found(deliveries, expired) => {
                        self.expire_all(&queue, expired);
                        if !deliveries.is_empty() {
                            self.holds.notify_waiters();
                            return Ok(deliveries);
                        }
                        continue;
                    }
                    Look::Gone => return Err(Error::new(Kind::NotFound, RECEIVE, name.as_str())),
                    Look::Nothing(certain, trouble) => (certain, trouble),
                };
            let over = now >= receive.wait_until;
            if over && (certain || now >= hopeless_at) {
                return match trouble {
                    None => Ok(Vec::new()),
                    Some(why) => {
                        Err(Error::new(Kind::Unavailable, RECEIVE, self.settings.address()).because(why))
                    }
                };
            }
            poll::want(self, &queue);
            later::mind(self, &queue);
            let next = [receive.wait_until, sure_at, hopeless_at].into_iter().filter(|at| *at > now).min();
            tokio::select! {
                () = changed => {}
                () = self.clock.sleep_until(next.unwrap_or(hopeless_at)) => {}
            }
        }
    }

    fn expire_all(self: &Arc<Self>, queue: &Arc<Queue>, expired: Vec<Arc<Letter>>) {
        for letter in expired {
            self.run(expire(self.clone(), queue.clone(), letter));
        }
    }
}

fn look(
    queue: &Queue,
    shelf: &mut Shelf,
    turn: &Turn<'_>,
    receive: Receive,
    token: u32,
    now: Instant,
) -> Look {
    if shelf.gone {
        return Look::Gone;
    }
    shelf.waiting.used_at = shelf.waiting.used_at.max(now);
    if shelf.waiting.is_first(turn.number) {
        let until = now + receive.hold.unwrap_or(queue.settings.hold);
        let found = shelf.take(receive.count_max, until, token, now);
        if !found.taken.is_empty() || !found.expired.is_empty() {
            let held = found.taken.iter().filter_map(|position| shelf.at(*position));
            return Look::Found(held.map(|held| queue.delivery(held)).collect(), found.expired);
        }
    }
    let waited_for = now >= turn.sure_at && shelf.waiting.is_patient();
    Look::Nothing(waited_for || shelf.waiting.has_answered(turn.request), shelf.waiting.trouble.clone())
}
