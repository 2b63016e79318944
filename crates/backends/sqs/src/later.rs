//! What is due later waits in a queue of its own, as long as SQS can delay it at a time, and is moved to its queue when its
//! time has come, by whoever receives from that. So it holds up nobody, in an ordered queue neither.

use std::sync::Arc;
use std::sync::atomic::Ordering::AcqRel;
use std::sync::atomic::Ordering::Release;
use std::time::Duration;

use forebay_core::limits::sqs as limits;
use forebay_core::time::Instant;
use forebay_envelope::envelope::Envelope;

use crate::inner::Inner;
use crate::message::claims::Claim;
use crate::message::envelope;
use crate::poll::backoff;
use crate::queue::Queue;
use crate::wire::refusal::Refusal;
use crate::wire::{Change, Entry, Taken};

const MOVE: &str = "move message whose time has come";

/// Sees to what becomes due, in the background, as long as the queue is received from.
pub(crate) fn mind(inner: &Arc<Inner>, queue: &Arc<Queue>) {
    if !queue.minded.swap(true, AcqRel) {
        inner.run(watch(inner.clone(), queue.clone()));
    }
}

async fn watch(inner: Arc<Inner>, queue: Arc<Queue>) {
    let mut failures = 0;
    let is_used = |now: Instant| {
        queue.look(|shelf| {
            let used = !shelf.waiting.is_empty() || now.since(shelf.waiting.used_at) < limits::LATER_IDLE;
            used && !shelf.gone
        })
    };
    while !inner.is_closed() && is_used(inner.clock.now()) {
        let pause = match look(&inner, &queue).await {
            Ok(count) => {
                failures = 0;
                let waited = inner.settings.poll_wait().as_secs() > 0;
                if count == 0 && !waited { limits::POLL_PAUSE } else { Duration::ZERO }
            }
            Err(refusal) => {
                failures += 1;
                tracing::warn!(queue = %queue.settings.name, ?refusal, failures, "sqs: what is due cannot be moved");
                backoff(failures, inner.clock.random())
            }
        };
        inner.pause(pause).await;
    }
    queue.minded.store(false, Release);
}

/// One request. Says how many messages it brought.
async fn look(inner: &Inner, queue: &Queue) -> Result<usize, Refusal> {
    let hide = inner.settings.visibility;
    let taken = inner.wire.receive(&queue.later, limits::BATCH_MAX, inner.settings.poll_wait(), hide).await?;
    let count = taken.len();
    if count > 0 {
        let _moving = queue.moving.lock().await;
        move_on(inner, queue, taken).await?;
    }
    Ok(count)
}

/// A message that was taken from where it waits.
struct Waiting {
    envelope: Envelope,
    claim: Option<Claim>,
    receipt: String,
    sent_at: Instant,
}

/// What becomes of it now.
#[derive(Debug, PartialEq, Eq)]
enum Course {
    /// It is moved when its time has come: within a second.
    Move,
    /// It stays, hidden for so long.
    Hide(Duration),
    /// It is sent anew: SQS forgets a message after a time, and a new one begins anew.
    Anew,
}

impl Course {
    fn of(due: Instant, sent_at: Instant, now: Instant) -> Self {
        let left = due.since(now);
        if left < Duration::from_secs(1) {
            Self::Move
        } else if left > limits::HIDDEN_MAX && now.since(sent_at) > limits::ANEW_AFTER {
            Self::Anew
        } else {
            Self::Hide(Duration::from_secs(left.min(limits::HIDDEN_MAX).as_secs()))
        }
    }
}

impl Waiting {
    fn read(taken: Taken) -> Self {
        let Taken { body, attribute, id, sent_at, receipt, .. } = taken;
        let (envelope, claim) = envelope::unpack(&body, attribute.as_deref(), &id, sent_at);
        Self { envelope, claim, receipt, sent_at }
    }

    /// How it is sent, and what is to be deleted then.
    fn entry(self, inner: &Inner, queue: &Queue, waits: Option<Instant>) -> (Entry, String) {
        (inner.entry(queue, &self.envelope, self.claim.as_ref(), waits), self.receipt)
    }
}

/// Moves what is due, and what is due within a second after having waited for it, in the order of their times; hides the rest.
async fn move_on(inner: &Inner, queue: &Queue, taken: Vec<Taken>) -> Result<(), Refusal> {
    let now = inner.clock.now();
    let taken: Vec<_> = taken.into_iter().map(Waiting::read).collect();
    for claim in taken.iter().filter_map(|waiting| waiting.claim.as_ref()) {
        // It may wait for longer than files lie in the directory that nobody asks for.
        if let Some(claims) = &inner.claims {
            claims.touch(claim).await;
        }
    }
    let (mut waiting, mut again, mut hidden) = (Vec::new(), Vec::new(), Vec::new());
    for taken in taken {
        match Course::of(taken.envelope.due, taken.sent_at, now) {
            Course::Move => waiting.push(taken),
            Course::Hide(hide) => hidden.push(Change { receipt: taken.receipt, hide }),
            Course::Anew => again.push(taken.entry(inner, queue, Some(now))),
        }
    }
    waiting.sort_by_key(|waiting| waiting.envelope.due);
    if !hidden.is_empty() {
        inner.wire.change(&queue.later, &hidden).await?;
    }
    send_and_delete(inner, queue, &queue.later, again).await?;
    while let Some(due) = waiting.first().map(|waiting| waiting.envelope.due) {
        if due > inner.clock.now() {
            tokio::select! {
                () = inner.clock.sleep_until(due) => {}
                // They come back by themselves.
                () = inner.closed() => return Ok(()),
            }
        }
        let now = inner.clock.now();
        let due = waiting.extract_if(.., |waiting| waiting.envelope.due <= now);
        let moved = due.map(|waiting| waiting.entry(inner, queue, None)).collect();
        send_and_delete(inner, queue, &queue.url, moved).await?;
        queue.changed.notify_waiters();
    }
    Ok(())
}

/// Whoever dies in between leaves two of them, never none.
async fn send_and_delete(
    inner: &Inner,
    queue: &Queue,
    url: &str,
    moved: Vec<(Entry, String)>,
) -> Result<(), Refusal> {
    if moved.is_empty() {
        return Ok(());
    }
    let (entries, receipts): (Vec<_>, Vec<_>) = moved.into_iter().unzip();
    if let Err(error) = inner.send(queue, url, entries, MOVE).await {
        tracing::warn!(queue = %queue.settings.name, %error, "sqs: what is due is moved later");
        return Err(Refusal::Away("what is due could not be moved"));
    }
    inner.wire.delete(&queue.later, &receipts).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn what_waits_long_stays_where_it_is_and_is_sent_anew_only_before_sqs_forgets_it() {
        let sent = Instant::from_ms(1_000_000);
        let course = |due: Duration, age: Duration| Course::of(sent + age + due, sent, sent + age);
        assert_eq!(course(Duration::from_millis(900), HOUR), Course::Move);
        assert_eq!(course(HOUR / 2, HOUR), Course::Hide(HOUR / 2));
        assert_eq!(course(HOUR * 24 * 20, HOUR), Course::Hide(limits::HIDDEN_MAX));
        assert_eq!(course(HOUR * 24 * 20, limits::ANEW_AFTER + HOUR), Course::Anew);
        assert_eq!(course(HOUR, limits::ANEW_AFTER + HOUR), Course::Hide(HOUR), "it is moved soon enough");
        assert!(limits::ANEW_AFTER + limits::HIDDEN_MAX * 2 < limits::RETENTION);
    }
}
