//! Asking SQS for messages: only while somebody here waits for them, and no more than are waited for.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::delivery::Reason;
use forebay_core::error::Kind;
use forebay_core::limits::sqs as limits;
use forebay_core::queue::PARKED;
use forebay_core::time::Instant;

use crate::inner::Inner;
use crate::message::envelope;
use crate::queue::shelf::Letter;
use crate::queue::waiting::Asked;
use crate::queue::{Queue, acks};
use crate::wire::refusal::Refusal;
use crate::wire::{Change, Taken};

/// Sees to it that enough is asked for, in the background.
pub(crate) fn want(inner: &Arc<Inner>, queue: &Arc<Queue>) {
    let hire = || {
        queue.change_quietly(|shelf| {
            let free = shelf.free();
            shelf.waiting.hire(inner.settings.pollers, count_max(queue), free)
        })
    };
    while hire() {
        inner.run(poll(inner.clone(), queue.clone()));
    }
}

/// Where order is kept SQS gives several of one key to who asks for several: but one at a time is to be held, and the others
/// are not to be kept from other processes.
fn count_max(queue: &Queue) -> usize {
    if queue.is_ordered() { 1 } else { limits::BATCH_MAX }
}

async fn poll(inner: Arc<Inner>, queue: Arc<Queue>) {
    let mut failures = 0;
    while !inner.is_closed() {
        let asked = queue.change_quietly(|shelf| {
            let free = shelf.free();
            shelf.waiting.ask(inner.settings.poll_wait(), count_max(&queue), free, inner.clock.now())
        });
        let Some(asked) = asked else { return };
        let pause = match ask(&inner, &queue, asked).await {
            Ok(count) => {
                failures = 0;
                if count == 0 && asked.wait.is_zero() { limits::POLL_PAUSE } else { Duration::ZERO }
            }
            Err(Refusal::NoQueue) => {
                inner.forget(&queue.settings.name);
                break;
            }
            Err(refusal) => {
                failures += 1;
                tracing::warn!(queue = %queue.settings.name, ?refusal, failures, "sqs: no messages can be had");
                backoff(failures, inner.clock.random())
            }
        };
        inner.pause(pause).await;
    }
    queue.change(|shelf| shelf.waiting.dismiss());
}

/// One request. Says how many messages it brought.
async fn ask(inner: &Arc<Inner>, queue: &Arc<Queue>, asked: Asked) -> Result<usize, Refusal> {
    let hide = inner.settings.visibility;
    // SQS counts from when it hands them out: that is later.
    let begun = inner.clock.now();
    let answer = inner.wire.receive(&queue.url, asked.count, asked.wait, hide).await;
    let taken = match answer {
        Ok(taken) => taken,
        Err(refusal) => {
            queue.change(|shelf| shelf.waiting.answer(asked, Some(format!("{refusal:?}"))));
            return Err(refusal);
        }
    };
    let count = taken.len();
    let mut letters = Vec::with_capacity(count);
    for taken in taken {
        letters.extend(open(inner, queue, taken, begun).await);
    }
    queue.change(|shelf| {
        letters.into_iter().for_each(|letter| shelf.arrive(letter, begun + hide));
        shelf.waiting.answer(asked, None);
    });
    Ok(count)
}

/// Reads a message; `None` if its claim cannot be redeemed: then it stays where it is, hidden for a while, until it is given up.
async fn open(inner: &Arc<Inner>, queue: &Arc<Queue>, taken: Taken, received_at: Instant) -> Option<Letter> {
    let (envelope, claim) =
        envelope::unpack(&taken.body, taken.attribute.as_deref(), &taken.id, taken.sent_at);
    let number = inner.number();
    let envelope = match (&claim, &inner.claims) {
        (None, _) => envelope,
        (Some(claim), Some(claims)) => match claims.get(claim).await {
            Ok(payload) => envelope.with_payload(payload),
            Err(error) if error.kind() != Kind::Io && is_given_up(queue, &taken) => {
                let note = format!("its payload {} cannot be had: {error}", claim.name);
                tracing::error!(queue = %queue.settings.name, id = taken.id, note, "sqs: a message is given up");
                let (claim, count) = (Some(claim.clone()), taken.count);
                let (id, receipt) = (taken.id, taken.receipt);
                let letter = Letter { envelope, claim, number, id, receipt, count, received_at };
                give_up(inner, queue, letter, &note).await;
                return None;
            }
            Err(error) => {
                tracing::error!(queue = %queue.settings.name, id = taken.id, %error, "sqs: a message stays where it is");
                leave_alone(inner, queue, taken).await;
                return None;
            }
        },
        (Some(_), None) => {
            tracing::error!(queue = %queue.settings.name, id = taken.id, "sqs: a message claims a payload, and no claims= is set");
            leave_alone(inner, queue, taken).await;
            return None;
        }
    };
    let Taken { id, receipt, count, .. } = taken;
    Some(Letter { envelope, claim, number, id, receipt, count, received_at })
}

/// Whether it holds up its key no longer. Where it is parked it stays, for the payload may come back.
fn is_given_up(queue: &Queue, taken: &Taken) -> bool {
    taken.count >= limits::UNREDEEMED_MAX && queue.settings.name.as_str() != PARKED
}

/// It goes to the dead letters with its claim. Where that fails it comes again, and so does this.
async fn give_up(inner: &Arc<Inner>, queue: &Arc<Queue>, letter: Letter, note: &str) {
    let attempts = letter.envelope.attempts;
    match inner.dead_letter(queue, &letter, Reason::Rejected, attempts, Some(note)).await {
        Ok(()) => drop(acks::delete(inner, queue, &letter).await),
        Err(error) => tracing::warn!(queue = %queue.settings.name, %error, "sqs: it stays where it is"),
    }
}

async fn leave_alone(inner: &Inner, queue: &Queue, taken: Taken) {
    let hide = limits::CLAIM_PAUSE.min(Duration::from_secs(1 << taken.count.min(16)));
    // If that fails it comes again sooner.
    let _ = inner.wire.change(&queue.url, &[Change { receipt: taken.receipt, hide }]).await;
}

/// Doubled for each failure, with up to half of it taken off by chance so that not all come back at once.
pub(crate) fn backoff(failures: u32, random: u64) -> Duration {
    let pause = limits::PAUSE.saturating_mul(1 << failures.min(8)).min(limits::PAUSE_MAX);
    pause.mul_f64(1.0 - (random % 1_000) as f64 / 2_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_differ() {
        assert_eq!(backoff(1, 0), limits::PAUSE * 2);
        assert_eq!(backoff(40, 0), limits::PAUSE_MAX);
        assert!(backoff(3, 999) < backoff(3, 0) && backoff(3, 999) >= backoff(3, 0) / 2);
    }
}
