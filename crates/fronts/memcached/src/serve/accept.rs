//! Accepting connections, turning away those beyond the limit, and seeing them off when the front stops.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;

use forebay_core::limits::ACCEPT_PAUSE;
use forebay_core::ports::local_store::LocalStore;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::connection::Connection;
use super::listener::Listener;
use super::stop::stopped;
use crate::shared::Shared;

/// What a connection beyond the limit is told.
const TOO_MANY: &[u8] = b"ERROR Too many open connections\r\n";

/// Serves the connections of one listener until `stop` turns true or its sender is gone.
pub(crate) async fn serve<S: LocalStore + 'static, L: Listener>(
    listener: L,
    shared: Arc<Shared<S>>,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            accepted = poll_fn(|cx| listener.poll_accept(cx)) => match accepted {
                Ok((mut stream, origin)) => match shared.peers.seat(origin, shared.clock.now()) {
                    Some(seat) => {
                        let connection = Connection::new(stream, Arc::clone(&shared), seat);
                        connections.spawn(connection.serve(stop.clone()));
                    }
                    // A new socket has room for one line, so this does not wait for the client.
                    None => drop(stream.write_all(TOO_MANY).await),
                },
                Err(error) => rest(&error, &shared, &mut stop).await,
            },
            Some(ended) = connections.join_next() => report(ended),
        }
    }
    drop(listener);
    drain(connections, &shared).await;
}

/// Accepting failed. Where the system has run out of something, asking again at once would only burn time.
async fn rest<S: LocalStore>(error: &io::Error, shared: &Shared<S>, stop: &mut watch::Receiver<bool>) {
    if error.kind() == io::ErrorKind::ConnectionAborted {
        return;
    }
    tracing::warn!(%error, "accept memcached connection failed");
    tokio::select! {
        () = stopped(stop) => {}
        () = shared.clock.sleep_until(shared.clock.now() + ACCEPT_PAUSE) => {}
    }
}

/// Waits for connections to end. A client that does not take its answers is not waited for longer than the drain time.
async fn drain<S: LocalStore>(mut connections: JoinSet<()>, shared: &Shared<S>) {
    let over = shared.clock.sleep_until(shared.clock.now() + shared.options.drain);
    tokio::pin!(over);
    loop {
        tokio::select! {
            ended = connections.join_next() => match ended {
                Some(ended) => report(ended),
                None => break,
            },
            () = &mut over => break,
        }
    }
}

/// A connection that panicked is gone; the others go on.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "serve memcached connection failed");
    }
}
