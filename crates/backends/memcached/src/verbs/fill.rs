//! Storing what was loaded, if the placeholder is still the one of the lease.

use forebay_core::error::{Kind, Result};
use forebay_core::ports::remote_store::{Changed, Fill, Filled, Grant};

use super::ask::Ask;
use super::lease::ANY_CONNECTION;
use super::put::check_flags;
use crate::commands::{Dialect, Entry, Over};
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
        ANY_CONNECTION if ask.link.dialect == (Dialect::Meta { numbers_ours: true }) => ask,
        // It was given by a server that is another one now.
        ANY_CONNECTION => return Ok(Filled::Refused),
        link => match ask.over(link) {
            Some(ask) => ask,
            None => return Ok(Filled::Refused),
        },
    };
    let entry = Entry { value, flags: fill.flags, life: ask.exptime(fill.life) };
    Ok(match ask.write(entry, Over::Number(grant.token)).await? {
        Changed::Done(version) => Filled::Stored(version),
        Changed::Exists | Changed::NotFound | Changed::NotStored => Filled::Refused,
    })
}
