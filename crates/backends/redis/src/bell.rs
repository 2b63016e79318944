//! Hears, on a connection of its own, that there may be something to take or to read.

use std::pin::pin;
use std::sync::Arc;

use forebay_core::limits;
use futures_util::StreamExt;
use redis::RedisResult;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::connect;
use crate::link::Link;

/// What was heard.
pub(crate) enum Rung {
    /// There may be something for those whom this word concerns.
    For(String),
    /// Something may have been missed, in any queue.
    ForAll,
}

/// Listens until the link is closed. What is missed while there is no connection is made up for when there is one again.
pub(crate) async fn listen(link: Arc<Link>, channel: String, rung: mpsc::Sender<Rung>) {
    let mut pause = limits::redis::CONNECT_PAUSE;
    loop {
        tokio::select! {
            heard = hear(&link, &channel, &rung) => if let Ok(true) = heard {
                pause = limits::redis::CONNECT_PAUSE;
            },
            () = link.closed() => return,
        }
        tokio::select! {
            () = sleep(link.random_share(pause)) => {}
            () = link.closed() => return,
        }
        pause = (pause * 2).min(limits::redis::CONNECT_PAUSE_MAX);
    }
}

/// Listens where the link's connection leads to until either ends, and says whether it stood.
async fn hear(link: &Link, channel: &str, rung: &mpsc::Sender<Rung>) -> RedisResult<bool> {
    let Some(standing) = link.stands().await else { return Ok(false) };
    let time = link.settings.timeout.max(limits::redis::CONNECT_MIN);
    let connecting = connect::listen(&link.settings, &link.target, &standing.server, channel);
    let Ok(connected) = timeout(time, connecting).await else { return Ok(false) };
    let (mut asks, mut heard) = connected?.split();
    // A server that is no master any more may go on, and rings for nobody.
    let mut gone = pin!(link.is_gone(standing.number));
    if rung.send(Rung::ForAll).await.is_err() {
        return Ok(true);
    }
    loop {
        tokio::select! {
            () = &mut gone => return Ok(true),
            message = heard.next() => {
                let Some(message) = message else { return Ok(true) };
                let Ok(word) = std::str::from_utf8(message.get_payload_bytes()) else { continue };
                if rung.send(Rung::For(word.to_owned())).await.is_err() {
                    return Ok(true);
                }
            }
            () = sleep(limits::redis::PING_PAUSE) => {
                let answered = timeout(link.settings.timeout, asks.ping::<redis::Value>()).await;
                if !matches!(answered, Ok(Ok(_))) {
                    return Ok(true);
                }
            }
        }
    }
}
