//! Publishing: everything has been taken by SQS before it counts as published.

use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::sqs as limits;
use forebay_core::message::{Message, MessageId};
use forebay_core::queue::QueueName;
use forebay_core::time::Instant;
use forebay_envelope::envelope::Envelope;
use tokio::time;

use crate::inner::Inner;
use crate::message::claims::Claim;
use crate::message::envelope;
use crate::queue::{Queue, names};
use crate::wire::Entry;
use crate::wire::refusal::Refusal;

const PUBLISH: &str = "publish to queue";

impl Inner {
    /// Publishes messages that come from outside.
    pub(crate) async fn publish(&self, name: &QueueName, messages: Vec<Message>) -> Result<Vec<MessageId>> {
        messages.iter().try_for_each(Message::check)?;
        let queue = self.queue(name, PUBLISH).await?;
        let now = self.clock.now();
        let ids = messages.iter().map(|message| message.id.clone()).collect();
        let envelopes = messages.into_iter().map(|message| (Envelope::new(message, now), None)).collect();
        self.put_with(&queue, envelopes, limits::GROWTH_BYTES, PUBLISH).await?;
        Ok(ids)
    }

    /// Sends messages to one queue, in order, each with its claim if its payload lies beside SQS; those whose time has not come
    /// go to where they wait for it. `Ok`: SQS has them all.
    pub(crate) async fn put(
        &self,
        queue: &Queue,
        envelopes: Vec<(Envelope, Option<Claim>)>,
        operation: &'static str,
    ) -> Result<()> {
        self.put_with(queue, envelopes, 0, operation).await
    }

    /// The same, with so many bytes left free in each.
    async fn put_with(
        &self,
        queue: &Queue,
        envelopes: Vec<(Envelope, Option<Claim>)>,
        free: usize,
        operation: &'static str,
    ) -> Result<()> {
        let now = self.clock.now();
        let (mut ready, mut later) = (Vec::new(), Vec::new());
        for (envelope, claim) in envelopes {
            let claim = self.claim(queue, &envelope, claim, free, operation).await?;
            if envelope.due > now {
                later.push(self.entry(queue, &envelope, claim.as_ref(), Some(now)));
            } else {
                ready.push(self.entry(queue, &envelope, claim.as_ref(), None));
            }
        }
        self.send(queue, &queue.url, ready, operation).await?;
        self.send(queue, &queue.later, later, operation).await
    }

    /// How a message is sent: to its queue, or, with the present, to where it waits.
    pub(crate) fn entry(
        &self,
        queue: &Queue,
        envelope: &Envelope,
        claim: Option<&Claim>,
        waits: Option<Instant>,
    ) -> Entry {
        let packed = envelope::pack(envelope, claim, queue.bytes_max);
        let delay = waits.map_or(Duration::ZERO, |now| envelope.due.since(now).min(limits::DELAY_MAX));
        let group = (queue.is_ordered() && waits.is_none()).then(|| {
            let once = self.unique();
            // What has no key waits for nothing.
            let group = envelope.message.key.as_deref().map_or_else(|| format!("n-{once}"), names::group);
            (group, once)
        });
        Entry { packed, delay, group }
    }

    /// Puts a payload beside SQS that does not fit into it, with all that is told of it and with so many bytes left free. Says
    /// what claims it. Where there is no such place, its history is cut.
    async fn claim(
        &self,
        queue: &Queue,
        envelope: &Envelope,
        claim: Option<Claim>,
        free: usize,
        operation: &'static str,
    ) -> Result<Option<Claim>> {
        if let (Some(claim), Some(claims)) = (&claim, &self.claims) {
            claims.touch(claim).await;
        }
        let fits =
            |claim, in_bytes| envelope::pack(envelope, claim, in_bytes).bytes() + free <= queue.bytes_max;
        if claim.is_some() || fits(None, usize::MAX) {
            return Ok(claim);
        }
        if self.claims.is_none() && fits(None, queue.bytes_max) {
            return Ok(None);
        }
        let refuse =
            |what: &str| Error::new(Kind::TooLarge, operation, format!("{}: {what}", queue.settings.name));
        let claims = self.claims.as_ref();
        let claims = claims.ok_or_else(|| refuse("SQS takes no message so large, and no claims= is set"))?;
        let claim = claims.put(self.unique(), &envelope.message.payload).await?;
        if !fits(Some(&claim), queue.bytes_max) {
            claims.remove(&claim).await;
            return Err(refuse("SQS takes no headers so large"));
        }
        Ok(Some(claim))
    }

    /// Sends in requests of as many as SQS takes, one after the other, and what it did not take again, as long as a call may
    /// wait.
    pub(crate) async fn send(
        &self,
        queue: &Queue,
        url: &str,
        entries: Vec<Entry>,
        operation: &'static str,
    ) -> Result<()> {
        let name = &queue.settings.name;
        let (until, mut pause) = (time::Instant::now() + self.settings.wait, limits::PAUSE);
        let mut entries = std::collections::VecDeque::from(entries);
        while !entries.is_empty() {
            let count = fitting(entries.iter().map(|entry| entry.packed.bytes()), queue.bytes_max);
            let batch: Vec<Entry> = entries.drain(..count).collect();
            let left = match self.wire.send(url, &batch).await {
                Ok(left) => left,
                Err(refusal) => (0..batch.len()).map(|number| (number, refusal.clone())).collect(),
            };
            if let Some((_, refusal)) = left.iter().find(|(_, refusal)| !refusal.may_pass()) {
                if matches!(refusal, Refusal::NoQueue) {
                    self.forget(name);
                }
                return Err(refusal.clone().during(operation, name.as_str()));
            }
            let Some((_, refusal)) = left.first() else { continue };
            if time::Instant::now() + pause >= until {
                return Err(refusal.clone().during(operation, name.as_str()));
            }
            for (number, _) in left.iter().rev() {
                batch.get(*number).cloned().into_iter().for_each(|entry| entries.push_front(entry));
            }
            self.pause(pause).await;
            pause = (pause * 2).min(limits::PAUSE_MAX);
        }
        Ok(())
    }
}

/// How many of them go into one request; the first one does whatever its size.
fn fitting(sizes: impl Iterator<Item = usize>, bytes_max: usize) -> usize {
    let mut bytes = 0;
    let fits = sizes.take(limits::BATCH_MAX).take_while(|size| {
        let first = bytes == 0;
        bytes += size;
        first || bytes <= bytes_max
    });
    fits.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_no_more_than_sqs_takes() {
        assert_eq!(fitting([1; 25].into_iter(), 100), 10);
        assert_eq!(fitting([40, 40, 20, 1].into_iter(), 100), 3);
        assert_eq!(fitting([400, 1].into_iter(), 100), 1);
        assert_eq!(fitting([].into_iter(), 100), 0);
    }
}
