//! Counting. A placeholder is no counter, though for memcached it is an entry that is no number.

use forebay_core::entry::Step;
use forebay_core::error::{Kind, Result};
use forebay_core::limits::MEMCACHED_CHANGE_TRIES_MAX;
use forebay_core::ports::remote_store::{Addition, Sum};
use forebay_wire::memcached::reply::{Code, number};

use super::ask::{Ask, There};
use crate::store::Inner;

pub(crate) async fn add(inner: &Inner, key: &[u8], addition: Addition) -> Result<Sum> {
    let ask = Ask::begin(inner, "count at key", key).await?;
    for _ in 0..MEMCACHED_CHANGE_TRIES_MAX {
        let mut commands = ask.commands();
        let mode = match addition.step {
            Step::Up => 'I',
            Step::Down => 'D',
        };
        let (delta, numbered) = (addition.delta, ask.numbered());
        match addition.create {
            Some((first, life)) => {
                let life = ask.exptime(life);
                commands.line("ma", key, format_args!("v M{mode} D{delta} N{life} J{first} {numbered}"));
            }
            None => commands.line("ma", key, format_args!("v M{mode} D{delta} {numbered}")),
        }
        let reply = ask.send_one(commands).await?;
        match reply.code {
            Code::Value => {
                return number(reply.body.trim_ascii())
                    .map(Sum::Number)
                    .ok_or_else(|| ask.error(Kind::Unavailable));
            }
            Code::NotFound => return Ok(Sum::NotFound),
            // Somebody else has begun it at the same time.
            Code::NotStored | Code::Exists => continue,
            Code::ClientError => {}
            _ => return Err(ask.error(Kind::Unavailable)),
        }
        match (ask.look().await?, addition.create) {
            (There::Value(_), _) => return Ok(Sum::NotNumber),
            (There::Placeholder(_), None) => return Ok(Sum::NotFound),
            (There::Placeholder(over), Some((first, life))) => {
                let mut commands = ask.commands();
                let (life, numbered) = (ask.exptime(life), ask.numbered());
                let value = first.to_string();
                commands.store(key, value.as_bytes(), format_args!("T{life} C{over} {numbered}"));
                if ask.send_one(commands).await?.code == Code::Hit {
                    return Ok(Sum::Number(first));
                }
            }
            (There::Nothing, _) => {}
        }
    }
    Err(ask.error(Kind::Unavailable).because("others change it all the time"))
}
