//! Opening the sockets, and what runs them.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::LISTENER_THREADS_MAX;
use forebay_core::ports::clock::{Clock, Run, Work};
use forebay_core::ports::local_store::LocalStore;
use forebay_core::stats::ConnectionStats;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use super::accept;
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
pub fn bind<S: LocalStore + 'static>(
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
    let listeners = options.threads.max(1);
    let tcp = options.tcp.map(|address| bind_tcp(address, listeners)).transpose()?.unwrap_or_default();
    let unix = match &options.unix {
        Some(path) => Some(bind_unix(path, listeners)?),
        None => None,
    };
    let addresses = Addresses {
        tcp: tcp
            .first()
            .map(|listener| listener.local_addr())
            .transpose()
            .map_err(|cause| Error::new(Kind::Io, "listen for memcached on", "TCP").because(cause))?,
        unix: options.unix.clone(),
    };
    let threads = options.threads;
    let shared = Arc::new(Shared::new(options, addresses.clone(), store, clock));
    let connections = Arc::clone(shared.peers.stats());
    let mut work = Vec::new();
    let (mut tcp, (mut unix, file)) =
        (tcp.into_iter(), unix.map_or_else(Default::default, UnixSockets::parts));
    for _ in 0..listeners {
        let sockets = Sockets { tcp: tcp.next(), unix: unix.next(), _file: file.clone() };
        let serve = sockets.serve(Arc::clone(&shared), stop.clone());
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

/// What one task or thread listens on.
struct Sockets {
    tcp: Option<TcpListener>,
    unix: Option<UnixListener>,
    _file: Option<Arc<UnixFile>>,
}

impl Sockets {
    async fn serve<S: LocalStore + 'static>(self, shared: Arc<Shared<S>>, stop: watch::Receiver<bool>) {
        let tcp = async {
            match self.tcp.map(tokio::net::TcpListener::from_std) {
                Some(Ok(listener)) => accept::serve(listener, Arc::clone(&shared), stop.clone()).await,
                Some(Err(error)) => tracing::error!(%error, "listen for memcached on TCP failed"),
                None => {}
            }
        };
        let unix = async {
            match self.unix.map(tokio::net::UnixListener::from_std) {
                Some(Ok(listener)) => accept::serve(listener, Arc::clone(&shared), stop.clone()).await,
                Some(Err(error)) => tracing::error!(%error, "listen for memcached on unix socket failed"),
                None => {}
            }
        };
        tokio::join!(tcp, unix);
    }
}

/// One listener a thread on the same port: the system deals connections out among them.
fn bind_tcp(address: SocketAddr, count: usize) -> Result<Vec<TcpListener>> {
    let failed = |cause: io::Error| {
        Error::new(Kind::Io, "listen for memcached on", address.to_string()).because(cause)
    };
    if count > 1 && address.port() != 0 {
        // A shared port can be taken twice without anybody noticing, so it is first taken alone.
        listen_tcp(address, false).map_err(failed)?;
    }
    let first = listen_tcp(address, count > 1).map_err(failed)?;
    let bound = first.local_addr().map_err(failed)?;
    let mut listeners = vec![first];
    for _ in 1..count {
        listeners.push(listen_tcp(bound, true).map_err(failed)?);
    }
    Ok(listeners)
}

fn listen_tcp(address: SocketAddr, share: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if share {
        socket.set_reuse_port(true)?;
    }
    // Accepted connections inherit both: answers are whole when they are sent, and dead clients are found out.
    socket.set_tcp_nodelay(true)?;
    socket.set_keepalive(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The file of a unix socket, removed when nobody listens on it any more.
struct UnixFile(PathBuf);

impl Drop for UnixFile {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = fs::remove_file(&self.0);
    }
}

#[derive(Default)]
struct UnixSockets {
    listeners: Vec<UnixListener>,
    file: Option<Arc<UnixFile>>,
}

impl UnixSockets {
    fn parts(self) -> (std::vec::IntoIter<UnixListener>, Option<Arc<UnixFile>>) {
        (self.listeners.into_iter(), self.file)
    }
}

/// One socket that all threads accept from.
fn bind_unix(path: &Path, count: usize) -> Result<UnixSockets> {
    let failed = |cause: io::Error| {
        Error::new(Kind::Io, "listen for memcached on", path.display().to_string()).because(cause)
    };
    remove_left_over(path).map_err(failed)?;
    let listener = UnixListener::bind(path).map_err(failed)?;
    let file = Arc::new(UnixFile(path.to_path_buf()));
    fs::set_permissions(path, fs::Permissions::from_mode(UNIX_MODE)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let mut listeners = Vec::new();
    for _ in 1..count {
        listeners.push(listener.try_clone().map_err(failed)?);
    }
    listeners.push(listener);
    Ok(UnixSockets { listeners, file: Some(file) })
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
