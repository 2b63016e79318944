//! Of a queue whose order is kept one process at a time hands out messages, and begins only once all that others had of it is in
//! its place again.

use std::sync::atomic::Ordering::Relaxed;

use forebay_core::limits;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel};
use tokio::time;

use crate::inner::Inner;
use crate::link::Link;
use crate::link::refusal::Refusal;
use crate::message::envelope::PERSISTENT;
use crate::queue::Queue;
use crate::queue::names::Lane;

/// The type of a message that is to reach nobody.
const MARK: &str = "forebay.mark";

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
pub(crate) async fn settle_in(inner: &Inner, queue: &Queue, link: &Link, lane: Lane) -> Result<(), Refusal> {
    let asks = link.channel().await?;
    // A server that was just started tells how the queue was some time before its end, until it has done something of now to it.
    if queue.settled_in.load(Relaxed) != link.number {
        match lane {
            Lane::Class(_) => mark(inner, queue, lane).await?,
            // Here it must be known how many there are.
            Lane::Again => try_consuming(queue, link, &asks, lane).await?,
        }
    }
    await_consumers(queue, link, &asks, lane, 0).await?;
    let _ = link.ask(asks.close(200, "settled in".into())).await;
    Ok(())
}

/// Publishes a message that is over at once, and that the server drops when it comes to it. A consumer would do as well, but what
/// is more than its prefetch would have lost its order: what comes back goes behind what came back before.
async fn mark(inner: &Inner, queue: &Queue, lane: Lane) -> Result<(), Refusal> {
    let link = inner.publishing_link("receive from queue").await;
    let link = link.map_err(|_| Refusal::Away("no connection for publishing stands"))?;
    let publisher = match link.publisher().await {
        // A server that lacks memory or disk space is to get rid of messages all the same.
        Err(_) if link.is_blocked() => return Ok(()),
        publisher => publisher?,
    };
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_expiration("0".into())
        .with_type(MARK.into());
    let (name, options) = (queue.names.lane(lane), BasicPublishOptions::default());
    let publish =
        async { publisher.channel.basic_publish("".into(), name, options, b"", properties).await?.await };
    // A refusal comes from the lane as well.
    link.ask(publish).await?;
    publisher.give_back();
    Ok(())
}

/// Whether it is such a message, which is nobody's.
pub(crate) fn is_mark(properties: &BasicProperties) -> bool {
    properties.kind().as_ref().is_some_and(|kind| kind.as_str() == MARK)
}

/// Has a consumer until there is no other one. What it was sent goes back with its channel, in order, behind what had to come before
/// it; and all of it fits whoever comes next.
async fn try_consuming(queue: &Queue, link: &Link, asks: &Channel, lane: Lane) -> Result<(), Refusal> {
    let channel = link.consuming_channel(limits::rabbitmq::TRIES_PREFETCH).await?;
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
