//! TCP and unix listeners, as far as accepting is concerned.

use std::io;
use std::net;
use std::os::unix::net as unix;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::peers::Origin;

/// Something that accepts connections.
pub(crate) trait Listener: Send + 'static {
    /// A connection that no thread serves yet.
    type Socket: Send + 'static;
    /// The same in the hands of the thread that serves it.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection and where it comes from.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Self::Socket, Origin)>>;

    /// To be called on the thread that will serve it.
    fn open(socket: Self::Socket) -> io::Result<Self::Stream>;
}

impl Listener for TcpListener {
    type Socket = net::TcpStream;
    type Stream = TcpStream;

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(net::TcpStream, Origin)>> {
        let (stream, remote) = ready!(Self::poll_accept(self, cx))?;
        let local = stream.local_addr()?;
        Poll::Ready(Ok((stream.into_std()?, Origin::Tcp { remote, local })))
    }

    fn open(socket: net::TcpStream) -> io::Result<TcpStream> {
        TcpStream::from_std(socket)
    }
}

impl Listener for UnixListener {
    type Socket = unix::UnixStream;
    type Stream = UnixStream;

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(unix::UnixStream, Origin)>> {
        let (stream, _) = ready!(Self::poll_accept(self, cx))?;
        Poll::Ready(Ok((stream.into_std()?, Origin::Unix)))
    }

    fn open(socket: unix::UnixStream) -> io::Result<UnixStream> {
        UnixStream::from_std(socket)
    }
}
