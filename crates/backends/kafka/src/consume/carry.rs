//! Moving on what has waited in Kafka for as long as it does in one place, and what is to wait there.

use std::convert::Infallible;
use std::sync::Arc;

use forebay_core::limits::kafka as limits;
use rdkafka::error::KafkaResult;

use crate::inner::Inner;
use crate::link::refusal;
use crate::queue::Queue;
use crate::queue::shelf::Shelf;

const MOVE: &str = "move delayed messages";

/// Goes on for as long as it is polled.
pub(super) async fn carry(inner: &Arc<Inner>, queue: &Arc<Queue>) -> Infallible {
    loop {
        let changed = queue.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let now = inner.clock.now();
        let letters = queue.change_quietly(|shelf| shelf.take_carried(now));
        if letters.is_empty() {
            let next = queue.look(|shelf| shelf.next_carried().filter(|_| shelf.purges == 0));
            let sleep = async {
                match next {
                    Some(at) => inner.clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = changed => {}
                () = sleep => {}
            }
            continue;
        }
        let envelopes = letters.iter().map(|(letter, _)| letter.again());
        // It has an end by itself. What was moved by then is known, and is not moved once more with what was not.
        let put = inner.put_each(queue, envelopes, MOVE).await;
        let mut failed = None;
        let put = put.unwrap_or_else(|error| {
            failed = Some(error);
            Vec::new()
        });
        let mut put = put.into_iter();
        let at = inner.clock.now() + limits::PAUSE;
        for (letter, generation) in letters {
            match put.next() {
                Some(Ok(())) => drop(queue.finish(letter, generation)),
                refused => {
                    let refused = refused.and_then(KafkaResult::err);
                    failed = refused.map(|error| refusal(error, MOVE, queue.name().as_str())).or(failed);
                    queue.change_quietly(|shelf| shelf.carry_again(letter, generation, at));
                }
            }
        }
        if let Some(error) = failed {
            tracing::warn!(queue = %queue.name(), %error, "kafka: delayed messages stay where they are");
        }
        queue.change(Shelf::carried);
    }
}
