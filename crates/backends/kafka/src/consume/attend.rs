//! Looking after a member: reading on, holds that run out, removing what is finished, and the end.

use std::sync::Arc;

use forebay_core::limits::kafka as limits;
use tokio::time;

use super::trim::trim;
use crate::inner::Inner;
use crate::queue::Queue;
use crate::queue::shelf::{Consuming, Shelf};

/// Reads on where there is room again, has holds offered that have run out, and ends when nobody asks for this queue any more.
pub(super) async fn attend(inner: &Arc<Inner>, queue: &Arc<Queue>) {
    let mut look = time::interval(limits::LOOK);
    let mut trimmed_at = inner.clock.now();
    loop {
        let changed = queue.changed.notified();
        tokio::select! {
            () = inner.closed() => return,
            _ = look.tick() => {}
            () = changed => {}
        }
        queue.change_quietly(Shelf::resume_with_room);
        let now = inner.clock.now();
        // Also what was being settled meanwhile, and is held again past its end because that has failed.
        if queue.look(|shelf| shelf.holds.next_end().is_some_and(|end| end <= now)) {
            inner.holds.notify_waiters();
        }
        let (over, unsaid) = queue.look(|shelf| {
            let gone = shelf.consuming == Consuming::Gone;
            let unused = shelf.is_unused(now - limits::IDLE) && shelf.holds.is_empty();
            // Whoever has the partitions next is to know of all that was settled.
            (gone || (unused && !shelf.has_uncommitted()), !gone && unused && shelf.has_uncommitted())
        });
        if unsaid {
            queue.commits.notify_one();
        }
        if over || now.since(trimmed_at) >= limits::TRIM_PAUSE {
            trimmed_at = now;
            // What is retained for a time ends with the time, whatever is finished meanwhile.
            let due =
                queue.look(|shelf| if queue.retains() { shelf.committed_offsets() } else { shelf.to_trim() });
            if !due.is_empty() {
                trim(inner, queue, due, if over { limits::TRIM_TRIES } else { 1 });
            }
        }
        if over {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use forebay_core::message::{Message, MessageId};
    use forebay_core::ports::clock::Clock;
    use forebay_core::queue::{QueueName, QueueSettings};
    use forebay_envelope::envelope::Envelope;
    use forebay_runtime::clock::TokioClock;

    use super::*;
    use crate::queue::commit::{Change, Fate};
    use crate::queue::intake::Record;
    use crate::queue::letter::Source;
    use crate::queue::names::{Lane, Names};
    use crate::settings::KafkaSettings;

    #[tokio::test]
    async fn a_member_of_which_nobody_asks_anything_ends_once_all_that_was_settled_is_committed() {
        let clock = Arc::new(TokioClock::new());
        let settings = KafkaSettings::parse("kafka://127.0.0.1:1").unwrap();
        let (inner, _errands) = Inner::new(settings, clock.clone());
        let name = QueueName::new("q").unwrap();
        let names = Names::new("", &name, 1).unwrap();
        let queue = inner.remember(Queue::new(QueueSettings::new(name), 1, names));
        let (now, source) = (clock.now(), Source { lane: Lane::Main, partition: 0 });
        queue.change(|shelf| {
            shelf.assign(source, 0, "", 0);
            // It was put elsewhere, which nobody has been told in vain.
            shelf.skip_to(&std::collections::BTreeMap::from([(source, 500)]));
            let batch = shelf.batch().unwrap();
            shelf.committed(batch, Fate::Failed, Fate::Lost, now);
        });
        let commits = async {
            queue.commits.notified().await;
            queue.change(|shelf| {
                let batch = shelf.batch().unwrap();
                shelf.committed(batch, Fate::Committed, Fate::Lost, now);
            });
        };
        let ends = async { tokio::join!(attend(&inner, &queue), commits) };
        tokio::time::timeout(std::time::Duration::from_secs(30), ends).await.unwrap();
        assert!(!queue.look(Shelf::has_uncommitted));
    }

    #[tokio::test]
    async fn a_hold_that_ran_out_while_its_delivery_was_settled_in_vain_is_offered() {
        let clock = Arc::new(TokioClock::new());
        let settings = KafkaSettings::parse("kafka://127.0.0.1:1").unwrap();
        let (inner, _errands) = Inner::new(settings, clock.clone());
        let name = QueueName::new("q").unwrap();
        let names = Names::new("", &name, 1).unwrap();
        let queue = inner.remember(Queue::new(QueueSettings::new(name), 1, names));
        let (now, source) = (clock.now(), Source { lane: Lane::Main, partition: 0 });
        let envelope = Envelope::new(Message::new(MessageId::given("m").unwrap(), "payload".into()), now);
        let gripped = queue.change(|shelf| {
            shelf.assign(source, 0, "", 0);
            let put_ms = now.as_ms();
            shelf.arrive(
                Record { source, offset: 0, put_ms, envelope, origin: None, header_bytes: 0 },
                0,
                now,
            );
            shelf.take(1, now, 7, now);
            shelf.grip(0, 7)
        });
        let failing = async {
            // Whoever waits for ended holds finds none meanwhile.
            tokio::task::yield_now().await;
            let (held, generation) = gripped.unwrap();
            queue.change(|shelf| {
                drop(shelf.begin(held.letter.clone(), generation, Some(held), Change::Settled));
                let batch = shelf.batch().unwrap();
                shelf.committed(batch, Fate::Failed, Fate::Lost, now);
            });
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            offered = inner.expired() => assert_eq!(offered.unwrap().len(), 1),
            () = attend(&inner, &queue) => panic!("it is asked for still"),
            () = failing => {}
            () = tokio::time::sleep(Duration::from_secs(30)) => panic!("it is not offered"),
        }
    }
}
