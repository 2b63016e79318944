//! Where values come from when the cache does not have them.

use super::BoxFuture;
use crate::error::Result;
use crate::payload::Payload;

/// The source behind a cache: a database query in a closure, an HTTP origin.
pub trait Loader: Send + Sync {
    /// The present value, or `None` where the source has none. `Err`: the source could not be asked.
    fn load<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Payload>>>;
}

impl<F, Fut> Loader for F
where
    F: Fn(Vec<u8>) -> Fut + Send + Sync,
    Fut: Future<Output = Result<Option<Payload>>> + Send + 'static,
{
    fn load<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Payload>>> {
        Box::pin(self(key.to_vec()))
    }
}
