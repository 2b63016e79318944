//! Whether the server sends us the messages of a queue: only while somebody here asks for them, so that they are there for
//! others when nobody does.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use forebay_core::error::Kind;
use forebay_core::limits;
use forebay_core::queue::Order;
use forebay_core::time::Instant;
use lapin::Channel;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use parking_lot::Mutex;
use tokio::time;

use crate::inner::Inner;
use crate::lead;
use crate::link::Link;
use crate::link::refusal::Refusal;
use crate::queue::Queue;
use crate::queue::intake::Intake;
use crate::queue::letter::Letter;
use crate::queue::names::Lane;
use crate::queue::shelf::{Consuming, Shelf, Trouble};

/// What the opening came to.
enum Opened {
    Yes(Channel),
    /// Another process hands out this queue's messages.
    Elsewhere,
}

/// Asks the server for messages of the queue, in the background, unless that is done or was tried just now.
pub(crate) fn want(inner: &Arc<Inner>, queue: &Arc<Queue>) {
    let now = inner.clock.now();
    let Some(link) = inner.link_now() else { return };
    let asked = queue.look(|shelf| match &shelf.consuming {
        Consuming::No { not_before } => *not_before <= now,
        Consuming::Resting { .. } => true,
        Consuming::Opening | Consuming::Yes { .. } | Consuming::Stopping { .. } | Consuming::Gone => false,
    });
    if !asked {
        return;
    }
    let begun = queue.change(|shelf| {
        let channel = match &shelf.consuming {
            Consuming::No { .. } => None,
            Consuming::Resting { channel } => Some(channel.clone()),
            _ => return None,
        };
        shelf.asked += 1;
        shelf.consuming = Consuming::Opening;
        Some((channel, shelf.epoch()))
    });
    if let Some((channel, epoch)) = begun {
        let (inner, queue) = (inner.clone(), queue.clone());
        inner.clone().run(async move { open(&inner, &queue, &link, channel, epoch).await });
    }
}

async fn open(inner: &Arc<Inner>, queue: &Arc<Queue>, link: &Link, mut channel: Option<Channel>, epoch: u64) {
    let opened = try_open(inner, queue, link, &mut channel, epoch).await;
    let now = inner.clock.now();
    let not_before = now + limits::rabbitmq::PAUSE;
    match opened {
        Ok(Opened::Yes(channel)) => {
            let connected = channel.status().connected();
            let consuming = Consuming::Yes { since: now, channel: channel.clone() };
            let mine = queue.change(|shelf| {
                let mine = shelf.epoch() == epoch && connected;
                if mine {
                    shelf.used_at = now;
                    shelf.consuming = consuming;
                    shelf.trouble = None;
                }
                mine
            });
            if !mine {
                let _ = time::timeout(limits::rabbitmq::GOODBYE_MAX, channel.close(200, "late".into())).await;
                put_off(queue, epoch, not_before, None);
            }
        }
        Ok(Opened::Elsewhere) => put_off(queue, epoch, not_before, None),
        Err(refusal) => {
            if let Some(channel) = channel {
                let _ =
                    time::timeout(limits::rabbitmq::GOODBYE_MAX, channel.close(200, "broken".into())).await;
            }
            if refusal.is_not_found() {
                look_again(inner, queue).await;
            } else {
                tracing::warn!(queue = %queue.settings.name, ?refusal, "rabbitmq: cannot consume");
            }
            let times = failures(queue);
            let pause = limits::rabbitmq::PAUSE.saturating_mul(1 << times.min(8));
            let not_before = inner.clock.now() + pause.min(limits::BROKER_PAUSE_MAX);
            put_off(queue, epoch, not_before, Some(Trouble { why: refusal.said(), times: times + 1 }));
        }
    }
}

/// How often in turn the server could not be had to send messages.
fn failures(queue: &Queue) -> u32 {
    queue.look(|shelf| shelf.trouble.as_ref().map_or(0, |trouble| trouble.times))
}

/// The server is not asked before then.
fn put_off(queue: &Queue, epoch: u64, not_before: Instant, trouble: Option<Trouble>) {
    drop(queue.change(|shelf| {
        let cleared = (shelf.epoch() == epoch).then(|| shelf.clear(Consuming::No { not_before }));
        // One of its consumers may have found the channel gone before.
        if let Consuming::No { not_before: at } = &mut shelf.consuming {
            *at = not_before.max(*at);
            shelf.trouble = trouble;
        }
        cleared
    }));
}

/// A queue of the server's was missing: has it been deleted, or only half made?
async fn look_again(inner: &Arc<Inner>, queue: &Queue) {
    let name = &queue.settings.name;
    match inner.find_anew(name).await {
        Err(error) if error.kind() == Kind::NotFound => inner.forget(name),
        Err(error) => tracing::warn!(queue = %name, %error, "rabbitmq: cannot look for a queue"),
        Ok(()) => {}
    }
}

async fn try_open(
    inner: &Arc<Inner>,
    queue: &Arc<Queue>,
    link: &Link,
    channel: &mut Option<Channel>,
    epoch: u64,
) -> Result<Opened, Refusal> {
    let ordered = queue.settings.order == Order::Key;
    if ordered {
        if !lead::lead(queue, link).await? {
            return Ok(Opened::Elsewhere);
        }
        for lane in queue.lanes() {
            lead::settle_in(inner, queue, link, lane).await?;
        }
        queue.settled_in.store(link.number, Relaxed);
    }
    let channel = match channel {
        Some(channel) => channel.clone(),
        None => channel.insert(link.channel().await?).clone(),
    };
    let asked = queue.look(|shelf| shelf.asked);
    // A large message over a slow wire needs longer, and comes from its beginning each time.
    let patience = limits::rabbitmq::ARRIVAL_MAX.saturating_mul(1 << failures(queue).min(4));
    let mut fits_now = None;
    for lane in queue.lanes() {
        // What is tried again goes before the others of its key: all of it must be here before any of these comes, and find
        // room whatever else lies here.
        let again = if lane == Lane::Again { lead::ready(queue, link, lane).await? } else { 0 };
        let fits = prefetch(inner, lane);
        if fits_now.replace(fits) != Some(fits) {
            link.ask(channel.basic_qos(fits, BasicQosOptions::default())).await?;
        }
        let consuming = channel.basic_consume(
            queue.names.lane(lane),
            tag(lane, asked),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let consumer = Mutex::new(link.ask(consuming).await?);
        let intake =
            Arc::new(Intake { inner: inner.clone(), queue: queue.clone(), lane, epoch, asked, consumer });
        queue.change_quietly(|shelf| shelf.take_in_by(&intake));
        inner.run(intake.run());
        if !await_tries(queue, again.min(fits.into()), patience).await {
            return Err(Refusal::Away("what is to be tried again does not come"));
        }
    }
    Ok(Opened::Yes(channel))
}

/// What the server sends ahead of a lane. What is tried again must all be here, whatever else lies here.
fn prefetch(inner: &Inner, lane: Lane) -> u16 {
    match lane {
        Lane::Again => limits::rabbitmq::TRIES_PREFETCH,
        Lane::Class(_) => inner.settings.prefetch,
    }
}

/// Never the same twice: to one that comes again a quorum queue sends again what the first one holds.
fn tag(lane: Lane, asked: u64) -> ShortString {
    ShortString::try_new(format!("forebay.{}.{asked}", lane.rank())).unwrap_or_default()
}

/// Whether so many messages that are tried again have come, of which each has so long.
async fn await_tries(queue: &Queue, count: u64, patience: Duration) -> bool {
    let (mut came_before, mut late) = (0, time::Instant::now() + patience);
    loop {
        let changed = queue.changed.notified();
        let came = queue.look(Shelf::tries_here);
        if came >= count {
            return true;
        }
        if came > came_before {
            (came_before, late) = (came, time::Instant::now() + patience);
        }
        if time::timeout_at(late, changed).await.is_err() {
            return false;
        }
    }
}

/// What is done with a queue of which nobody asks for messages.
enum Rest {
    /// Nothing of it is here, but it is ours to hand out no more.
    Resign,
    /// Nothing of it is held: the channel is closed, by which the server has everything again.
    Leave,
    /// What is not held is given back.
    GiveBack,
}

/// Gives back what lies here if nobody has asked for any for a while, and takes no more.
pub(crate) fn rest(inner: &Arc<Inner>, queue: Arc<Queue>) {
    let Some(link) = inner.link_now() else { return };
    let now = inner.clock.now();
    let since = now - limits::rabbitmq::IDLE;
    let needed = |shelf: &Shelf| match &shelf.consuming {
        // What of an ordered queue was given back while an earlier message is held would come before that one.
        Consuming::Yes { .. } => shelf.is_unused(since) && (!shelf.leading || shelf.holds.is_empty()),
        Consuming::Resting { .. } => shelf.is_unused(since) && (shelf.holds.is_empty() || shelf.has_unheld()),
        Consuming::No { not_before } => *not_before <= now && shelf.is_unused(since) && shelf.leading,
        Consuming::Opening | Consuming::Stopping { .. } | Consuming::Gone => false,
    };
    if !queue.look(needed) {
        return;
    }
    let begun = queue.change(|shelf| {
        if !needed(shelf) {
            return None;
        }
        let Some(channel) = shelf.channel() else {
            shelf.consuming = Consuming::Opening;
            return Some((None, None, Rest::Resign, shelf.epoch(), None));
        };
        let consumers = matches!(shelf.consuming, Consuming::Yes { .. }).then_some(shelf.asked);
        shelf.asked += 1;
        let rest = if shelf.holds.is_empty() { Rest::Leave } else { Rest::GiveBack };
        let stopping = Consuming::Stopping { channel: channel.clone() };
        let cleared = match rest {
            Rest::Leave => Some(shelf.clear(stopping)),
            Rest::GiveBack | Rest::Resign => {
                shelf.consuming = stopping;
                None
            }
        };
        Some((Some(channel), consumers, rest, shelf.epoch(), cleared))
    });
    let Some((channel, consumers, rest, epoch, cleared)) = begun else { return };
    drop(cleared);
    let background = inner.clone();
    inner.run(async move {
        let no = Consuming::No { not_before: background.clock.now() };
        let (done, next) = match (rest, &channel) {
            (Rest::GiveBack, Some(channel)) => {
                let given = give_back(&queue, &link, channel, consumers, epoch).await;
                (given, Consuming::Resting { channel: channel.clone() })
            }
            (Rest::Leave | Rest::GiveBack | Rest::Resign, channel) => {
                (leave(&queue, &link, channel.as_ref(), epoch).await, no)
            }
        };
        if done.is_err() {
            return background.drop_channel(&queue, epoch);
        }
        let before = queue.change(|shelf| {
            let mine = shelf.epoch() == epoch;
            mine.then(|| std::mem::replace(&mut shelf.consuming, next))
        });
        drop(before);
    });
}

/// Asks for no more, and gives back what nobody holds, in order.
async fn give_back(
    queue: &Queue,
    link: &Link,
    channel: &Channel,
    consumers: Option<u64>,
    epoch: u64,
) -> Result<(), Refusal> {
    if let Some(asked) = consumers {
        for lane in queue.lanes() {
            link.ask(channel.basic_cancel(tag(lane, asked), BasicCancelOptions::default())).await?;
        }
    }
    queue.catch_up();
    give_back_all(queue, link, queue.change(Shelf::give_up), epoch).await
}

async fn give_back_all(
    queue: &Queue,
    link: &Link,
    letters: Vec<Arc<Letter>>,
    epoch: u64,
) -> Result<(), Refusal> {
    for letter in letters {
        link.ask(letter.acker.nack(BasicNackOptions { requeue: true, multiple: false })).await?;
        queue.change_quietly(|shelf| shelf.ended(&letter, epoch));
    }
    Ok(())
}

/// Has what has lain here for long come anew: the server ends a channel on which something is unacknowledged for half an
/// hour, and what others hold would be worked on twice.
pub(crate) fn renew(inner: &Arc<Inner>, queue: Arc<Queue>) {
    let Some(link) = inner.link_now() else { return };
    let before = inner.clock.now() - limits::rabbitmq::UNHELD_MAX;
    let (stale, epoch) = queue.change_quietly(|shelf| {
        let comes_again = matches!(shelf.consuming, Consuming::Yes { .. });
        let stale = if comes_again { shelf.give_up_stale(before) } else { Vec::new() };
        (stale, shelf.epoch())
    });
    if stale.is_empty() {
        return;
    }
    let background = inner.clone();
    inner.run(async move {
        if give_back_all(&queue, &link, stale, epoch).await.is_err() {
            background.drop_channel(&queue, epoch);
        }
    });
}

/// Nothing of the queue is here any more: another process may hand it out.
async fn leave(queue: &Queue, link: &Link, channel: Option<&Channel>, epoch: u64) -> Result<(), Refusal> {
    if let Some(channel) = channel {
        link.ask(channel.close(200, "nobody asks".into())).await?;
    }
    if queue.look(|shelf| shelf.leading) {
        lead::resign(queue, link).await?;
        queue.change(|shelf| shelf.leading &= shelf.epoch() != epoch);
    }
    Ok(())
}
