//! The connection to the server: how it is kept, and how everything that is asked over it comes to an end.

pub(crate) mod keep;
pub(crate) mod refusal;

use std::sync::Arc;
use std::time::Duration;

use lapin::options::{BasicQosOptions, ConfirmSelectOptions};
use lapin::{Channel, Connection};
use tokio::sync::{Mutex, watch};
use tokio::time;

use self::refusal::Refusal;

/// One connection, from its making to its end.
pub(crate) struct Link {
    connection: Connection,
    /// Which it is, counted from 1: what belongs to an earlier one is gone with it.
    pub(crate) number: u64,
    ended: watch::Receiver<bool>,
    /// How long an answer may take.
    wait: Duration,
    /// For publishing: all share it.
    publisher: Mutex<Option<Channel>>,
}

impl Link {
    fn new(connection: Connection, number: u64, wait: Duration) -> (Arc<Self>, watch::Sender<bool>) {
        let (end, ended) = watch::channel(false);
        (Arc::new(Self { connection, number, ended, wait, publisher: Mutex::new(None) }), end)
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

    /// The channel on which publishes are confirmed.
    pub(crate) async fn publisher(&self) -> Result<Channel, Refusal> {
        let mut publisher = self.publisher.lock().await;
        if let Some(channel) = publisher.as_ref().filter(|channel| channel.status().connected()) {
            return Ok(channel.clone());
        }
        let channel = self.confirming_channel().await?;
        *publisher = Some(channel.clone());
        Ok(channel)
    }

    /// A new channel on which publishes are confirmed.
    pub(crate) async fn confirming_channel(&self) -> Result<Channel, Refusal> {
        let channel = self.channel().await?;
        self.ask(channel.confirm_select(ConfirmSelectOptions::default())).await?;
        Ok(channel)
    }
}
