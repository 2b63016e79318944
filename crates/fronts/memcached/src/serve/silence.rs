//! Connections whose clients say nothing.

use forebay_core::limits::memcached::{IDLE_LOOK_MAX, IDLE_LOOK_MIN};
use tokio::sync::watch;

use super::stop::stopped;
use crate::backing::Backing;
use crate::shared::Shared;

/// Lets those end that have been silent for too long, until `stop` turns true or its sender is gone. Each ends within a quarter of
/// that time more, and a second.
pub(crate) async fn call_silent<S: Backing>(shared: &Shared<S>, mut stop: watch::Receiver<bool>) {
    let Some(idle) = shared.options.idle else { return };
    let pause = (idle / 4).clamp(IDLE_LOOK_MIN, IDLE_LOOK_MAX);
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            () = shared.clock.sleep_until(shared.clock.now() + pause) => {}
        }
        shared.peers.call_silent(shared.clock.now(), idle);
    }
}
