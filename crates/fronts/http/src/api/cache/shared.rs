//! Values in a store that many processes share.

use std::time::Duration;

use axum::http::HeaderMap;
use forebay_core::entry::{Deleted, Mode, Version};
use forebay_core::error::Kind;
use forebay_core::ports::remote_store::{Changed, Put, RemoteStore};

use super::conditions::{Match, Precondition, has_tag};
use super::values::{Terms, condition_failed, too_large};
use crate::errors::{Answer, Refused};

/// Shared stores take no key that another protocol could not name.
fn check(key: &str) -> Answer<&[u8]> {
    if key.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        let why = "read key: in a shared store it has no spaces and no control characters";
        return Err(Refused::bad_request(why));
    }
    Ok(key.as_bytes())
}

/// The version that is there, and its bytes unless the client has them.
pub(super) async fn get(
    store: &dyn RemoteStore,
    key: &str,
    headers: &HeaderMap,
) -> Answer<Option<(Version, Option<Vec<u8>>)>> {
    let keys = [check(key)?];
    let found = store.get(&keys).await.pop().transpose()?.flatten();
    Ok(found.map(|shared| {
        let unchanged = has_tag(headers, shared.version);
        (shared.version, (!unchanged).then(|| shared.value.to_vec()))
    }))
}

/// Writes, and tells the new version.
pub(super) async fn put(store: &dyn RemoteStore, key: &str, value: &[u8], terms: Terms) -> Answer<Version> {
    let (mode, version) = match terms.condition {
        Precondition::None => (Mode::Set, None),
        Precondition::Absent => (Mode::Add, None),
        Precondition::Present(Match::Any) => (Mode::Replace, None),
        Precondition::Present(Match::Version(version)) => (Mode::Set, Some(version)),
    };
    let put = Put { flags: 0, life: terms.life, mode, version };
    match store.put(check(key)?, value, put).await {
        Ok(Changed::Done(version)) => Ok(version),
        Ok(Changed::NotStored | Changed::Exists | Changed::NotFound) => Err(condition_failed(key)),
        Err(error) if error.kind() == Kind::TooLarge => {
            refuse_too_large(store, key, terms.condition).await?;
            Err(too_large(key))
        }
        Err(error) => Err(error.into()),
    }
}

/// What a value that is too large leaves behind. Without a condition it would have replaced the older value, which must
/// then not be seen any more. With one nothing changes.
pub(super) async fn refuse_too_large(
    store: &dyn RemoteStore,
    key: &str,
    condition: Precondition,
) -> Answer<()> {
    let key = check(key)?;
    if condition == Precondition::None {
        store.remove(key, None, Duration::ZERO).await?;
    }
    Ok(())
}

/// Deletes, with a version only that one.
pub(super) async fn delete(store: &dyn RemoteStore, key: &str, version: Option<Version>) -> Answer<Deleted> {
    Ok(match store.remove(check(key)?, version, Duration::ZERO).await? {
        Changed::Done(_) => Deleted::Done,
        Changed::Exists => Deleted::Exists,
        Changed::NotFound | Changed::NotStored => Deleted::NotFound,
    })
}
