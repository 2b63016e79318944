//! Removing an entry, and with it the placeholder of every lease: a fill needs its placeholder, and so is refused after it.

use std::time::Duration;

use forebay_core::entry::Version;
use forebay_core::error::{Kind, Result};
use forebay_core::ports::remote_store::Changed;
use forebay_wire::memcached::reply::Code;

use super::ask::{Ask, There};
use crate::commands::{Commands, HELD_FLAGS};
use crate::life;
use crate::store::Inner;

pub(crate) async fn remove(
    inner: &Inner,
    key: &[u8],
    version: Option<Version>,
    hold: Duration,
) -> Result<Changed> {
    let ask = Ask::begin_change(inner, "remove key", key).await?;
    let over = version.map(|version| ask.number(version));
    let mut commands = ask.commands();
    // For memcached a placeholder is an entry: what is removed is looked at first.
    ask.add_look(&mut commands);
    add_removal(&ask, &mut commands, over, hold);
    let [there, removed] = ask.send(commands).await?;
    match (removed.code, ask.there(&there)) {
        (Code::Hit, There::Value(_)) => Ok(Changed::Done(Version::default())),
        (Code::Hit, There::Nothing | There::Placeholder(_)) => Ok(Changed::NotFound),
        (Code::NotFound, _) => Ok(Changed::NotFound),
        (Code::Exists, There::Placeholder(number)) => {
            let mut commands = ask.commands();
            add_removal(&ask, &mut commands, Some(number), hold);
            // If it is another one by now, it was granted after this call began.
            ask.send_one(commands).await?;
            Ok(Changed::NotFound)
        }
        (Code::Exists, _) => Ok(Changed::Exists),
        _ => Err(ask.error(Kind::Unavailable)),
    }
}

/// The removal itself: of what has this number, if one is named. A key that is held has an entry that says so.
fn add_removal(ask: &Ask<'_>, commands: &mut Commands, over: Option<u64>, hold: Duration) {
    match (hold.is_zero(), over) {
        (true, None) => commands.line("md", ask.key, format_args!("")),
        (true, Some(number)) => commands.line("md", ask.key, format_args!("C{number}")),
        (false, over) => {
            let (life, numbered) = (life::lease(hold), ask.numbered());
            match over {
                None => commands.store(ask.key, b"", format_args!("F{HELD_FLAGS} T{life} {numbered}")),
                Some(number) => {
                    commands.store(ask.key, b"", format_args!("F{HELD_FLAGS} T{life} C{number} {numbered}"));
                }
            }
        }
    }
}
