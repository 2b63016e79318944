//! A write without conditions: one plain command, and its version is the writer's own.

use forebay_core::error::Result;
use forebay_core::limits;
use forebay_core::ports::remote_store::{Changed, Put};
use redis::{Cmd, Value};
use tokio::time::Instant;

use super::entry::{self, Name, Plain};
use super::{RedisStore, check_value, life_text, writing};
use crate::link::About;
use crate::script::strange;

/// What a command has beside its key and value, at most.
const MORE_BYTES: usize = 64;

impl RedisStore {
    pub(super) async fn put_plain(&self, key: &[u8], value: &[u8], put: Put) -> Result<Changed> {
        let about = writing(key);
        check_value(about, value)?;
        let life = life_text(put.life);
        let (name, version) = (self.name_of(key), entry::version_of(self.clock.random()));
        let size = name.len() + value.len() + MORE_BYTES;
        let end = self.settings.end_of(size);
        let command = &|history| {
            let mut command = Cmd::with_capacity(6, size);
            command.arg("SET").arg(name).arg(Plain { flags: put.flags, version, history, value });
            if !life.is_empty() {
                command.arg("PX").arg(&life);
            }
            // Where nothing can have tags nobody has to know what was there.
            if self.places.keeps_all() {
                command.arg("GET");
            }
            command
        };
        let answer = match &self.together {
            Some(together) => together.writes.write(about, size, command).await?,
            None => Box::pin(self.ask(about, &name.to_bytes(), command, end)).await?.0,
        };
        match answer {
            Value::Okay | Value::Nil => {}
            Value::BulkString(before) => {
                if let Some(tags) = entry::tags_of(&before).filter(|tags| !tags.is_empty()) {
                    // Seldom: nobody else is to have room for it.
                    Box::pin(self.leave_tags(about, name, &tags, end)).await;
                }
            }
            _ => return Err(strange(about)),
        }
        Ok(Changed::Done(version))
    }

    /// The entry is gone before its time. Its tags know its key a while longer, for a lease of it that goes with them.
    ///
    /// Where that does not come about, they know it until the entry's own time is over, as if it were still there.
    async fn leave_tags(&self, about: About<'_>, name: Name<'_>, tags: &[&[u8]], end: Instant) {
        let begin = self.tags_begin();
        let sets: Vec<_> = tags.iter().map(|tag| [begin.as_slice(), tag].concat()).collect();
        let entry = name.to_bytes();
        let mut keys = vec![entry.as_slice()];
        keys.extend(sets.iter().map(Vec::as_slice));
        let known = life_text(Some(limits::redis::TAG_KNOWS));
        let mut arguments = vec![known.as_bytes()];
        arguments.extend(tags);
        let _ = self.run_until(about, &self.scripts.leave_tags, &keys, &arguments, end).await;
    }
}
