//! Removing an entry, and with it the placeholder of every lease: a fill needs its placeholder, and so is refused after it.

use std::time::Duration;

use forebay_core::entry::Version;
use forebay_core::error::{Kind, Result};
use forebay_core::ports::remote_store::Changed;
use forebay_wire::memcached::reply::Code;

use super::ask::Ask;
use crate::commands::{Commands, Entry, HELD_FLAGS, Numbered, Over};
use crate::life;
use crate::store::Inner;
use crate::there::There;

pub(crate) async fn remove(
    inner: &Inner,
    key: &[u8],
    version: Option<Version>,
    hold: Duration,
) -> Result<Changed> {
    let ask = Ask::begin_change(inner, "remove key", key).await?;
    let over = version.map(|version| ask.number(version));
    let look_and_remove = |commands: &mut Commands, numbered| {
        // For memcached a placeholder is an entry: what is removed is looked at first.
        commands.look(key);
        say_removal(key, commands, over, hold, numbered);
    };
    let ([there, removed], _) = ask.send_numbered(look_and_remove).await?;
    match (removed.code, There::of(&there)) {
        (Code::Hit, There::Value(_)) => Ok(Changed::Done(Version::default())),
        (Code::Hit, There::Nothing | There::Placeholder(_)) => Ok(Changed::NotFound),
        (Code::NotFound, _) => Ok(Changed::NotFound),
        (Code::Exists, There::Placeholder(number)) => {
            let remove = |commands: &mut Commands, numbered| {
                say_removal(key, commands, Some(number), hold, numbered);
            };
            // If it is another one by now, it was granted after this call began.
            let ([_], _) = ask.send_numbered(remove).await?;
            Ok(Changed::NotFound)
        }
        (Code::Exists, _) => Ok(Changed::Exists),
        _ => Err(ask.error(Kind::Unavailable)),
    }
}

/// The removal itself: of what has this number, if one is named. A key that is held has an entry that says so.
fn say_removal(key: &[u8], commands: &mut Commands, over: Option<u64>, hold: Duration, numbered: Numbered) {
    if hold.is_zero() {
        return commands.remove(key, over);
    }
    let life = i64::try_from(life::lease(hold)).unwrap_or(i64::MAX);
    let held = Entry { value: b"", flags: HELD_FLAGS, life };
    commands.write(key, held, over.map_or(Over::All, Over::Number), numbered);
}
