//! Keeps a connection: makes one, watches it, and makes the next when it has ended. The client library's own recovery is
//! off: it would bring back what we have given up.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::limits;
use futures_util::{FutureExt, StreamExt};
use lapin::{Connection, ConnectionProperties};
use tokio::time;

use super::Link;
use crate::settings::RabbitSettings;

/// Whose connection is kept.
pub(crate) trait Keeper: Send + Sync {
    /// Where to.
    fn settings(&self) -> &RabbitSettings;

    /// For the pauses between attempts.
    fn random(&self) -> u64;

    /// Whether it is closed for ever.
    fn is_closed(&self) -> bool;

    /// Until it is.
    fn closed(&self) -> impl Future<Output = ()> + Send;

    /// Uses a new connection. Dropped when that has ended; if it ends by itself the connection was of no use.
    fn serve(self: Arc<Self>, link: Arc<Link>) -> impl Future<Output = ()> + Send;

    /// The connection has ended.
    fn lost(&self);
}

/// Runs until its keeper is closed.
pub(crate) async fn keep<K: Keeper>(keeper: Arc<K>) {
    let (mut number, mut failures) = (0, 0);
    while !keeper.is_closed() {
        match connect(&*keeper).await {
            Ok(connection) => {
                number += 1;
                let (link, end) = Link::new(connection, number, keeper.settings().wait);
                let _goodbye = Goodbye(&link);
                let was_of_use = tokio::select! {
                    () = watch(&*keeper, &link) => true,
                    () = keeper.clone().serve(link.clone()) => false,
                };
                failures = if was_of_use { 0 } else { failures + 1 };
                end.send_replace(true);
                keeper.lost();
                let goodbye = link.connection.close(200, "closed".into());
                let _ = time::timeout(limits::rabbitmq::GOODBYE_MAX, goodbye).await;
            }
            Err(error) => {
                failures += 1;
                let address = keeper.settings().address();
                tracing::warn!(%error, failures, "rabbitmq {address}: cannot be reached");
            }
        }
        let pause = pause(failures, keeper.random());
        let _ = time::timeout(pause, keeper.closed()).await;
    }
}

async fn connect(keeper: &impl Keeper) -> Result<Connection, Box<dyn std::error::Error + Send + Sync>> {
    let properties = ConnectionProperties::default().with_connection_name("forebay".into());
    let connecting = Connection::connect_uri(keeper.settings().uri.clone(), properties);
    tokio::select! {
        connected = time::timeout(limits::rabbitmq::CONNECT_MAX, connecting) => Ok(connected??),
        () = keeper.closed() => Err("closed".into()),
    }
}

/// Asks for the end of a connection when it is dropped: the client library keeps one open as long as it has consumers, even
/// if nobody else knows of it.
struct Goodbye<'a>(&'a Link);

impl Drop for Goodbye<'_> {
    fn drop(&mut self) {
        // Its first step sends the word; the answer is of no interest any more.
        let _ = self.0.connection.close(200, "dropped".into()).now_or_never();
    }
}

/// Until the connection has ended or its keeper is closed. Its events tell; should one be missing, its state does.
async fn watch(keeper: &impl Keeper, link: &Link) {
    let mut events = link.connection.events_listener();
    while link.connection.status().connected() {
        tokio::select! {
            () = keeper.closed() => return,
            _ = time::timeout(limits::rabbitmq::LOOK, events.next()) => {}
        }
    }
}

/// Doubled for each failure, with up to half of it taken off by chance so that not all come back at once.
fn pause(failures: u32, random: u64) -> Duration {
    let longest = limits::BROKER_PAUSE_MAX;
    let pause = limits::rabbitmq::PAUSE.saturating_mul(1 << failures.min(8)).min(longest);
    pause.mul_f64(1.0 - (random % 1_000) as f64 / 2_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_differ() {
        assert_eq!(pause(0, 0), limits::rabbitmq::PAUSE);
        assert_eq!(pause(40, 0), limits::BROKER_PAUSE_MAX);
        assert!(pause(3, 999) < pause(3, 0) && pause(3, 999) >= pause(3, 0) / 2);
    }
}
