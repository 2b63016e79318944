//! Taking what is ready: a script hands out what is listed, or opens the door for the group to hand out what is next.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use forebay_core::delivery::{Delivery, DeliveryId};
use forebay_core::error::{Kind, Result};
use forebay_core::limits;
use forebay_core::queue::{QueueName, QueueSettings};
use forebay_core::time::Instant;
use futures_util::future::try_join_all;
use redis::{Cmd, Value};

use super::answers::Fields;
use super::declare;
use super::session::{FIRST, Session, Way, delivery, token_text};
use crate::link::About;
use crate::script::strange;

/// Who takes, in the eyes of the group. Its takes come one after the other, and it makes none after one whose answer did not
/// come: what is pending behind the last position that it was told of was handed out by that one.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    consumer: String,
    told: u64,
}

impl Reader {
    pub(super) fn new(number: u64) -> Self {
        Self { consumer: format!("forebay-{number:016x}"), told: 0 }
    }
}

/// What is asked for.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) count: usize,
    pub(super) hold: Option<Duration>,
    pub(super) token: u32,
    /// Where there is too little, the bell is to be rung when something comes.
    pub(super) wakes: bool,
    pub(super) reader: Reader,
}

/// What a take brought.
pub(super) struct Taken {
    pub(super) deliveries: Vec<Delivery>,
    /// Taken as well, but not to be read.
    pub(super) unread: Vec<DeliveryId>,
    /// How long until something more is due.
    pub(super) due_in: Option<Duration>,
    /// Who may take next.
    pub(super) reader: Reader,
}

/// What a take has made held, of which not all need have been told.
struct Held {
    settings: Arc<QueueSettings>,
    due_in: Option<Duration>,
    until: Instant,
    entries: Vec<Entry>,
}

struct Entry {
    id: DeliveryId,
    tries: u32,
    /// Its names and values.
    told: Option<Fields>,
}

impl Session {
    /// Takes what is ready. Its answer is waited for beyond the time of other calls: a late one still tells what is held.
    pub(super) async fn take(&self, queue: &QueueName, asked: Asked) -> Result<Taken> {
        let about = About { operation: "receive from queue", on: queue.as_str() };
        let Asked { count, hold, token, wakes, mut reader } = asked;
        let count = count.to_string();
        let token_text = token_text(token);
        let [bytes, told] = [limits::RECEIVE_BYTES_MAX, limits::redis::TAKE_TOLD_MAX].map(|n| n.to_string());
        let [fresh, wait] = self.moving();
        let wakes: &[u8] = if wakes { b"1" } else { b"" };
        let own = hold.map_or_else(String::new, declare::ms);
        let (most, hold, token_text) = (count.as_bytes(), own.as_bytes(), token_text.as_bytes());
        let mut arguments = [fresh, wait, most, hold, token_text, wakes, bytes.as_bytes(), told.as_bytes()];
        let (script, within) = (&self.scripts.take, Some(limits::redis::TAKE_WAIT_MAX));
        let read = if own.is_empty() {
            let behind = vec![self.read_next(queue, &reader, &count)];
            let way = Way { link: &self.link, within };
            Some(self.run_before(way, about, script, queue, &arguments, behind).await)
        } else {
            // Each message is told how long it is held, and listed for that.
            None
        };
        let (answer, read) = match read {
            Some(Err(error)) if error.kind() == Kind::Full => {
                // A server whose memory is full begins no transaction.
                let [_, _, _, hold, ..] = &mut arguments;
                *hold = b"own";
                None
            }
            read => read,
        }
        .transpose()?
        .unzip();
        let answer = match answer {
            Some(answer) => answer,
            None => self.run_until_done(&self.link, about, script, queue, &arguments, within).await?,
        };
        let mut held = self.read_held(queue, answer, token).ok_or_else(|| strange(about))?;
        // It is an error where the door was not opened.
        if let Some(Value::Array(streams)) = read.into_iter().flatten().next() {
            held.entries.extend(read_streams(streams).ok_or_else(|| strange(about))?);
        }
        let first = held.entries.iter().filter(|entry| entry.id.token == FIRST);
        reader.told = first.map(|entry| entry.id.position).fold(reader.told, u64::max);
        let untold = held.entries.iter().filter(|entry| entry.told.is_none()).map(|entry| entry.id.position);
        let mut told = self.read_entries(about, queue, untold.collect()).await?;
        let (mut deliveries, mut unread) = (Vec::with_capacity(held.entries.len()), Vec::new());
        for Entry { id, tries, told: entry } in held.entries {
            let entry = entry.or_else(|| told.remove(&id.position));
            match entry.and_then(|mut entry| entry.letter_of_entry(id.position, tries)) {
                Some(letter) => deliveries.push(delivery(&held.settings, letter, id.token, held.until)),
                None => unread.push(id),
            }
        }
        Ok(Taken { deliveries, unread, due_in: held.due_in, reader })
    }

    /// Reads what the group hands out next, through the door.
    fn read_next(&self, queue: &QueueName, reader: &Reader, count: &str) -> Cmd {
        let mut read = redis::cmd("XREADGROUP");
        read.arg("GROUP").arg("forebay").arg(&reader.consumer).arg("COUNT").arg(count);
        read.arg("STREAMS").arg(self.key("door", queue)).arg(">");
        read
    }

    fn read_held(&self, queue: &QueueName, answer: Value, token: u32) -> Option<Held> {
        let mut fields = Fields::of(answer)?;
        let settings = self.settings(queue, fields.bytes()?)?;
        let due = fields.maybe_number()?.map(Instant::from_ms);
        let (until, now) = (fields.moment()?, fields.moment()?);
        let mut held = Held { settings, due_in: due.map(|due| due.since(now)), until, entries: Vec::new() };
        if !fields.is_empty() {
            let (mut tries, mut entries) = (fields.fields()?, fields.fields()?);
            while !entries.is_empty() {
                let (position, told) = entries.entry()?;
                let id = DeliveryId { position, token };
                held.entries.push(Entry { id, tries: tries.tries()?, told });
            }
        }
        Some(held)
    }

    /// What lies at these positions of a queue.
    async fn read_entries(
        &self,
        about: About<'_>,
        queue: &QueueName,
        positions: Vec<u64>,
    ) -> Result<HashMap<u64, Fields>> {
        let mut found = HashMap::with_capacity(positions.len());
        if positions.is_empty() {
            return Ok(found);
        }
        let keys = ["stream", "rest"].map(|word| self.key(word, queue));
        let standing = self.link.stand(about, self.link.settings.patience).await?;
        let runs = runs(positions);
        let reads = keys.iter().flat_map(|key| runs.iter().map(move |(first, last)| (key, first, last)));
        let answers = reads.map(|(key, first, last)| {
            let mut command = redis::cmd("XRANGE");
            command.arg(key).arg(format!("0-{first}")).arg(format!("0-{last}"));
            let (link, standing) = (&self.link, standing.clone());
            async move { link.ask_on(about, standing, &command, limits::redis::TAKE_WAIT_MAX).await }
        });
        for answer in try_join_all(answers).await? {
            let mut entries = Fields::of(answer).ok_or_else(|| strange(about))?;
            while !entries.is_empty() {
                let (position, entry) = entries.entry().ok_or_else(|| strange(about))?;
                found.extend(entry.map(|entry| (position, entry)));
            }
        }
        Ok(found)
    }

    /// Gives back what was handed out by a take whose answer was lost; also while the session is closing.
    pub(super) async fn reclaim(&self, queue: &QueueName, reader: &Reader, token: u32) -> Result<()> {
        let about = About { operation: "give back deliveries", on: queue.as_str() };
        let (told, token) = (reader.told.to_string(), token_text(token));
        let most = limits::RECEIVE_DELIVERIES_MAX.to_string();
        let mut from = b"0".to_vec();
        loop {
            let [consumer, told, token] = [&reader.consumer, &told, &token].map(|text| text.as_bytes());
            let arguments = [consumer, told, token, from.as_slice(), most.as_bytes()];
            let script = &self.scripts.reclaim;
            match self.run_until_done(&self.link, about, script, queue, &arguments, None).await? {
                Value::BulkString(word) if word == b"again" => {}
                Value::BulkString(end) if end == b"0" => return Ok(()),
                Value::BulkString(next) => from = next,
                _ => return Err(strange(about)),
            }
        }
    }
}

/// What was read of one stream, all of it held for the first time: `[[key, [entry, …]]]`.
fn read_streams(streams: Vec<Value>) -> Option<Vec<Entry>> {
    let Some(stream) = streams.into_iter().next() else { return Some(Vec::new()) };
    let mut stream = Fields::of(stream)?;
    stream.bytes()?;
    let mut entries = stream.fields()?;
    let mut read = Vec::new();
    while !entries.is_empty() {
        let (position, told) = entries.entry()?;
        read.push(Entry { id: DeliveryId { position, token: FIRST }, tries: 0, told });
    }
    Some(read)
}

/// The stretches of positions without a gap, each as its first and last.
fn runs(mut positions: Vec<u64>) -> Vec<(u64, u64)> {
    positions.sort_unstable();
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for position in positions {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(position) => *last = position,
            _ => runs.push((position, position)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_in_stretches_without_a_gap() {
        assert_eq!(runs(vec![]), []);
        assert_eq!(runs(vec![7]), [(7, 7)]);
        assert_eq!(runs(vec![9, 3, 4, 5, 1]), [(1, 1), (3, 5), (9, 9)]);
        assert_eq!(runs(vec![u64::MAX, u64::MAX - 1]), [(u64::MAX - 1, u64::MAX)]);
    }
}
