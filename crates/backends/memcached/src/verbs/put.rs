//! Writing without a lease. A placeholder counts as nothing, though for memcached it is an entry.

use forebay_core::entry::Mode;
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::MEMCACHED_CHANGE_TRIES_MAX;
use forebay_core::ports::remote_store::{Changed, Put};
use forebay_wire::memcached::reply::{Code, Marks};

use super::ask::Ask;
use crate::commands::{Commands, Dialect, Entry, Over};
use crate::store::Inner;
use crate::there::{There, is_reserved};

const OPERATION: &str = "put key";

pub(crate) async fn put(inner: &Inner, key: &[u8], value: &[u8], put: Put) -> Result<Changed> {
    check_flags(OPERATION, key, put.flags)?;
    match (put.mode, put.version) {
        (Mode::Append | Mode::Prepend, over) => {
            let ask = Ask::begin_change(inner, OPERATION, key).await?;
            let over = over.map(|version| ask.number(version));
            extend(&ask, value, put.mode, over).await
        }
        // Nothing that is there has this version and is not there.
        (Mode::Add, Some(_)) => Ok(Changed::NotStored),
        (Mode::Add, None) => {
            let ask = Ask::begin(inner, OPERATION, key).await?;
            ask.outdates_home();
            add(&ask, value, put).await
        }
        (Mode::Set | Mode::Replace, Some(version)) => {
            let ask = Ask::begin_change(inner, OPERATION, key).await?;
            ask.write(entry(&ask, value, put), Over::Number(ask.number(version))).await
        }
        (Mode::Set, None) => set(inner, key, value, put).await,
        (Mode::Replace, None) => replace(&Ask::begin_change(inner, OPERATION, key).await?, value, put).await,
    }
}

/// Writes over whatever is there.
pub(crate) async fn set(inner: &Inner, key: &[u8], value: &[u8], put: Put) -> Result<Changed> {
    check_flags(OPERATION, key, put.flags)?;
    let ask = Ask::begin_change(inner, OPERATION, key).await?;
    ask.write(entry(&ask, value, put), Over::All).await
}

/// A client's entry must not look like a placeholder.
pub(crate) fn check_flags(operation: &'static str, key: &[u8], flags: u32) -> Result<()> {
    if is_reserved(flags) {
        let error = Error::new(Kind::Invalid, operation, String::from_utf8_lossy(key));
        return Err(error.because(format!("the flags {flags:#x} are Forebay's own")));
    }
    Ok(())
}

fn entry<'a>(ask: &Ask<'_>, value: &'a [u8], put: Put) -> Entry<'a> {
    Entry { value, flags: put.flags, life: ask.exptime(put.life) }
}

async fn add(ask: &Ask<'_>, value: &[u8], put: Put) -> Result<Changed> {
    for _ in 0..MEMCACHED_CHANGE_TRIES_MAX {
        if let done @ Changed::Done(_) = ask.write(entry(ask, value, put), Over::Nothing).await? {
            return Ok(done);
        }
        match ask.look().await? {
            There::Value(_) => return Ok(Changed::NotStored),
            There::Placeholder(number) => {
                let written = ask.write(entry(ask, value, put), Over::Number(number)).await?;
                if let done @ Changed::Done(_) = written {
                    return Ok(done);
                }
            }
            There::Nothing => {}
        }
    }
    Err(ask.error(Kind::Unavailable).because("others change it all the time"))
}

async fn replace(ask: &Ask<'_>, value: &[u8], put: Put) -> Result<Changed> {
    for _ in 0..MEMCACHED_CHANGE_TRIES_MAX {
        let There::Value(number) = ask.look().await? else { return Ok(Changed::NotStored) };
        let written = ask.write(entry(ask, value, put), Over::Number(number)).await?;
        if let done @ Changed::Done(_) = written {
            return Ok(done);
        }
    }
    Err(ask.error(Kind::Unavailable).because("others change it all the time"))
}

/// The classic words add to whatever is there, which may be what came since the look: a placeholder stays one whatever is added.
async fn extend_classic(ask: &Ask<'_>, value: &[u8], mode: Mode, over: Option<u64>) -> Result<Changed> {
    if over.is_some() {
        let error = ask.error(Kind::Unsupported);
        return Err(error.because("this memcached adds to no certain version: it has no meta commands"));
    }
    let mut commands = ask.commands();
    commands.look(ask.key);
    let before = ask.send_one(commands).await?;
    let There::Value(_) = There::of(&before) else { return Ok(Changed::NotStored) };
    let mut commands = ask.commands();
    commands.extend(ask.key, value, mode == Mode::Append);
    commands.look(ask.key);
    let [reply, after] = ask.send(commands).await?;
    let both = if mode == Mode::Append { [&*before.body, value] } else { [value, &*before.body] };
    // Somebody else may have come in between: then it has a version that nothing has.
    let marks = if *after.body == *both.concat() { after.marks } else { Marks::default() };
    match reply.code {
        Code::Hit => Ok(Changed::Done(ask.version(&marks))),
        // There is nothing by now, or together they are too large.
        Code::NotStored => Ok(Changed::NotStored),
        _ => Err(ask.error(Kind::Unavailable)),
    }
}

/// To exactly what a look has found: for memcached a placeholder is an entry that can be added to.
async fn extend(ask: &Ask<'_>, value: &[u8], mode: Mode, over: Option<u64>) -> Result<Changed> {
    if ask.link.dialect == Dialect::Classic {
        return extend_classic(ask, value, mode, over).await;
    }
    for _ in 0..MEMCACHED_CHANGE_TRIES_MAX {
        let number = match (ask.look().await?, over) {
            (There::Value(number), None) => number,
            (There::Value(number), Some(over)) if number == over => number,
            (There::Value(_), Some(_)) => return Ok(Changed::Exists),
            (There::Nothing | There::Placeholder(_), None) => return Ok(Changed::NotStored),
            (There::Nothing | There::Placeholder(_), Some(_)) => return Ok(Changed::NotFound),
        };
        let say = |commands: &mut Commands, numbered| {
            commands.extend_over(ask.key, value, mode == Mode::Append, number, numbered);
        };
        let ([reply], _) = ask.send_numbered(say).await?;
        match reply.code {
            Code::Hit => return Ok(Changed::Done(ask.version(&reply.marks))),
            Code::Exists | Code::NotFound => {}
            // It is still there: together they are too large. Or it is not: the next look says so.
            Code::NotStored if matches!(ask.look().await?, There::Value(there) if there == number) => {
                return Ok(Changed::NotStored);
            }
            Code::NotStored => {}
            _ => return Err(ask.error(Kind::Unavailable)),
        }
    }
    Err(ask.error(Kind::Unavailable).because("others change it all the time"))
}
