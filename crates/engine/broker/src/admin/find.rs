//! Looking a message up by its id. Ids are not kept in memory, so that the whole queue is looked through, in slices.

use forebay_core::delivery::DeliveryId;
use forebay_core::error::{Kind, Result};
use forebay_core::limits;
use forebay_core::message::MessageId;
use forebay_core::ports::broker::{Found, Place};
use forebay_core::queue::QueueName;

use crate::engine::{Engine, yield_now};
use crate::receive::{Handed, Loaded};
use crate::records::Status;
use crate::topology::Queue;

impl Engine {
    /// The oldest message with that id. One that cannot be read is not found.
    pub(crate) async fn find(&self, name: &QueueName, id: &MessageId) -> Result<Option<Found>> {
        let queue = self.topology.find(name)?;
        let newest = self.journal.last();
        // Messages change their places meanwhile: those that are held or delayed now may be ready before the search comes
        // there, and those that are so at its end may have been ready behind it.
        let mut waiting = unsettled(&queue)?;
        let (mut found, mut behind) = (None, 0);
        while found.is_none() {
            let slice = ready_behind(&queue, behind)?;
            let Some(last) = slice.last().copied().filter(|_| behind < newest) else { break };
            behind = last;
            found = self.first_of(&queue, &slice, id).await?;
            yield_now().await;
        }
        waiting.extend(unsettled(&queue)?);
        waiting.sort_unstable();
        waiting.dedup();
        let older = |position: &&u64| found.as_ref().is_none_or(|(at, _)| **position < *at);
        waiting.truncate(waiting.iter().take_while(older).count());
        for slice in waiting.chunks(limits::FIND_LOOKS_MAX) {
            if let Some(older) = self.first_of(&queue, slice, id).await? {
                found = Some(older);
                break;
            }
            yield_now().await;
        }
        Ok(found.map(|(_, found)| found))
    }

    /// The first at these positions that has the id. Only of that one a claimed payload is read.
    async fn first_of(
        &self,
        queue: &Queue,
        positions: &[u64],
        id: &MessageId,
    ) -> Result<Option<(u64, Found)>> {
        for position in positions {
            let Some((loaded, place)) = self.look(queue, *position)? else { continue };
            if loaded.delivery.message.id != *id {
                continue;
            }
            if let Some(delivery) = readable(self.complete(loaded).await)? {
                return Ok(Some((*position, Found { delivery, place })));
            }
        }
        Ok(None)
    }

    /// What is at that position, if it can be read.
    fn look(&self, queue: &Queue, position: u64) -> Result<Option<(Loaded, Place)>> {
        let (handed, place) = {
            let mut state = queue.lock()?;
            let retry = state.settings.retry;
            let Some((entry, status)) = state.find(position) else { return Ok(None) };
            let id = |token| DeliveryId { position, token };
            let next =
                |until| Handed::new(id(0), entry, entry.body.clone(), until, retry).into_next_attempt();
            match status {
                Status::Ready => (next(self.clock.now()), Place::Ready),
                Status::Delayed { until } => (next(until), Place::Delayed(until)),
                Status::Held { token, until } => {
                    (Handed::new(id(token), entry, None, until, retry), Place::Held(until))
                }
                Status::Finished => return Ok(None),
            }
        };
        Ok(readable(self.load(queue, handed))?.map(|loaded| (loaded, place)))
    }
}

/// What cannot be read is not found.
fn readable<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Damaged | Kind::Io) => Ok(None),
        Err(error) => Err(error),
    }
}

fn ready_behind(queue: &Queue, position: u64) -> Result<Vec<u64>> {
    let state = queue.lock()?;
    let mut behind = position;
    let next = std::iter::from_fn(|| {
        behind = state.ready.next_after(behind)?.position;
        Some(behind)
    });
    Ok(next.take(limits::FIND_LOOKS_MAX).collect())
}

fn unsettled(queue: &Queue) -> Result<Vec<u64>> {
    Ok(queue.lock()?.unsettled.iter().map(|entry| entry.position).collect())
}

#[cfg(test)]
mod tests {
    use forebay_core::message::Message;

    use crate::bench::Bench;

    use super::*;

    #[test]
    fn a_message_deep_in_a_queue_is_found_in_slices_and_where_it_went_meanwhile() {
        let bench = Bench::new(1_000);
        let q = bench.queue("q");
        let id = |number: usize| MessageId::given(&format!("m{number}")).unwrap();
        let count = 3 * limits::FIND_LOOKS_MAX;
        for number in 0..count {
            bench.publish_all(&q, vec![Message::new(id(number), "".into())]).unwrap();
            bench.write();
        }
        let find = |number| bench.until_ready(bench.engine().find(&q, &id(number))).unwrap();
        assert_eq!(find(count - 1).unwrap().place, Place::Ready);
        assert!(find(count).is_none());
        let last = id(count - 1);
        let mut finding = std::pin::pin!(bench.engine().find(&q, &last));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(finding.as_mut().poll(&mut context).is_pending(), "others have their turn in between");
        while bench.receive(&q).is_some() {
            bench.write();
        }
        let found = bench.until_ready(finding).unwrap().unwrap();
        assert!(matches!(found.place, Place::Held(_)));
    }
}
