//! TCP and unix listeners, as far as accepting is concerned.

use std::io;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::peers::Origin;

/// Something that accepts connections.
pub(crate) trait Listener: Send + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection and where it comes from.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Self::Stream, Origin)>>;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, Origin)>> {
        let (stream, remote) = ready!(Self::poll_accept(self, cx))?;
        let local = stream.local_addr()?;
        Poll::Ready(Ok((stream, Origin::Tcp { remote, local })))
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(UnixStream, Origin)>> {
        let (stream, _) = ready!(Self::poll_accept(self, cx))?;
        Poll::Ready(Ok((stream, Origin::Unix)))
    }
}
