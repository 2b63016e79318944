//! Accepting connections, and turning away those beyond the limit.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;

use forebay_core::limits::ACCEPT_PAUSE;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;

use super::connection::Connection;
use super::deal::Deal;
use super::listener::Listener;
use super::stop::stopped;
use crate::backing::Backing;
use crate::shared::Shared;
use crate::watch::events;

/// What a connection beyond the limit is told.
const TOO_MANY: &[u8] = b"ERROR Too many open connections\r\n";

/// Accepts the connections of one listener and deals them out, until `stop` turns true or its sender is gone.
pub(crate) async fn accept<S: Backing, L: Listener>(
    listener: L,
    deal: Arc<Deal>,
    shared: Arc<Shared<S>>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            accepted = poll_fn(|cx| listener.poll_accept(cx)) => accepted,
        };
        let (socket, origin) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                rest(&error, &shared, &mut stop).await;
                continue;
            }
        };
        let Some(seat) = shared.peers.seat(origin, shared.clock.now()) else {
            // A new socket has room for one line, so this does not wait for the client.
            if let Ok(mut stream) = L::open(socket) {
                drop(stream.write_all(TOO_MANY).await);
            }
            continue;
        };
        events::connection(&shared.watch_log, origin, seat.id(), None, shared.clock.now());
        let (shared, stop) = (Arc::clone(&shared), stop.clone());
        deal.deal(move |connections, place| match L::open(socket) {
            Ok(stream) => drop(connections.spawn(async move {
                Connection::new(stream, shared, seat).serve(stop).await;
                drop(place);
            })),
            Err(error) => tracing::warn!(%error, "serve memcached connection failed"),
        });
    }
}

/// Accepting failed. Where the system has run out of something, asking again at once would only burn time.
async fn rest<S: Backing>(error: &io::Error, shared: &Shared<S>, stop: &mut watch::Receiver<bool>) {
    if error.kind() == io::ErrorKind::ConnectionAborted {
        return;
    }
    tracing::warn!(%error, "accept memcached connection failed");
    tokio::select! {
        () = stopped(stop) => {}
        () = shared.clock.sleep_until(shared.clock.now() + ACCEPT_PAUSE) => {}
    }
}
