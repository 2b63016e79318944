//! The socket: accepting within a bound, serving, and ending in good order.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::health::Health;
use forebay_core::limits;
use forebay_core::ports::clock::{Run, Work};
use forebay_core::stats::ConnectionStats;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, error, warn};

use crate::connection::serve::{serve, stopped};
use crate::options::{Options, Parts};
use crate::shared::Shared;

/// Connections that the system holds until they are accepted.
const BACKLOG: i32 = 1024;

/// A front that has its socket and is not yet running.
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
    health: Arc<Health>,
    stop: watch::Receiver<bool>,
}

/// Takes the socket. Nothing runs until [`Bound::work`] does.
pub fn bind(options: Options, parts: Parts, stop: watch::Receiver<bool>) -> Result<Bound> {
    let failed = |reason: io::Error| {
        Error::new(Kind::Io, "listen for amqp", options.address.to_string()).because(reason)
    };
    let listener = listen(options.address).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let health = Arc::clone(&parts.health);
    Ok(Bound { listener, address, shared: Arc::new(Shared::new(options, parts)), health, stop })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for what is left of the old process's connections.
    socket.set_reuse_address(true)?;
    // Accepted connections inherit both: frames are whole when they are sent, and dead clients are found out.
    socket.set_tcp_nodelay(true)?;
    socket.set_keepalive(true)?;
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
        Arc::clone(&self.shared.connections)
    }

    /// What must be run. It ends once the front was told to stop and its clients have agreed, or had their time to.
    pub fn work(self) -> Vec<Work> {
        let expirer = expire(Arc::clone(&self.shared), self.stop.clone());
        vec![
            Work { name: "amqp front", run: Run::Task(Box::pin(self.run())) },
            Work { name: "amqp expirer", run: Run::Task(Box::pin(expirer)) },
        ]
    }

    async fn run(self) {
        let Self { listener, shared, health, mut stop, .. } = self;
        for vhost in shared.vhosts.values() {
            if let Err(reason) = vhost.open().await {
                error!(%reason, vhost = vhost.name, "cannot open the virtual host");
                return health.fail("the amqp front could not open a virtual host");
            }
        }
        let listener = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(reason) => {
                error!(%reason, "cannot listen for amqp");
                return health.fail("the amqp front could not listen");
            }
        };
        let mut serving = JoinSet::new();
        let for_connections = stop.clone();
        let mut stopped = pin!(stopped(&mut stop));
        loop {
            tokio::select! {
                () = &mut stopped => break,
                Some(_) = serving.join_next() => {}
                accepted = listener.accept() => match accepted {
                    // Before the protocol header there is no word for it but the end.
                    Ok(_) if serving.len() >= shared.options.connections_max => shared.connections.refuse(),
                    Ok((stream, peer)) => {
                        // Counted before anything accepted after it, so that the count is never short of one.
                        let counted = Counted::new(&shared.connections);
                        let (shared, stop) = (Arc::clone(&shared), for_connections.clone());
                        serving.spawn(carry(stream, peer, counted, shared, stop));
                    }
                    Err(reason) => {
                        warn!(%reason, "cannot accept an amqp connection");
                        shared.clock.sleep_until(shared.clock.now() + limits::ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        while serving.join_next().await.is_some() {}
    }
}

/// Deletes queues that nobody uses, until the front stops.
async fn expire(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut stopped = pin!(stopped(&mut stop));
    loop {
        let next = shared.clock.sleep_until(shared.clock.now() + limits::amqp::UNUSED_LOOK);
        tokio::select! {
            () = &mut stopped => return,
            () = next => {
                for vhost in shared.vhosts.values() {
                    vhost.expire_unused().await;
                }
            }
        }
    }
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

async fn carry(
    stream: TcpStream,
    peer: SocketAddr,
    _counted: Counted,
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
) {
    serve(stream, peer, shared, stop).await;
    debug!(%peer, "amqp connection ended");
}
