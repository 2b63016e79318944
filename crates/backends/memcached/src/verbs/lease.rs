//! Reading one key, and being told to load it.

use std::time::Duration;

use forebay_core::error::{Kind, Result};
use forebay_core::ports::remote_store::{Asked, Grant};
use forebay_wire::memcached::reply::Code;

use super::ask::{Ask, shared};
use crate::life;
use crate::store::Inner;

/// The incarnation of a grant whose number is never given twice, by any server at any time.
pub(crate) const ANY_CONNECTION: u64 = 0;

/// A miss leaves a placeholder, whose number is the lease. Where the server numbers it, it may give the same number again
/// after a restart: then the lease holds only as long as its connection does, which no restart survives.
pub(crate) async fn get_or_lease(inner: &Inner, key: &[u8], lease: Duration) -> Result<Asked> {
    let ask = Ask::begin(inner, "get or lease key", key).await?;
    let mut commands = ask.commands();
    commands.line("mg", key, format_args!("v f c N{} {}", life::lease(lease), ask.numbered()));
    let reply = ask.send_one(commands).await?;
    if reply.code != Code::Value {
        return Err(ask.error(Kind::Unavailable));
    }
    Ok(match (reply.marks.won, reply.marks.version) {
        (true, Some(token)) => {
            let incarnation = if ask.link.numbers_ours { ANY_CONNECTION } else { ask.link.id };
            Asked::Granted(Grant { token, incarnation })
        }
        _ => shared(&ask.link, reply).map_or(Asked::Busy, Asked::Hit),
    })
}
