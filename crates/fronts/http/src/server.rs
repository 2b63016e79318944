//! The socket: accepting within a bound, serving, and ending in good order.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use forebay_core::error::{Error, Kind, Result};
use forebay_core::ports::clock::{Run, Work};
use forebay_core::stats::ConnectionStats;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, error, warn};

use crate::body::Budget;
use crate::connection;
use crate::parts::{Options, Parts, Shared};
use crate::router::{App, router};

/// Connections that the system holds until they are accepted.
const BACKLOG: i32 = 1024;
/// The pause after the system could not accept, which is mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// What a connection beyond the limit is told.
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
    content-length: 61\r\nretry-after: 1\r\nconnection: close\r\n\r\n\
    {\"error\":\"accept connection: too many are open\",\"retry\":true}";

/// A front that has its socket and is not yet running.
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    connections_max: usize,
    app: App,
}

/// Takes the socket. Nothing runs until [`Bound::work`] does.
pub fn bind(options: Options, parts: Parts, stop: watch::Receiver<bool>) -> Result<Bound> {
    let failed = |reason: io::Error| {
        Error::new(Kind::Io, "listen for http", options.address.to_string()).because(reason)
    };
    let listener = listen(options.address).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let app = Arc::new(Shared {
        started_at: parts.clock.now(),
        parts,
        connections: Arc::default(),
        value_bytes_max: options.value_bytes_max,
        bodies: Budget::new(options.bodies_bytes_max),
        stop,
    });
    Ok(Bound { listener, address, connections_max: options.connections_max, app })
}

/// The standard library's own way would hold only 128 connections, which a burst overruns.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for what is left of the old process's connections.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

impl Bound {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its connections, for other fronts' metrics.
    pub fn connections(&self) -> Arc<ConnectionStats> {
        Arc::clone(&self.app.connections)
    }

    /// What must be run. It ends once the front was told to stop and its last request is answered.
    pub fn work(self) -> Vec<Work> {
        vec![Work { name: "http front", run: Run::Task(Box::pin(self.run())) }]
    }

    async fn run(self) {
        let Self { listener, connections_max, app, .. } = self;
        let listener = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(reason) => {
                error!(%reason, "cannot listen for http");
                return app.parts.health.fail("the http front could not listen");
            }
        };
        let router = router(Arc::clone(&app));
        let mut serving = JoinSet::new();
        let mut stopped = pin!(app.stopped());
        loop {
            tokio::select! {
                () = &mut stopped => break,
                Some(_) = serving.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) if serving.len() >= connections_max => refuse(&stream, &app),
                    Ok((stream, _)) => {
                        // Counted before anything accepted after it, so that the count is never short of one.
                        let counted = Counted::new(&app.connections);
                        serving.spawn(serve(stream, counted, router.clone(), Arc::clone(&app)));
                    }
                    Err(reason) => {
                        warn!(%reason, "cannot accept an http connection");
                        let clock = &app.parts.clock;
                        clock.sleep_until(clock.now() + ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        while serving.join_next().await.is_some() {}
    }
}

/// Says so in one write that a fresh socket takes at once, and hangs up.
fn refuse(stream: &TcpStream, app: &App) {
    app.connections.refuse();
    let _sent_if_possible = stream.try_write(REFUSAL);
}

/// Counts a connection for as long as it lives.
struct Counted(Arc<ConnectionStats>);

impl Counted {
    fn new(connections: &Arc<ConnectionStats>) -> Self {
        connections.open();
        Self(Arc::clone(connections))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.close();
    }
}

async fn serve(stream: TcpStream, _counted: Counted, router: Router, app: App) {
    if let Err(reason) = stream.set_nodelay(true) {
        debug!(%reason, "an http connection ended before it began");
        return;
    }
    let clock = Arc::clone(&app.parts.clock);
    if let Err(reason) = connection::carry(stream, router, clock, app.stopped()).await {
        debug!(%reason, "an http connection broke off");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_waits_to_be_accepted() {
        let listener = listen(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        // The system may allow less than was asked for.
        let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap_or_default();
        let burst = allowed.trim().parse().unwrap_or(128).min(300);
        let waiting: Vec<_> = (0..burst)
            .map(|_| std::net::TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap())
            .collect();
        assert_eq!(waiting.len(), burst);
    }

    #[test]
    fn an_address_in_use_is_not_shared() {
        let first = listen(([127, 0, 0, 1], 0).into()).unwrap();
        assert!(listen(first.local_addr().unwrap()).is_err());
    }
}
