//! Reading one key, and being told to load it.

use std::time::Duration;

use forebay_core::error::{Kind, Result};
use forebay_core::limits::MEMCACHED_CHANGE_TRIES_MAX;
use forebay_core::ports::remote_store::{Asked, Grant};
use forebay_wire::memcached::reply::Code;

use super::ask::{Ask, shared};
use crate::commands::{Commands, Dialect, Entry, LEASED_FLAGS, Numbered, Over};
use crate::life;
use crate::link::awaited::Received;
use crate::store::Inner;

/// The incarnation of a grant whose number is never given twice, by any server at any time.
pub(crate) const ANY_CONNECTION: u64 = 0;

/// A miss leaves a placeholder, whose number is the lease. Where the server numbers it, it may give the same number again
/// after a restart: then the lease holds only as long as its connection does, which no restart survives.
pub(crate) async fn get_or_lease(inner: &Inner, key: &[u8], lease: Duration) -> Result<Asked> {
    let ask = Ask::begin(inner, "get or lease key", key).await?;
    match ask.link.dialect {
        Dialect::Meta { .. } => vivify(&ask, life::lease(lease)).await,
        Dialect::Classic => place(&ask, life::lease(lease)).await,
    }
}

/// The server leaves the placeholder where it finds nothing.
async fn vivify(ask: &Ask<'_>, seconds: u64) -> Result<Asked> {
    let say = |commands: &mut Commands, numbered| commands.vivify(ask.key, seconds, numbered);
    let ([reply], Numbered(ours)) = ask.send_numbered(say).await?;
    if reply.code != Code::Value {
        return Err(ask.error(Kind::Unavailable));
    }
    Ok(match (reply.marks.won, reply.marks.version) {
        (true, Some(token)) => {
            let incarnation = if ours.is_some() { ANY_CONNECTION } else { ask.link.id };
            Asked::Granted(Grant { token, incarnation })
        }
        _ => found(ask, reply),
    })
}

/// We leave it there, if nobody was quicker. It is known to be ours by what is in it.
async fn place(ask: &Ask<'_>, seconds: u64) -> Result<Asked> {
    let mut commands = ask.commands();
    commands.look(ask.key);
    let there = ask.send_one(commands).await?;
    if there.code == Code::Value {
        return Ok(found(ask, there));
    }
    for _ in 0..MEMCACHED_CHANGE_TRIES_MAX {
        let mark = mark(ask.random());
        let life = i64::try_from(seconds).unwrap_or(i64::MAX);
        let entry = Entry { value: mark.as_bytes(), flags: LEASED_FLAGS, life };
        let mut commands = ask.commands();
        commands.write(ask.key, entry, Over::Nothing, Numbered(None));
        commands.look(ask.key);
        let [written, there] = ask.send(commands).await?;
        if !matches!(written.code, Code::Hit | Code::NotStored) {
            return Err(ask.error(Kind::Unavailable));
        }
        match (there.code, there.marks.version) {
            (Code::Value, Some(token))
                if there.marks.flags == LEASED_FLAGS && *there.body == *mark.as_bytes() =>
            {
                return Ok(Asked::Granted(Grant { token, incarnation: ask.link.id }));
            }
            (Code::Value, _) => return Ok(found(ask, there)),
            // It was removed in between.
            _ => {}
        }
    }
    Ok(Asked::Busy)
}

/// What is in a placeholder of ours. It begins with a letter: a mark of digits alone could be counted up.
fn mark(random: u64) -> String {
    format!("x{random:016x}")
}

fn found(ask: &Ask<'_>, reply: Received) -> Asked {
    shared(&ask.link, reply).map_or(Asked::Busy, Asked::Hit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_mark_is_a_number_that_could_be_counted_up() {
        for random in [1, 0x1234_5678_1234_5678] {
            assert!(forebay_wire::memcached::reply::number(mark(random).as_bytes()).is_none(), "{random}");
        }
    }
}
