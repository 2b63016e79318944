//! Tags and namespaces: `entries` by themselves, `through` a source with a policy.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod entries;
#[path = "../scene/mod.rs"]
mod scene;
#[path = "../support/mod.rs"]
mod support;
mod through;
