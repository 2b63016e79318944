//! Values whose life begins anew with every look at them.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::entry::{Condition, Read, State, Write, Written};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::cache::CHANGE_TRIES_MAX;
use forebay_core::payload::Payload;

use crate::cache::{Cache, check, printable};

/// Sessions by id, each of which ends when nobody has looked at it for so long. Like every entry it may be forgotten earlier, when
/// memory is short.
#[derive(Clone)]
pub struct Sessions {
    cache: Arc<Cache>,
    idle: Duration,
}

impl Sessions {
    /// Sessions that end after `idle` without a look, at least 1 ms.
    pub fn new(cache: Arc<Cache>, idle: Duration) -> Result<Self> {
        if idle < Duration::from_millis(1) {
            return Err(Error::new(Kind::Invalid, "open sessions", "idle must be at least 1 ms"));
        }
        Ok(Self { cache, idle })
    }

    /// Begins the session, or puts another value in place of its own. Ids are 1 to 241 bytes.
    pub fn put(&self, id: &[u8], value: &[u8]) -> Result<()> {
        let key = full(id)?;
        self.written(id, self.cache.store.write(&key, value, self.write(Condition::None))).map(drop)
    }

    /// The session's value, whose life begins anew.
    pub fn get(&self, id: &[u8]) -> Option<Payload> {
        let key = full(id).ok()?;
        let (now, mut value) = (self.cache.clock.now(), None);
        let read = Read { touch: Some(Some(now + self.idle)), ..Read::at(now) };
        self.cache.store.read(&key, read, &mut |view| {
            value = (view.state == State::Fresh).then(|| view.value.into());
        });
        value
    }

    /// Puts what `change` makes of the value in its place, and nobody else's change is lost: `change` is asked again when
    /// somebody was faster. False where there is no such session. `Full`: others are faster again and again.
    pub fn change(&self, id: &[u8], mut change: impl FnMut(Payload) -> Result<Payload>) -> Result<bool> {
        let key = full(id)?;
        for _ in 0..CHANGE_TRIES_MAX {
            let mut found = None;
            self.cache.store.read(&key, Read::at(self.cache.clock.now()), &mut |view| {
                found = (view.state == State::Fresh).then(|| (Payload::from(view.value), view.version));
            });
            let Some((value, version)) = found else { return Ok(false) };
            let value = change(value)?;
            let written = self.cache.store.write(&key, &value, self.write(Condition::Version(version)));
            match written {
                Written::Exists => {}
                Written::NotFound => return Ok(false),
                written => return self.written(id, written),
            }
        }
        Err(Error::new(Kind::Full, "change session", printable(id)))
    }

    /// Ends the session.
    pub fn end(&self, id: &[u8]) -> Result<()> {
        self.cache.invalidate(&full(id)?)
    }

    fn write(&self, condition: Condition) -> Write {
        let now = self.cache.clock.now();
        Write { expires_at: Some(now + self.idle), condition, ..Write::at(now) }
    }

    fn written(&self, id: &[u8], written: Written) -> Result<bool> {
        match written {
            Written::TooLarge => Err(Error::new(Kind::TooLarge, "store session", printable(id))),
            Written::NoRoom => Err(Error::new(Kind::Full, "store session", printable(id))),
            _ => Ok(true),
        }
    }
}

fn full(id: &[u8]) -> Result<Vec<u8>> {
    check(id)?;
    let key = [b"\0session:", id].concat();
    check(&key)?;
    Ok(key)
}
