//! Values in the memory of this process, some of which may be pinned.

use axum::http::{HeaderMap, StatusCode};
use forebay_core::entry::{Condition, Delete, Deleted, Mode, Read, State, Version, View, Write, Written};
use forebay_core::ports::pledges::Pledges;

use super::conditions::{Match, Precondition, has_tag};
use super::values::{Terms, condition_failed, too_large};
use crate::errors::{Answer, Refused};
use crate::router::App;

/// To be awaited before anybody is told of this key.
async fn may_tell(store: &dyn Pledges, key: &str) -> Answer<()> {
    let Some(pledge) = store.pledge(key.as_bytes()) else { return Ok(()) };
    store.kept(pledge).await.map_err(|error| {
        let what = format!("answer for key {key}, which may or may not have changed: {error}");
        Refused::for_now(StatusCode::SERVICE_UNAVAILABLE, what)
    })
}

/// The version that is there, and its bytes unless the client has them.
pub(super) async fn get(
    app: &App,
    store: &dyn Pledges,
    key: &str,
    headers: &HeaderMap,
) -> Answer<Option<(Version, Option<Vec<u8>>)>> {
    let mut found = None;
    store.read(key.as_bytes(), Read::at(app.parts.clock.now()), &mut |view: View<'_>| {
        if view.state == State::Fresh {
            let unchanged = has_tag(headers, view.version);
            found = Some((view.version, (!unchanged).then(|| view.value.to_vec())));
        }
    });
    may_tell(store, key).await?;
    Ok(found)
}

/// Writes, and tells the new version.
pub(super) async fn put(
    app: &App,
    store: &dyn Pledges,
    key: &str,
    value: &[u8],
    terms: Terms,
) -> Answer<Version> {
    let now = app.parts.clock.now();
    let (mode, condition) = mode_and_condition(terms.condition);
    let expires_at = terms.life.map(|life| now + life);
    let written = store.write(key.as_bytes(), value, Write { mode, condition, expires_at, ..Write::at(now) });
    may_tell(store, key).await?;
    match written {
        Written::Stored(version) => Ok(version),
        Written::NotStored | Written::Exists | Written::NotFound => Err(condition_failed(key)),
        Written::NoRoom => Err(Refused::new(
            StatusCode::TOO_MANY_REQUESTS,
            format!("write key {key}: there is no room for the value now"),
        )),
        Written::TooLarge => {
            refuse_too_large(app, store, key, terms.condition).await?;
            Err(too_large(key))
        }
    }
}

fn mode_and_condition(condition: Precondition) -> (Mode, Condition) {
    match condition {
        Precondition::None => (Mode::Set, Condition::None),
        Precondition::Absent => (Mode::Add, Condition::None),
        Precondition::Present(Match::Any) => (Mode::Replace, Condition::None),
        Precondition::Present(Match::Version(version)) => (Mode::Set, Condition::Version(version)),
    }
}

/// What a value that is too large leaves behind. Without a condition it would have replaced the older value, which must
/// then not be seen any more. With one nothing changes, and a condition that fails is what the client is told.
pub(super) async fn refuse_too_large(
    app: &App,
    store: &dyn Pledges,
    key: &str,
    condition: Precondition,
) -> Answer<()> {
    let now = app.parts.clock.now();
    let mut present = None;
    if condition == Precondition::None {
        store.delete(key.as_bytes(), Delete::at(now));
    } else {
        let look = Read { counts: false, ..Read::at(now) };
        store.read(key.as_bytes(), look, &mut |view: View<'_>| present = Some(view.version));
    }
    may_tell(store, key).await?;
    let holds = match condition {
        Precondition::None => true,
        Precondition::Absent => present.is_none(),
        Precondition::Present(Match::Any) => present.is_some(),
        Precondition::Present(Match::Version(version)) => present == Some(version),
    };
    if holds { Ok(()) } else { Err(condition_failed(key)) }
}

/// Deletes, with a version only that one.
pub(super) async fn delete(
    app: &App,
    store: &dyn Pledges,
    key: &str,
    version: Option<Version>,
) -> Answer<Deleted> {
    let deleted = store.delete(key.as_bytes(), Delete { version, ..Delete::at(app.parts.clock.now()) });
    may_tell(store, key).await?;
    Ok(deleted)
}
