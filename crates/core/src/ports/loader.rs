//! Where values come from when the cache does not have them.

use super::BoxFuture;
use crate::error::Result;
use crate::payload::Payload;

/// The source behind a cache: a database query in a closure, an HTTP origin.
///
/// ```
/// use forebay_core::payload::Payload;
/// use forebay_core::ports::BoxFuture;
/// use forebay_core::ports::loader::Loader;
///
/// struct Products; // in a program, with a pool of connections
///
/// impl Loader for Products {
///     fn load<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, forebay_core::error::Result<Option<Payload>>> {
///         Box::pin(async move { Ok(key.starts_with(b"product:").then(|| "teapot".into())) })
///     }
/// }
/// ```
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

/// A source that answers for many keys at once: `select … where id in (…)`.
pub trait BatchLoader: Send + Sync {
    /// The present values in the order of the keys, `None` where the source has none. `Err`: the source could not be asked for
    /// any of them. An answer of another length than `keys` is refused as a whole.
    fn load_many<'a>(&'a self, keys: &'a [&'a [u8]]) -> BoxFuture<'a, Result<Vec<Option<Payload>>>>;
}

impl<F, Fut> BatchLoader for F
where
    F: Fn(Vec<Vec<u8>>) -> Fut + Send + Sync,
    Fut: Future<Output = Result<Vec<Option<Payload>>>> + Send + 'static,
{
    fn load_many<'a>(&'a self, keys: &'a [&'a [u8]]) -> BoxFuture<'a, Result<Vec<Option<Payload>>>> {
        Box::pin(self(keys.iter().map(|key| key.to_vec()).collect()))
    }
}

/// A source that can name all its keys, so that a key that it does not have is known without asking.
pub trait KeySource: Send + Sync {
    /// Shows every key that the source has, in any order. `Ok`: none of those that were there when it began was left
    /// out. `Err`: some are missing, and what was shown is of no use.
    fn keys<'a>(&'a self, show: &'a mut (dyn FnMut(&[u8]) + Send)) -> BoxFuture<'a, Result<()>>;
}

impl<F, I> KeySource for F
where
    F: Fn() -> I + Send + Sync,
    I: IntoIterator,
    I::Item: AsRef<[u8]>,
{
    fn keys<'a>(&'a self, show: &'a mut (dyn FnMut(&[u8]) + Send)) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self().into_iter().for_each(|key| show(key.as_ref()));
            Ok(())
        })
    }
}
