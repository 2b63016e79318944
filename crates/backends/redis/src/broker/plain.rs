//! Publishing plain messages, which wait for no moment, end at none, and have neither priority, key nor dedup id: they need
//! nothing but their place in the stream.

use forebay_core::error::Result;
use forebay_core::limits;
use forebay_core::message::Message;
use forebay_core::queue::QueueName;
use redis::Value;

use super::session::{Session, Way};
use crate::link::{About, Link};
use crate::script::strange;

/// A message and its bytes.
pub(super) struct Written<'a> {
    pub(super) message: &'a Message,
    pub(super) bytes: Vec<u8>,
}

impl Written<'_> {
    pub(super) fn is_plain(&self) -> bool {
        let Message { not_before, expires_at, priority, key, dedup_id, .. } = self.message;
        let has_moment = not_before.is_some() || expires_at.is_some();
        let is_special = has_moment || *priority > 0 || key.is_some() || dedup_id.is_some();
        !is_special && self.bytes.len() <= limits::redis::PLAIN_BYTES_MAX
    }
}

/// Publishes them in one step, while room is left for so many more. False where nothing was done, and the script that
/// publishes any message must see to it.
pub(super) async fn publish(
    session: &Session,
    link: &Link,
    about: About<'_>,
    queue: &QueueName,
    messages: &[Written<'_>],
    more: usize,
) -> Result<bool> {
    if session.is_known_not_plain(queue) {
        return Ok(false);
    }
    let moment = session.clock.now().as_ms().to_string();
    let [count, more] = [messages.len(), more].map(|number| number.to_string());
    let script = &session.scripts.publish_plain;
    let mut arguments = vec![count.as_bytes(), more.as_bytes(), moment.as_bytes()];
    let answer = if messages.len() < limits::redis::PLAIN_TOGETHER_MIN {
        for written in messages {
            arguments.extend([written.message.id.as_str().as_bytes(), written.bytes.as_slice()]);
        }
        session.run_until_done(link, about, script, queue, &arguments, None).await?
    } else {
        // A command costs the server less than a script's call, and many are worth the transaction.
        let door = session.key("door", queue);
        let add = |written: &Written<'_>| {
            let mut add = redis::cmd("XADD");
            add.arg(&door).arg("NOMKSTREAM").arg("0-*").arg("i").arg(written.message.id.as_str());
            add.arg("m").arg(written.bytes.as_slice()).arg("p").arg(&moment);
            add
        };
        let behind = messages.iter().map(add).collect();
        let way = Way { link, within: None };
        let (answer, added) = session.run_before(way, about, script, queue, &arguments, behind).await?;
        let all_are_in = || added.iter().take(messages.len()).all(|id| matches!(id, Value::BulkString(_)));
        if matches!(&answer, Value::BulkString(word) if word == b"done") && !all_are_in() {
            return Err(strange(about));
        }
        answer
    };
    match answer {
        Value::BulkString(word) if word == b"done" => Ok(true),
        Value::BulkString(word) if word == b"other" => {
            session.note_not_plain(queue);
            Ok(false)
        }
        _ => Err(strange(about)),
    }
}
