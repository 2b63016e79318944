//! Where receivers wait. One task takes for all of them, in turn: a receiver that is gone by the time its messages come has
//! taken nothing, because the desk gives them to the next one, or back.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use forebay_core::delivery::{Delivery, DeliveryId};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::ports::BoxFuture;
use forebay_core::queue::QueueName;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::session::{Back, Session, Taken};
use crate::bell::Rung;
use crate::link::About;

/// A receiver that waits.
pub(super) struct Request {
    pub(super) queue: QueueName,
    pub(super) count: usize,
    pub(super) hold: Option<Duration>,
    pub(super) until: Instant,
    pub(super) answer: oneshot::Sender<Result<Handed>>,
}

type Returns = mpsc::UnboundedSender<(QueueName, DeliveryId)>;

/// Deliveries on their way to a receiver. Where it is gone before it sees them, they go back.
pub(super) struct Handed {
    deliveries: Vec<Delivery>,
    back: Returns,
}

impl Handed {
    pub(super) fn take(mut self) -> Vec<Delivery> {
        std::mem::take(&mut self.deliveries)
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        for delivery in self.deliveries.drain(..) {
            // Where the desk is gone, the hold runs out.
            let _ = self.back.send((delivery.queue, delivery.id));
        }
    }
}

/// Those who wait on one queue.
#[derive(Default)]
struct Line {
    waiting: VecDeque<Waiting>,
    /// The number of the take that is on its way, and when it is late.
    taking: Option<(u64, Instant)>,
    /// Something has happened since it began.
    again: bool,
    /// When to look without having been told to.
    look_at: Option<Instant>,
}

struct Waiting {
    request: Request,
    /// A take began after it came, and has not shown that there is more.
    tried: bool,
}

/// A take on its way.
struct Take {
    queue: QueueName,
    number: u64,
    count: usize,
    hold: Option<Duration>,
    token: u32,
    /// It was sent. Where its answer is lost, messages may be held by nobody.
    was_sent: bool,
    result: Result<Taken>,
}

pub(super) struct Desk {
    session: Arc<Session>,
    requests: mpsc::Receiver<Request>,
    rung: mpsc::Receiver<Rung>,
    back: Returns,
    returned: mpsc::UnboundedReceiver<(QueueName, DeliveryId)>,
    lines: HashMap<QueueName, Line>,
    takes: FuturesUnordered<BoxFuture<'static, Take>>,
    returning: FuturesUnordered<BoxFuture<'static, ()>>,
    number: u64,
}

impl Desk {
    pub(super) fn new(
        session: Arc<Session>,
        requests: mpsc::Receiver<Request>,
        rung: mpsc::Receiver<Rung>,
    ) -> Self {
        let (back, returned) = mpsc::unbounded_channel();
        let (takes, returning) = (FuturesUnordered::new(), FuturesUnordered::new());
        Self { session, requests, rung, back, returned, lines: HashMap::new(), takes, returning, number: 0 }
    }

    /// Serves until the broker is closed or dropped, then gives back what came too late for anybody.
    pub(super) async fn serve(mut self) {
        let session = self.session.clone();
        loop {
            let next = self.lines.values().filter_map(Line::next).min();
            let next = next.unwrap_or_else(|| Instant::now() + limits::redis::LOOK_PAUSE);
            tokio::select! {
                biased;
                () = session.closing() => break,
                Some(take) = self.takes.next() => self.taken(take),
                Some(()) = self.returning.next() => {}
                Some((queue, id)) = self.returned.recv() => self.give_back(queue, id, Back::Unseen),
                Some(rung) = self.rung.recv() => self.look(&rung),
                request = self.requests.recv() => match request {
                    Some(request) => self.enter(request),
                    None => break,
                },
                () = sleep_until(next) => self.tick(),
            }
        }
        self.end().await;
    }

    async fn end(mut self) {
        self.requests.close();
        let mut waiting: Vec<Request> = Vec::new();
        while let Ok(request) = self.requests.try_recv() {
            waiting.push(request);
        }
        waiting.extend(self.lines.drain().flat_map(|(_, line)| line.waiting).map(|waiting| waiting.request));
        for request in waiting {
            let closed = about(&request.queue).error(Kind::Closed);
            let _ = request.answer.send(Err(closed));
        }
        let session = self.session.clone();
        let tidy = async {
            while let Some(take) = self.takes.next().await {
                self.taken(take);
            }
            while let Ok((queue, id)) = self.returned.try_recv() {
                self.give_back(queue, id, Back::Unseen);
            }
            while self.returning.next().await.is_some() {}
        };
        // What cannot be given back in this time comes back when its hold runs out.
        let _ = timeout(session.link.settings.timeout, tidy).await;
        session.link.close();
    }

    fn enter(&mut self, request: Request) {
        let queue = request.queue.clone();
        let line = self.lines.entry(queue.clone()).or_default();
        line.waiting.push_back(Waiting { request, tried: false });
        self.begin_or_remember(&queue);
    }

    fn look(&mut self, rung: &Rung) {
        match rung {
            Rung::For(name) => {
                if let Ok(queue) = QueueName::new(name) {
                    self.begin_or_remember(&queue);
                }
            }
            Rung::ForAll => {
                let queues: Vec<QueueName> = self.lines.keys().cloned().collect();
                queues.iter().for_each(|queue| self.begin_or_remember(queue));
            }
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        let mut due = Vec::new();
        for (queue, line) in &mut self.lines {
            if line.taking.is_some_and(|(_, late_at)| late_at <= now) {
                // Whatever it still brings is handed out then; the line goes on.
                line.taking = None;
                line.look_at = Some(now);
            }
            line.answer_in_vain(now, &self.back);
            if line.taking.is_none() && line.look_at.is_some_and(|at| at <= now) {
                due.push(queue.clone());
            }
        }
        due.iter().for_each(|queue| self.begin_or_remember(queue));
        self.lines.retain(|_, line| !line.is_idle());
    }

    /// Begins a take for those who wait on the queue, unless one is on its way.
    fn begin_or_remember(&mut self, queue: &QueueName) {
        let Some(line) = self.lines.get_mut(queue) else { return };
        if line.taking.is_some() {
            line.again = true;
            return;
        }
        line.waiting.retain(|waiting| !waiting.request.answer.is_closed());
        line.look_at = None;
        line.again = false;
        let Some(first) = line.waiting.front() else {
            self.lines.remove(queue);
            return;
        };
        let hold = first.request.hold;
        let mut count = 0_usize;
        for waiting in &mut line.waiting {
            if waiting.request.hold == hold {
                count = (count + waiting.request.count).min(limits::RECEIVE_DELIVERIES_MAX);
            }
            // Where the take finds nothing, there is nothing for any hold.
            waiting.tried = true;
        }
        self.number += 1;
        let settings = &self.session.link.settings;
        let late_at = Instant::now() + settings.patience + settings.timeout;
        line.taking = Some((self.number, late_at));
        let (session, queue, number) = (self.session.clone(), queue.clone(), self.number);
        let token = (session.clock.random() >> 32) as u32;
        self.takes.push(Box::pin(async move {
            let (was_sent, result) = match session.stand(&queue).await {
                Ok(()) => (true, session.take(&queue, count, hold, token).await),
                Err(error) => (false, Err(error)),
            };
            Take { queue, number, count, hold, token, was_sent, result }
        }));
    }

    fn taken(&mut self, take: Take) {
        let now = Instant::now();
        let (mut left, mut unread) = (VecDeque::new(), Vec::new());
        let line = self.lines.entry(take.queue.clone()).or_default();
        if line.taking.is_some_and(|(number, _)| number == take.number) {
            line.taking = None;
        }
        match take.result {
            Ok(taken) => {
                let count = taken.deliveries.len() + taken.unread.len();
                let may_have_more = count >= take.count || taken.due_in == Some(Duration::ZERO);
                let due = taken.due_in.unwrap_or(limits::redis::LOOK_PAUSE).min(limits::redis::LOOK_PAUSE);
                line.look_at = Some(now + due);
                left.extend(taken.deliveries);
                unread = taken.unread;
                line.hand_out(&mut left, take.hold, &self.back);
                if may_have_more {
                    line.waiting.iter_mut().for_each(|waiting| waiting.tried = false);
                }
                line.answer_in_vain(now, &self.back);
            }
            Err(error) => {
                line.look_at = Some(now + limits::redis::LOOK_PAUSE);
                // Also where the answer came and cannot be read.
                if take.was_sent && !matches!(error.kind(), Kind::NotFound | Kind::Closed) {
                    self.returning.push(Box::pin(reclaim(
                        self.session.clone(),
                        take.queue.clone(),
                        take.token,
                    )));
                }
                let about = about(&take.queue);
                // Those who came while it was on its way ask for themselves.
                let failed = |waiting: &Waiting| waiting.tried;
                let (failed, others) = line.waiting.drain(..).partition(failed);
                line.waiting = others;
                let failed: VecDeque<Waiting> = failed;
                for waiting in failed {
                    let _ = waiting.request.answer.send(Err(about.again(&error)));
                }
                line.again |= !line.waiting.is_empty();
            }
        }
        for delivery in left {
            self.give_back(delivery.queue, delivery.id, Back::Unseen);
        }
        for id in unread {
            let back = self.session.unread(&take.queue, id.position, Back::Unread);
            self.give_back(take.queue.clone(), id, back);
        }
        if self.lines.get(&take.queue).is_some_and(|line| line.again || line.has_untried()) {
            self.begin_or_remember(&take.queue);
        }
        if self.lines.get(&take.queue).is_some_and(Line::is_idle) {
            self.lines.remove(&take.queue);
        }
    }

    fn give_back(&mut self, queue: QueueName, id: DeliveryId, back: Back) {
        let session = self.session.clone();
        self.returning.push(Box::pin(async move {
            for _ in 0..limits::SETTLE_TRIES_MAX {
                match session.give_back(&queue, id, back).await {
                    // Away: what nobody gives back comes back when its hold runs out.
                    Err(error) if error.kind() == Kind::Unavailable => sleep(limits::redis::LOOK_PAUSE).await,
                    Ok(()) | Err(_) => return,
                }
            }
        }));
    }
}

/// Tries until the server is there again and has given back what it handed to nobody; a hold runs out at last.
async fn reclaim(session: Arc<Session>, queue: QueueName, token: u32) {
    for _ in 0..limits::redis::RECLAIM_TRIES_MAX {
        match session.reclaim(&queue, token).await {
            Err(error) if error.kind() == Kind::Unavailable => sleep(limits::redis::LOOK_PAUSE).await,
            Ok(()) | Err(_) => return,
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.session.link.close();
    }
}

impl Line {
    /// When something is to be done without anything happening.
    fn next(&self) -> Option<Instant> {
        let ends = self.waiting.iter().map(|waiting| waiting.request.until);
        match self.taking {
            Some((_, late_at)) => Some(late_at),
            None => ends.chain(self.look_at).min(),
        }
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.taking.is_none()
    }

    fn has_untried(&self) -> bool {
        self.waiting.iter().any(|waiting| !waiting.tried)
    }

    /// Gives the deliveries to those who wait, in turn; what nobody took stays in `deliveries`.
    fn hand_out(&mut self, deliveries: &mut VecDeque<Delivery>, hold: Option<Duration>, back: &Returns) {
        while !deliveries.is_empty() {
            let Some(place) = self.waiting.iter().position(|waiting| waiting.request.hold == hold) else {
                return;
            };
            let Some(Waiting { request, .. }) = self.waiting.remove(place) else { return };
            let part = deliveries.drain(..request.count.min(deliveries.len())).collect();
            let handed = Handed { deliveries: part, back: back.clone() };
            if let Err(Ok(handed)) = request.answer.send(Ok(handed)) {
                // It is gone: the next one's.
                for delivery in handed.take().into_iter().rev() {
                    deliveries.push_front(delivery);
                }
            }
        }
    }

    /// Tells those whose time is over that there was nothing.
    fn answer_in_vain(&mut self, now: Instant, back: &Returns) {
        let over = |waiting: &Waiting| waiting.tried && waiting.request.until <= now;
        if self.taking.is_some() || !self.waiting.iter().any(over) {
            return;
        }
        let (over, others): (Vec<_>, Vec<_>) = self.waiting.drain(..).partition(over);
        self.waiting = others.into();
        for waiting in over {
            let nothing = Handed { deliveries: Vec::new(), back: back.clone() };
            let _ = waiting.request.answer.send(Ok(nothing));
        }
    }
}

fn about(queue: &QueueName) -> About<'_> {
    About { operation: "receive from queue", on: queue.as_str() }
}

/// What a receiver is told that nobody serves.
pub(super) fn unserved(queue: &QueueName, kind: Kind) -> Error {
    about(queue).error(kind)
}
