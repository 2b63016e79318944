//! A wire between broker and server that can be cut, and that can swallow what the server says.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::ground::Ground;

/// What the wire does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Does {
    /// It passes everything on.
    Pass,
    /// What the server says is lost. What it is told arrives.
    Swallow,
    /// No connection stands.
    Refuse,
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    does: Arc<watch::Sender<Does>>,
    cuts: Arc<watch::Sender<u64>>,
}

impl Proxy {
    pub(crate) fn to(server: SocketAddr, ground: &Ground) -> Self {
        let does = Arc::new(watch::Sender::new(Does::Pass));
        let listener = ground.run(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let cuts = Arc::new(watch::Sender::new(0));
        let (state, cut) = (does.clone(), cuts.clone());
        ground.handle().spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, state.subscribe(), cut.subscribe()));
            }
        });
        Self { address, does, cuts }
    }

    /// Ends all connections, and does so with those that come.
    pub(crate) fn cut(&self, does: Does) {
        self.does.send_replace(does);
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Does so with all connections.
    pub(crate) fn set(&self, does: Does) {
        self.does.send_replace(does);
    }
}

async fn carry(
    mut client: TcpStream,
    server: SocketAddr,
    does: watch::Receiver<Does>,
    mut cuts: watch::Receiver<u64>,
) {
    if *does.borrow() == Does::Refuse {
        return;
    }
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    let (mut from_client, mut from_server) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => match read {
                Ok(count) if count > 0 && server.write_all(&from_client[..count]).await.is_ok() => {}
                _ => return,
            },
            read = server.read(&mut from_server) => match read {
                Ok(count) if count > 0 => {
                    let swallow = *does.borrow() == Does::Swallow;
                    if !swallow && client.write_all(&from_server[..count]).await.is_err() {
                        return;
                    }
                }
                _ => return,
            },
            _ = cuts.changed() => return,
        }
    }
}
