//! The connection to the server: how it is kept, and how everything that is asked over it comes to an end.

pub(crate) mod keep;
pub(crate) mod refusal;

use std::sync::Arc;
use std::time::Duration;

use forebay_core::limits;
use lapin::options::{BasicQosOptions, ConfirmSelectOptions};
use lapin::{Channel, Connection};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time;

use self::refusal::Refusal;

/// Why a server blocks a connection that publishes.
const BLOCKED: &str = "the server takes no publishes: it lacks memory or disk space";

/// One connection, from its making to its end.
pub(crate) struct Link {
    connection: Connection,
    /// Which it is, counted from 1: what belongs to an earlier one is gone with it.
    pub(crate) number: u64,
    ended: watch::Receiver<bool>,
    /// How long an answer may take.
    wait: Duration,
    /// Those who publish at a time.
    publishing: Semaphore,
    /// Channels for publishing that nobody uses now: at most as many as may publish at a time.
    idle: Mutex<Vec<Channel>>,
}

/// A channel on which one publishes and nobody else does, meanwhile: the client library does not tell which of several
/// publishes it is that the server returns. Unless it is given back it is closed, with what was not confirmed.
pub(crate) struct Publisher<'a> {
    pub(crate) channel: Channel,
    link: &'a Link,
    _turn: SemaphorePermit<'a>,
}

impl Publisher<'_> {
    /// All that was published was confirmed: the next one may have the channel.
    pub(crate) fn give_back(self) {
        self.link.idle.lock().push(self.channel);
    }
}

impl Link {
    fn new(connection: Connection, number: u64, wait: Duration) -> (Arc<Self>, watch::Sender<bool>) {
        let (end, ended) = watch::channel(false);
        let publishing = Semaphore::new(limits::rabbitmq::PUBLISHERS_MAX);
        (Arc::new(Self { connection, number, ended, wait, publishing, idle: Mutex::default() }), end)
    }

    /// What the server answers. The client library leaves promises open for ever when its connection ends while they are
    /// made: so this ends with the connection, or when the answer takes too long.
    pub(crate) async fn ask<T>(&self, asked: impl Future<Output = lapin::Result<T>>) -> Result<T, Refusal> {
        let mut ended = self.ended.clone();
        tokio::select! {
            biased;
            answered = asked => answered.map_err(Refusal::from),
            _ = ended.wait_for(|ended| *ended) => Err(Refusal::Away("the connection ended")),
            () = time::sleep(self.wait) => Err(Refusal::Away("no answer in time")),
        }
    }

    /// A new channel.
    pub(crate) async fn channel(&self) -> Result<Channel, Refusal> {
        self.ask(self.connection.create_channel()).await
    }

    /// A new channel for consumers with so much prefetch each.
    pub(crate) async fn consuming_channel(&self, prefetch: u16) -> Result<Channel, Refusal> {
        let channel = self.channel().await?;
        self.ask(channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
        Ok(channel)
    }

    /// A channel on which publishes are confirmed, for one who publishes.
    pub(crate) async fn publisher(&self) -> Result<Publisher<'_>, Refusal> {
        let turn = async {
            let turn = self.publishing.acquire().await;
            self.unblocked().await;
            Ok(turn)
        };
        let turn = match self.ask(turn).await {
            Err(_) if self.is_blocked() => Err(Refusal::Away(BLOCKED)),
            turn => turn?.map_err(|_| Refusal::Away("the connection ended")),
        }?;
        let idle = {
            let mut idle = self.idle.lock();
            std::iter::from_fn(|| idle.pop()).find(|channel| channel.status().connected())
        };
        let channel = match idle {
            Some(channel) => channel,
            None => self.confirming_channel().await?,
        };
        Ok(Publisher { channel, link: self, _turn: turn })
    }

    /// Whether the server takes no publishes for now.
    pub(crate) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// Until the server takes publishes. Before that nothing is to be sent: the client library would keep all of it.
    async fn unblocked(&self) {
        while self.is_blocked() {
            time::sleep(limits::rabbitmq::LOOK).await;
        }
    }

    /// A new channel on which publishes are confirmed.
    pub(crate) async fn confirming_channel(&self) -> Result<Channel, Refusal> {
        let channel = self.channel().await?;
        self.ask(channel.confirm_select(ConfirmSelectOptions::default())).await?;
        Ok(channel)
    }
}
