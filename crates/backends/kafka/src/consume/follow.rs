//! Reading one partition. What has come of it lies in the client's own queue until there is room for it here: a partition that
//! is paused instead loses what has come, and the servers are asked for it once more.

use std::sync::Arc;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::kafka as limits;
use forebay_core::message::MessageId;
use forebay_core::payload::Payload;
use forebay_core::time::Instant;
use futures_util::{FutureExt, StreamExt};
use rdkafka::consumer::stream_consumer::StreamPartitionQueue;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use tokio::sync::Notify;
use tokio::task;

use super::member::{CONSUME, Watch};
use super::read::{go_on, header};
use crate::inner::Inner;
use crate::message::envelope;
use crate::queue::Queue;
use crate::queue::intake::{Record, Room};
use crate::queue::letter::Source;

/// Reads a partition whenever it is ours and there is room, for as long as this is polled. Nobody else reads it meanwhile.
pub(super) async fn follow(
    inner: &Inner,
    queue: &Queue,
    source: Source,
    told: Arc<Notify>,
    came: StreamPartitionQueue<Watch>,
) -> Result<()> {
    let mut records = came.stream();
    let mut batch = Vec::with_capacity(limits::READ_MAX);
    loop {
        let room = queue.change_quietly(|shelf| shelf.room(source)).unwrap_or_default();
        if room.count == 0 {
            told.notified().await;
            continue;
        }
        let first = tokio::select! {
            biased;
            // What comes once the partition was ours no more is another assignment's.
            () = told.notified() => continue,
            first = records.next() => first,
        };
        let (now, mut bytes, mut ended) = (inner.clock.now(), 0, None);
        let mut polled = first;
        let enough = loop {
            match polled {
                None => break false,
                Some(Err(error)) => {
                    ended = Some(error);
                    break false;
                }
                Some(Ok(record)) => {
                    let record = read(inner, source, &record, now);
                    bytes += record.bytes();
                    batch.push(record);
                }
            }
            if is_enough(&batch, bytes, room) {
                break true;
            }
            polled = records.next().now_or_never().flatten();
        };
        take_in(inner, queue, source, &mut batch, now)?;
        match ended {
            None => {}
            Some(KafkaError::PartitionEOF(_)) => {
                let is_new = queue.change_quietly(|shelf| shelf.is_read_to_its_end(source));
                if is_new {
                    queue.changed.notify_waiters();
                }
            }
            Some(error) => go_on(queue, error)?,
        }
        if enough {
            // However much there is, what was settled is committed meanwhile.
            task::yield_now().await;
        }
    }
}

fn is_enough(batch: &[Record], bytes: usize, room: Room) -> bool {
    batch.len() >= limits::READ_MAX.min(room.count) || bytes >= limits::READ_BYTES_MAX.min(room.bytes)
}

fn take_in(
    inner: &Inner,
    queue: &Queue,
    source: Source,
    batch: &mut Vec<Record>,
    now: Instant,
) -> Result<()> {
    if batch.is_empty() {
        return Ok(());
    }
    let arrived =
        queue.change_quietly(|shelf| shelf.arrive_all(source, batch.drain(..), || inner.number(), now));
    match arrived {
        Some(true) => queue.changed.notify_waiters(),
        Some(false) => {}
        // The client does not bring it again: another consumer begins where the last commit says.
        None => {
            let error = Error::new(Kind::Unavailable, CONSUME, queue.name().as_str());
            return Err(error.because("messages came of a partition that is not ours"));
        }
    }
    Ok(())
}

fn read(inner: &Inner, source: Source, record: &BorrowedMessage<'_>, now: Instant) -> Record {
    let put_ms = record.timestamp().to_millis().and_then(|ms| u64::try_from(ms).ok());
    // Clocks of other processes may be ahead; nothing came, or was published, later than now.
    let put_ms = put_ms.unwrap_or(now.as_ms()).min(now.as_ms());
    let header = header(record);
    let payload = Payload::from(record.payload().unwrap_or_default());
    let id = || MessageId::generate(now, [inner.clock.random(), inner.clock.random()]);
    let (mut envelope, origin) = envelope::read(header, record.key(), payload, Instant::from_ms(put_ms), id);
    envelope.published_at = envelope.published_at.min(now);
    let header_bytes = header.map_or(0, <[u8]>::len);
    Record { source, offset: record.offset(), put_ms, envelope, origin, header_bytes }
}
