//! Counting. A placeholder is no counter, though for memcached it is an entry that is no number.

use forebay_core::error::{Kind, Result};
use forebay_core::limits::MEMCACHED_CHANGE_TRIES_MAX;
use forebay_core::ports::remote_store::{Addition, Changed, Sum};
use forebay_wire::memcached::reply::{Code, number};

use super::ask::Ask;
use crate::commands::{Commands, Entry, Over};
use crate::store::Inner;
use crate::there::There;

pub(crate) async fn add(inner: &Inner, key: &[u8], addition: Addition) -> Result<Sum> {
    let ask = Ask::begin(inner, "count at key", key).await?;
    ask.outdates_home();
    for _ in 0..MEMCACHED_CHANGE_TRIES_MAX {
        let Addition { step, delta, .. } = addition;
        let say = |commands: &mut Commands, numbered| commands.count(key, step, delta, numbered);
        let ([reply], _) = ask.send_numbered(say).await?;
        let over = match reply.code {
            Code::Value => {
                return number(reply.body.trim_ascii())
                    .map(Sum::Number)
                    .ok_or_else(|| ask.error(Kind::Unavailable));
            }
            Code::NotFound => Over::Nothing,
            // It is no number.
            Code::ClientError => match ask.look().await? {
                There::Value(_) => return Ok(Sum::NotNumber),
                There::Placeholder(over) => Over::Number(over),
                There::Nothing => Over::Nothing,
            },
            _ => return Err(ask.error(Kind::Unavailable)),
        };
        let Some((first, life)) = addition.create else { return Ok(Sum::NotFound) };
        let value = first.to_string();
        let entry = Entry { value: value.as_bytes(), flags: 0, life: ask.exptime(life) };
        // Or somebody else has begun it at the same time.
        if let Changed::Done(_) = ask.write(entry, over).await? {
            return Ok(Sum::Number(first));
        }
    }
    Err(ask.error(Kind::Unavailable).because("others change it all the time"))
}
