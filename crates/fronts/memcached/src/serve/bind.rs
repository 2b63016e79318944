//! Opening the sockets, and what runs them.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use forebay_cache::NearCache;
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::LISTENER_THREADS_MAX;
use forebay_core::ports::clock::{Clock, Run, Work};
use forebay_core::ports::pledges::Pledges;
use forebay_core::stats::ConnectionStats;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use super::accept::accept;
use super::deal::Deal;
use super::silence::call_silent;
use crate::backing::Backing;
use crate::near::front::Front;
use crate::options::Options;
use crate::shared::Shared;

/// Connections that the system holds until they are accepted.
pub(crate) const BACKLOG: i32 = 1024;
/// Only the owner may use the unix socket, as with memcached.
const UNIX_MODE: u32 = 0o700;
const NAME: &str = "memcached";

/// Where the front listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// The TCP address, with the port that was given.
    pub tcp: Option<SocketAddr>,
    /// The unix socket.
    pub unix: Option<PathBuf>,
}

/// Open sockets that nobody serves yet.
pub struct Bound {
    addresses: Addresses,
    connections: Arc<ConnectionStats>,
    work: Vec<Work>,
}

impl Bound {
    /// Where the front listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Counts of its connections.
    pub fn connections(&self) -> Arc<ConnectionStats> {
        Arc::clone(&self.connections)
    }

    /// What must be run to serve. It ends some time after `stop` has turned true.
    pub fn work(self) -> Vec<Work> {
        self.work
    }
}

/// Opens the sockets and starts nothing. When `stop` turns true, or its sender is gone, no more connections are accepted,
/// commands that were read are answered, and the connections are closed.
pub fn bind<S: Pledges + 'static>(
    options: Options,
    store: Arc<S>,
    clock: Arc<dyn Clock>,
    stop: watch::Receiver<bool>,
) -> Result<Bound> {
    open(options, store, clock, stop)
}

/// The same before a shared store. What there is a copy of is answered at once; everything else once the shared store has
/// answered or taken it. What a shared store cannot do is refused with `SERVER_ERROR` and what to do instead, and so is
/// everything while it is away; the connection stays.
pub fn bind_near(
    options: Options,
    near: Arc<NearCache>,
    clock: Arc<dyn Clock>,
    stop: watch::Receiver<bool>,
) -> Result<Bound> {
    let front = Front::new(near, options.value_bytes_max);
    open(options, Arc::new(front), clock, stop)
}

fn open<S: Backing>(
    options: Options,
    store: Arc<S>,
    clock: Arc<dyn Clock>,
    stop: watch::Receiver<bool>,
) -> Result<Bound> {
    if options.threads > LISTENER_THREADS_MAX {
        return Err(Error::new(
            Kind::Invalid,
            "start memcached front",
            format!("with {} threads", options.threads),
        ));
    }
    let tcp = options.tcp.map(bind_tcp).transpose()?;
    let unix = options.unix.as_deref().map(UnixSocket::bind).transpose()?;
    let addresses = Addresses {
        tcp: tcp
            .as_ref()
            .map(TcpListener::local_addr)
            .transpose()
            .map_err(|cause| Error::new(Kind::Io, "listen for memcached on", "TCP").because(cause))?,
        unix: options.unix.clone(),
    };
    let threads = options.threads;
    let shared = Arc::new(Shared::new(options, addresses.clone(), store, clock));
    let connections = Arc::clone(shared.peers.stats());
    let (deal, hands) = Deal::among(threads.max(1));
    // Accepting takes little, and so does looking who is silent: one of the threads does it for all.
    let mut sockets = Some(Sockets { tcp, unix, deal });
    let mut work = Vec::new();
    for hand in hands {
        let (sockets, shared, stop) = (sockets.take(), Arc::clone(&shared), stop.clone());
        let serve = async move {
            let accept = async {
                if let Some(sockets) = sockets {
                    tokio::join!(sockets.accept(&shared, stop.clone()), call_silent(&shared, stop));
                }
            };
            tokio::join!(accept, hand.serve(Arc::clone(&shared)));
        };
        work.push(match threads {
            0 => Work { name: NAME, run: Run::Task(Box::pin(serve)) },
            _ => {
                let runtime = runtime()?;
                Work { name: NAME, run: Run::Thread(Box::new(move || runtime.block_on(serve))) }
            }
        });
    }
    Ok(Bound { addresses, connections, work })
}

fn runtime() -> Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|cause| Error::new(Kind::Io, "start runtime of", NAME).because(cause))
}

/// What the front listens on.
struct Sockets {
    tcp: Option<TcpListener>,
    unix: Option<UnixSocket>,
    deal: Deal,
}

impl Sockets {
    async fn accept<S: Backing>(self, shared: &Arc<Shared<S>>, stop: watch::Receiver<bool>) {
        let deal = Arc::new(self.deal);
        let tcp = async {
            match self.tcp.map(tokio::net::TcpListener::from_std) {
                Some(Ok(listener)) => {
                    accept(listener, Arc::clone(&deal), Arc::clone(shared), stop.clone()).await
                }
                Some(Err(error)) => tracing::error!(%error, "listen for memcached on TCP failed"),
                None => {}
            }
        };
        let unix = async {
            let Some(UnixSocket { listener, _file }) = self.unix else { return };
            match tokio::net::UnixListener::from_std(listener) {
                Ok(listener) => accept(listener, Arc::clone(&deal), Arc::clone(shared), stop.clone()).await,
                Err(error) => tracing::error!(%error, "listen for memcached on unix socket failed"),
            }
        };
        tokio::join!(tcp, unix);
    }
}

fn bind_tcp(address: SocketAddr) -> Result<TcpListener> {
    let listen = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        // Accepted connections inherit both: answers are whole when they are sent, and dead clients are found out.
        socket.set_tcp_nodelay(true)?;
        socket.set_keepalive(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    listen().map_err(|cause: io::Error| {
        Error::new(Kind::Io, "listen for memcached on", address.to_string()).because(cause)
    })
}

/// The file of a unix socket, removed when nobody listens on it any more.
struct UnixFile(PathBuf);

impl Drop for UnixFile {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = fs::remove_file(&self.0);
    }
}

struct UnixSocket {
    listener: UnixListener,
    _file: UnixFile,
}

impl UnixSocket {
    fn bind(path: &Path) -> Result<Self> {
        let listen = || {
            remove_left_over(path)?;
            let listener = UnixListener::bind(path)?;
            let file = UnixFile(path.to_path_buf());
            fs::set_permissions(path, fs::Permissions::from_mode(UNIX_MODE))?;
            listener.set_nonblocking(true)?;
            Ok(Self { listener, _file: file })
        };
        listen().map_err(|cause: io::Error| {
            Error::new(Kind::Io, "listen for memcached on", path.display().to_string()).because(cause)
        })
    }
}

/// A process that was killed leaves its socket behind. Only a socket that nobody answers on is taken away.
fn remove_left_over(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() && UnixStream::connect(path).is_err() => {
            fs::remove_file(path)
        }
        Ok(found) if found.file_type().is_socket() => Err(io::Error::from(io::ErrorKind::AddrInUse)),
        Ok(_) => Err(io::Error::from(io::ErrorKind::AlreadyExists)),
        Err(_) => Ok(()),
    }
}
