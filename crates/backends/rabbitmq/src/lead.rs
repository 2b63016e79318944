//! Of a queue whose order is kept one process at a time hands out messages, and begins only once all that others had of it is in
//! its place again.

use std::sync::atomic::Ordering::Relaxed;

use forebay_core::limits;
use lapin::Channel;
use lapin::options::{BasicConsumeOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use tokio::time;

use crate::link::Link;
use crate::link::refusal::Refusal;
use crate::queue::Queue;
use crate::queue::names::Lane;

/// Whether this process is the one: it has a queue of the server's that only one connection can have, and that goes with it.
pub(crate) async fn lead(queue: &Queue, link: &Link) -> Result<bool, Refusal> {
    let channel = link.channel().await?;
    let options =
        QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    // It may be ours from here on, also if nobody hears of it.
    queue.change(|shelf| shelf.leading = true);
    let declared =
        link.ask(channel.queue_declare(queue.names.leader(), options, FieldTable::default())).await;
    match declared {
        Ok(_) => {
            let _ = link.ask(channel.close(200, "leading".into())).await;
            Ok(true)
        }
        Err(refusal) if refusal.is_locked() => {
            queue.change(|shelf| shelf.leading = false);
            Ok(false)
        }
        Err(refusal) => {
            // On the same channel, so that the server comes to it after the other. If this fails it is tried again by and by.
            let deleting = channel.queue_delete(queue.names.leader(), QueueDeleteOptions::default());
            if link.ask(deleting).await.is_ok() {
                queue.change(|shelf| shelf.leading = false);
            }
            Err(refusal)
        }
    }
}

/// It is another process's to hand out from here on.
pub(crate) async fn resign(queue: &Queue, link: &Link) -> Result<(), Refusal> {
    let channel = link.channel().await?;
    let deleting = channel.queue_delete(queue.names.leader(), QueueDeleteOptions::default());
    match link.ask(deleting).await {
        Ok(_) => drop(link.ask(channel.close(200, "leading no more".into())).await),
        // It is another one's already.
        Err(refusal) if refusal.is_locked() => {}
        Err(refusal) => return Err(refusal),
    }
    Ok(())
}

/// Waits until what others were sent of a lane is in its place again. The server puts it there when it finds that their channel is
/// gone, and counts them as consumers until then: whoever is sent messages sooner has later ones before these.
pub(crate) async fn settle_in(queue: &Queue, link: &Link, lane: Lane, prefetch: u16) -> Result<(), Refusal> {
    let asks = link.channel().await?;
    // A server that was just started tells how the queue was some time before its end, until it has taken in a consumer of now.
    if queue.settled_in.load(Relaxed) != link.number {
        try_consuming(queue, link, &asks, lane, prefetch).await?;
    }
    await_consumers(queue, link, &asks, lane, 0).await?;
    let _ = link.ask(asks.close(200, "settled in".into())).await;
    Ok(())
}

/// Has a consumer until there is no other one. What it was sent goes back with its channel, in order, behind what had to come before
/// it: as refused it would go behind everything. It has the prefetch of who comes next, who takes all of it then: of what was given
/// back and not taken the server keeps the order only among itself.
async fn try_consuming(
    queue: &Queue,
    link: &Link,
    asks: &Channel,
    lane: Lane,
    prefetch: u16,
) -> Result<(), Refusal> {
    let channel = link.consuming_channel(prefetch).await?;
    let tried = async {
        let (name, options) = (queue.names.lane(lane), BasicConsumeOptions::default());
        let _consumer =
            link.ask(channel.basic_consume(name, "".into(), options, FieldTable::default())).await?;
        await_consumers(queue, link, asks, lane, 1).await?;
        link.ask(channel.close(200, "settled in".into())).await
    };
    let tried = tried.await;
    if tried.is_err() {
        let _ = time::timeout(limits::rabbitmq::GOODBYE_MAX, channel.close(200, "broken".into())).await;
    }
    tried
}

/// Waits until the lane has so few consumers. That has an end: one that lives on is none of ours.
async fn await_consumers(
    queue: &Queue,
    link: &Link,
    asks: &Channel,
    lane: Lane,
    most: u32,
) -> Result<(), Refusal> {
    let late = time::Instant::now() + limits::rabbitmq::ARRIVAL_MAX;
    loop {
        let (_, consumers) = count(queue, link, asks, lane).await?;
        if consumers <= most {
            return Ok(());
        }
        if time::Instant::now() >= late {
            let queue = &queue.settings.name;
            tracing::warn!(%queue, consumers, "rabbitmq: others consume from an ordered queue, which keeps no order");
            return Ok(());
        }
        time::sleep(limits::rabbitmq::SETTLE_IN_LOOK).await;
    }
}

/// How many messages of a lane are ready on the server, and how many consumers it has.
async fn count(queue: &Queue, link: &Link, asks: &Channel, lane: Lane) -> Result<(u64, u32), Refusal> {
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let declaring = asks.queue_declare(queue.names.lane(lane), options, FieldTable::default());
    let declared = link.ask(declaring).await?;
    Ok((u64::from(declared.message_count()), declared.consumer_count()))
}

/// How many messages of a lane are ready on the server.
pub(crate) async fn ready(queue: &Queue, link: &Link, lane: Lane) -> Result<u64, Refusal> {
    let asks = link.channel().await?;
    let (ready, _) = count(queue, link, &asks, lane).await?;
    let _ = link.ask(asks.close(200, "counted".into())).await;
    Ok(ready)
}
