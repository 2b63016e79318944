//! Storing what was loaded, if the placeholder is still the one of the lease.

use forebay_core::error::{Kind, Result};
use forebay_core::ports::remote_store::{Fill, Filled, Grant};
use forebay_wire::memcached::reply::Code;

use super::ask::Ask;
use super::lease::ANY_CONNECTION;
use super::put::check_flags;
use crate::store::Inner;

const OPERATION: &str = "fill key";

pub(crate) async fn fill(
    inner: &Inner,
    key: &[u8],
    value: &[u8],
    fill: Fill<'_>,
    grant: Grant,
) -> Result<Filled> {
    check_flags(OPERATION, key, fill.flags)?;
    let ask = Ask::begin(inner, OPERATION, key).await?;
    if !fill.tags.is_empty() {
        return Err(ask.error(Kind::Unsupported).because("memcached has no tags"));
    }
    let ask = match grant.incarnation {
        ANY_CONNECTION if ask.link.numbers_ours => ask,
        // It was given by a server that is another one now.
        ANY_CONNECTION => return Ok(Filled::Refused),
        link => match ask.over(link) {
            Some(ask) => ask,
            None => return Ok(Filled::Refused),
        },
    };
    let mut commands = ask.commands();
    let (life, numbered) = (ask.exptime(fill.life), ask.numbered());
    commands.store(key, value, format_args!("c F{} T{life} C{} {numbered}", fill.flags, grant.token));
    let reply = ask.send_one(commands).await?;
    match reply.code {
        Code::Hit => Ok(Filled::Stored(ask.version(&reply.marks))),
        Code::Exists | Code::NotFound | Code::NotStored => Ok(Filled::Refused),
        _ => Err(ask.error(Kind::Unavailable)),
    }
}
