//! The port `RemoteStore` by means of copies and the store behind them.

use std::time::Duration;

use forebay_core::entry::{Mode, Version};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::ports::BoxFuture;
use forebay_core::ports::remote_store::{
    Addition, Asked, Changed, Fill, Filled, Grant, Put, RemoteCapabilities, RemoteStore, Shared, Sum,
};

use super::change::{Change, ChangeOfMany};
use super::near_cache::{Near, NearCache};

impl NearCache {
    /// Asks the shared store, whether there are copies or not, and keeps copies of what it answers. One answer for each key,
    /// in order.
    pub async fn ask(&self, keys: &[&[u8]]) -> Vec<Result<Option<Shared>>> {
        let asking: Vec<_> = keys.iter().map(|key| self.asking(key)).collect();
        let mut answers = self.shared.get(keys).await;
        for ((key, asking), answer) in keys.iter().zip(asking).zip(&answers) {
            if let Ok(Some(shared)) = answer {
                self.keep(key, Near::from(shared), asking, None);
            }
        }
        // What is said of fewer keys than were asked for is not known of the others.
        answers.extend(keys.iter().skip(answers.len()).map(|key| Err(unanswered(key))));
        answers
    }

    /// Copies where there are any; all others that may be asked for are, in one call. One answer for each key, in order, and
    /// how many were asked for.
    pub async fn get_all(
        &self,
        keys: &[&[u8]],
        may_ask: impl Fn(&[u8]) -> bool,
    ) -> (Vec<Result<Option<Shared>>>, usize) {
        let mut answers: Vec<_> = keys.iter().map(|key| Ok(self.copy(key))).collect();
        let (places, missing): (Vec<_>, Vec<&[u8]>) = (answers.iter_mut().zip(keys))
            .filter(|(answer, key)| matches!(answer, Ok(None)) && may_ask(key))
            .map(|(answer, key)| (answer, *key))
            .unzip();
        let count = missing.len();
        if count > 0 {
            let asked = self.ask(&missing).await;
            places.into_iter().zip(asked).for_each(|(place, answer)| *place = answer);
        }
        (answers, count)
    }
}

fn unanswered(key: &[u8]) -> Error {
    Error::new(Kind::Unavailable, "read key", key.escape_ascii().to_string())
}

impl RemoteStore for NearCache {
    fn capabilities(&self) -> RemoteCapabilities {
        self.shared.capabilities()
    }

    fn get<'a>(&'a self, keys: &'a [&'a [u8]]) -> BoxFuture<'a, Vec<Result<Option<Shared>>>> {
        Box::pin(async move { self.get_all(keys, |_| true).await.0 })
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
            // What it is with something added is not known here.
            if let Changed::Done(version) = changed
                && !matches!(put.mode, Mode::Append | Mode::Prepend)
            {
                change.keep(Near { value, flags: put.flags, version }, put.life);
            }
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
            let _change = ChangeOfMany(self);
            self.shared.remove_tag(tag).await
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
