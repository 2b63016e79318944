//! Publishing: a batch goes in parts, each over one connection, to a server that keeps what is asked for.

use std::borrow::Cow;
use std::sync::Arc;

use forebay_core::error::{Kind, Result};
use forebay_core::limits;
use forebay_core::message::{Message, MessageId};
use forebay_core::queue::QueueName;
use redis::Value;
use tokio::time::Instant;

use super::session::Session;
use super::{codec, moment_text};
use crate::link::{About, Link, Standing};
use crate::script::strange;

pub(super) struct Publisher {
    session: Arc<Session>,
    /// A connection of its own where publishes wait for replicas, which hold up what is behind them.
    own: Option<Arc<Link>>,
}

impl Publisher {
    pub(super) fn new(session: Arc<Session>, own: Option<Arc<Link>>) -> Self {
        Self { session, own }
    }

    pub(super) fn close(&self) {
        if let Some(link) = &self.own {
            link.close();
        }
    }

    pub(super) async fn publish(&self, queue: &QueueName, messages: Vec<Message>) -> Result<Vec<MessageId>> {
        self.session.check_open(about(queue))?;
        messages.iter().try_for_each(Message::check)?;
        let mut more = messages.len();
        for (number, part) in parts(&messages).into_iter().enumerate() {
            more -= part.len();
            self.publish_part(queue, part, more, number == 0).await?;
        }
        Ok(messages.into_iter().map(|message| message.id).collect())
    }

    async fn publish_part(
        &self,
        queue: &QueueName,
        messages: &[Message],
        more: usize,
        is_first: bool,
    ) -> Result<()> {
        let about = about(queue);
        let link = self.own.as_ref().unwrap_or(&self.session.link);
        let numbers = [more, limits::DEDUP_IDS_MAX].map(|number| number.to_string().into_bytes());
        let mut arguments = Vec::from(numbers.map(Cow::Owned));
        for message in messages {
            arguments.push(Cow::Borrowed(message.id.as_str().as_bytes()));
            arguments.push(Cow::Owned(codec::write(message)));
            arguments.extend(rest_of(message));
        }
        let arguments: Vec<&[u8]> = arguments.iter().map(|argument| &**argument).collect();
        let script = &self.session.scripts.publish;
        let trusted = self.session.trusted(link, about).await;
        // Whatever is wrong with the server by then, a part of the messages may be in the queue.
        let in_part = |error| if is_first { error } else { about.error(Kind::Unavailable).because(error) };
        let standing = trusted.map_err(in_part)?;
        let over = (&**link, standing.clone());
        match self.session.run_over(over, about, script, queue, &arguments).await? {
            Value::BulkString(word) if word == b"done" => confirm(about, link, standing).await,
            Value::BulkString(word) if word == b"full" && is_first => Err(about.error(Kind::Full)),
            Value::BulkString(word) if word == b"full" => {
                let some = "the queue became full when a part of the messages was in it";
                Err(about.error(Kind::Unavailable).because(some))
            }
            _ => Err(strange(about)),
        }
    }
}

fn about(queue: &QueueName) -> About<'_> {
    About { operation: "publish to queue", on: queue.as_str() }
}

/// Waits for the replicas that are asked for. A server answers for what came over the same connection only: of another one it would
/// say that all replicas have the nothing that came over it.
async fn confirm(about: About<'_>, link: &Link, standing: Standing) -> Result<()> {
    let asked = link.settings.replicas;
    if asked == 0 {
        return Ok(());
    }
    let time = link.settings.timeout;
    let mut wait = redis::cmd("WAIT");
    wait.arg(asked).arg(time.as_millis().to_string());
    match link.ask_on(about, standing, &wait, Instant::now() + time * 2).await? {
        Value::Int(have) if have >= i64::from(asked) => Ok(()),
        Value::Int(have) => {
            let few = format!("{have} of {asked} replicas have it by now");
            Err(about.error(Kind::Unavailable).because(few))
        }
        _ => Err(strange(about)),
    }
}

/// What the script that takes a message in is told beside its id and bytes.
fn rest_of(message: &Message) -> Vec<Cow<'_, [u8]>> {
    fn text(text: &Option<String>) -> Cow<'_, [u8]> {
        Cow::Borrowed(text.as_deref().unwrap_or_default().as_bytes())
    }
    let Message { not_before, expires_at, priority, key, dedup_id, .. } = message;
    let is_plain = not_before.is_none() && expires_at.is_none() && *priority == 0;
    if is_plain && key.is_none() && dedup_id.is_none() {
        return vec![Cow::Borrowed(b"")];
    }
    let number = |number: String| Cow::Owned(number.into_bytes());
    let moments = [*not_before, *expires_at].map(|at| number(moment_text(at)));
    let [not_before, expires_at] = moments;
    vec![not_before, expires_at, number(priority.to_string()), text(key), text(dedup_id)]
}

/// Parts of a batch that one script takes in.
fn parts(messages: &[Message]) -> Vec<&[Message]> {
    let (mut parts, mut begin, mut bytes) = (Vec::new(), 0, 0);
    for (place, message) in messages.iter().enumerate() {
        bytes += message.payload.len();
        let full = bytes > limits::redis::PUBLISH_BYTES_MAX || place - begin >= limits::PUBLISH_MESSAGES_MAX;
        if full && place > begin {
            parts.extend(messages.get(begin..place));
            (begin, bytes) = (place, message.payload.len());
        }
    }
    parts.extend(messages.get(begin..));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_cut_by_number_and_bytes_and_nothing_is_left_out() {
        let message = |bytes: usize| {
            Message::new(MessageId::given("m").unwrap(), forebay_core::payload::Payload::from(vec![0; bytes]))
        };
        let lengths =
            |messages: &[Message]| parts(messages).iter().map(|part| part.len()).collect::<Vec<_>>();
        assert_eq!(lengths(&[]), [0]);
        assert_eq!(
            lengths(&vec![message(1); limits::PUBLISH_MESSAGES_MAX + 1]),
            [limits::PUBLISH_MESSAGES_MAX, 1]
        );
        let half = limits::redis::PUBLISH_BYTES_MAX / 2;
        let messages = [message(half), message(half), message(1), message(half * 3), message(2)];
        assert_eq!(lengths(&messages), [2, 1, 1, 1]);
    }
}
