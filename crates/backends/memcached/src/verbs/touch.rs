//! A new life for what is there. A placeholder keeps its own: prolonged, it would keep everybody waiting.

use std::time::Duration;

use forebay_core::error::{Kind, Result};
use forebay_wire::memcached::reply::Code;

use super::ask::Ask;
use crate::commands::Dialect;
use crate::store::Inner;
use crate::there::There;

pub(crate) async fn touch(inner: &Inner, key: &[u8], life: Option<Duration>) -> Result<bool> {
    let ask = Ask::begin(inner, "touch key", key).await?;
    let ends = life.is_some_and(|life| life.is_zero());
    if ends {
        ask.outdates_home();
    }
    let There::Value(_) = ask.look().await? else { return Ok(false) };
    // What it reaches may be a placeholder that has come since the look. The value's own life is not in doubt: it is there
    // with one or the other.
    let in_doubt = ask.placeholder_in_doubt();
    let mut commands = ask.commands();
    commands.touch(key, ask.exptime(life));
    let (code, there) = match ask.link.dialect {
        Dialect::Meta { .. } => {
            let touched = ask.send_one(commands).await?;
            (touched.code, There::of(&touched))
        }
        Dialect::Classic => {
            let [touched, there] = ask.send(commands).await?;
            (touched.code, There::of(&there))
        }
    };
    let touched = match (code, there) {
        (Code::Hit, There::Value(_)) => true,
        (Code::Hit, There::Placeholder(number)) => {
            // It has come since the look and lives too long now. Without it the next reader loads.
            let mut commands = ask.commands();
            commands.remove(key, Some(number));
            ask.send_one(commands).await?;
            false
        }
        // A life of nothing ends what was there.
        (Code::Hit | Code::Miss | Code::NotFound, _) => ends,
        _ => return Err(ask.error(Kind::Unavailable)),
    };
    in_doubt.forget();
    Ok(touched)
}
