//! The port `RemoteStore` by means of copies and the store behind them.

use std::time::Duration;

use forebay_core::entry::Version;
use forebay_core::error::{Error, Kind, Result};
use forebay_core::ports::BoxFuture;
use forebay_core::ports::remote_store::{
    Addition, Asked, Changed, Fill, Filled, Grant, Put, RemoteCapabilities, RemoteStore, Shared, Sum,
};

use super::change::Change;
use super::near_cache::{Near, NearCache};

impl NearCache {
    /// All that have no copy are asked for in one call.
    async fn get_all(&self, keys: &[&[u8]]) -> Vec<Result<Option<Shared>>> {
        let mut answers: Vec<_> =
            keys.iter().map(|key| self.copy(key).map(|shared| Ok(Some(shared)))).collect();
        let missing = keys.iter().zip(&answers).filter(|(_, answer)| answer.is_none());
        let missing: Vec<&[u8]> = missing.map(|(key, _)| *key).collect();
        if !missing.is_empty() {
            let asking: Vec<_> = missing.iter().map(|key| self.asking(key)).collect();
            let asked = self.shared.get(&missing).await;
            for ((key, asking), answer) in missing.iter().zip(asking).zip(&asked) {
                if let Ok(Some(shared)) = answer {
                    self.keep(key, Near::from(shared), asking, None);
                }
            }
            let places = answers.iter_mut().filter(|answer| answer.is_none());
            places.zip(asked).for_each(|(place, answer)| *place = Some(answer));
        }
        let each = answers.into_iter().zip(keys);
        each.map(|(answer, key)| answer.unwrap_or_else(|| Err(unanswered(key)))).collect()
    }
}

/// A store that answers for fewer keys than it was asked for.
fn unanswered(key: &[u8]) -> Error {
    Error::new(Kind::Unavailable, "read key", key.escape_ascii().to_string())
}

impl RemoteStore for NearCache {
    fn capabilities(&self) -> RemoteCapabilities {
        self.shared.capabilities()
    }

    fn get<'a>(&'a self, keys: &'a [&'a [u8]]) -> BoxFuture<'a, Vec<Result<Option<Shared>>>> {
        Box::pin(self.get_all(keys))
    }

    fn get_or_lease<'a>(&'a self, key: &'a [u8], lease: Duration) -> BoxFuture<'a, Result<Asked>> {
        Box::pin(async move {
            if let Some(copy) = self.copy(key) {
                return Ok(Asked::Hit(copy));
            }
            let asking = self.asking(key);
            let asked = self.shared.get_or_lease(key, lease).await?;
            if let Asked::Hit(shared) = &asked {
                self.keep(key, Near::from(shared), asking, None);
            }
            Ok(asked)
        })
    }

    fn fill<'a>(
        &'a self,
        key: &'a [u8],
        value: &'a [u8],
        fill: Fill<'a>,
        grant: Grant,
    ) -> BoxFuture<'a, Result<Filled>> {
        Box::pin(async move {
            let change = Change::begin(self, key);
            let filled = self.shared.fill(key, value, fill, grant).await?;
            if let Filled::Stored(version) = filled {
                change.keep(Near { value, flags: fill.flags, version }, fill.life);
            }
            Ok(filled)
        })
    }

    fn put<'a>(&'a self, key: &'a [u8], value: &'a [u8], put: Put) -> BoxFuture<'a, Result<Changed>> {
        Box::pin(async move {
            let change = Change::begin(self, key);
            let changed = self.shared.put(key, value, put).await?;
            change.keep_if_done(value, put.flags, put.life, changed);
            Ok(changed)
        })
    }

    fn remove<'a>(
        &'a self,
        key: &'a [u8],
        version: Option<Version>,
        hold: Duration,
    ) -> BoxFuture<'a, Result<Changed>> {
        Box::pin(async move {
            let _change = Change::begin(self, key);
            self.shared.remove(key, version, hold).await
        })
    }

    /// All copies go: which of them have the tag is not known here.
    fn remove_tag<'a>(&'a self, tag: &'a [u8]) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let removed = self.shared.remove_tag(tag).await;
            let now = self.clock.now();
            self.memory.flush(now, now);
            removed
        })
    }

    /// The shared store tells the number and not its version, so there is no copy of it.
    fn add<'a>(&'a self, key: &'a [u8], addition: Addition) -> BoxFuture<'a, Result<Sum>> {
        Box::pin(async move {
            let _change = Change::begin(self, key);
            self.shared.add(key, addition).await
        })
    }

    fn touch<'a>(&'a self, key: &'a [u8], life: Option<Duration>) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let _change = Change::begin(self, key);
            self.shared.touch(key, life).await
        })
    }
}
