//! Moving on what has waited in Kafka for as long as it does in one place, and what is to wait there.

use std::convert::Infallible;
use std::sync::Arc;

use forebay_core::limits::kafka as limits;

use crate::inner::Inner;
use crate::queue::Queue;
use crate::queue::shelf::Shelf;

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
        let envelopes = letters.iter().map(|(letter, _)| letter.again()).collect();
        let put =
            inner.bounded("move delayed messages", inner.put(queue, envelopes, "move delayed messages"));
        match put.await {
            Ok(()) => {
                for (letter, generation) in letters {
                    drop(queue.finish(letter, generation));
                }
            }
            Err(error) => {
                tracing::warn!(queue = %queue.name(), %error, "kafka: delayed messages stay where they are");
                let at = inner.clock.now() + limits::PAUSE;
                queue.change(|shelf| {
                    for (letter, generation) in letters {
                        shelf.carry_again(letter, generation, at);
                    }
                });
            }
        }
        queue.change(Shelf::carried);
    }
}
