//! A connection that watches: it is sent events, and what it says is not listened to any more.

use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::log::Watcher;

/// Sends events until the client goes, or the front stops.
pub(crate) async fn follow<IO: AsyncRead + AsyncWrite + Unpin>(
    io: &mut IO,
    watcher: &Watcher,
    mut stopped: Pin<&mut impl Future<Output = ()>>,
) {
    let mut unheard = [0; 1024];
    loop {
        let lines = tokio::select! {
            () = stopped.as_mut() => return,
            read = io.read(&mut unheard) => match read {
                Ok(count) if count > 0 => continue,
                Ok(_) | Err(_) => return,
            },
            lines = watcher.lines() => lines,
        };
        let sent = tokio::select! {
            () = stopped.as_mut() => return,
            sent = io.write_all(&lines) => sent,
        };
        if sent.is_err() {
            return;
        }
    }
}
