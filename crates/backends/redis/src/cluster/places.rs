//! Where a store's keys are: with one server, or each with the one of a cluster that has its slot.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use forebay_core::error::{Kind, Result};
use forebay_core::limits;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::clock::{Clock, Run, Work};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::slots::{self, Map, Nodes};
use crate::connect::Target;
use crate::link::{About, Link};
use crate::script::is_moved;
use crate::settings::Settings;

const NAME: &str = "redis store";

pub(crate) enum Places {
    One(Arc<Link>),
    Many(Arc<Many>),
}

/// Its first and last slot, and the link to its master.
type Range = (u16, u16, Arc<Link>);

/// The servers of a cluster, as far as they are known.
pub(crate) struct Many {
    settings: Settings,
    nodes: Nodes,
    clock: Arc<dyn Clock>,
    /// Ranges of slots, each with the link to its master. Nothing before the cluster was asked.
    known: watch::Sender<Arc<Vec<Range>>>,
    /// Somebody was told that slots have moved.
    moved: Notify,
    closing: watch::Sender<bool>,
}

impl Places {
    pub(crate) fn new(settings: &Settings, clock: Arc<dyn Clock>) -> (Self, Work) {
        if !settings.is_cluster() {
            let (link, work) = Link::new(settings.clone(), Target::Master, clock, NAME, Duration::ZERO);
            return (Self::One(link), work);
        }
        let many = Arc::new(Many {
            settings: settings.clone(),
            nodes: Nodes::new(settings),
            clock,
            known: watch::Sender::new(Arc::default()),
            moved: Notify::new(),
            closing: watch::Sender::new(false),
        });
        let run = Run::Task(Box::pin(many.clone().supervise()));
        (Self::Many(many), Work { name: NAME, run })
    }

    pub(crate) fn close(&self) {
        match self {
            Self::One(link) => link.close(),
            Self::Many(many) => {
                many.closing.send_replace(true);
                many.known.borrow().iter().for_each(|(_, _, link)| link.close());
            }
        }
    }

    /// Waits until connections stand to all servers.
    pub(crate) async fn stand(&self, about: About<'_>, patience: Duration) -> Result<()> {
        match self {
            Self::One(link) => link.stand(about, patience).await.map(|_| ()),
            Self::Many(many) => {
                let end = Instant::now() + patience;
                let mut known = many.known.subscribe();
                let unknown = || about.error(Kind::Unavailable).because("no server of the cluster answers");
                let came = timeout(patience, known.wait_for(|known| !known.is_empty())).await;
                let links = came.map_err(|_| unknown())?.map_err(|_| unknown())?.clone();
                for (_, _, link) in links.iter() {
                    link.stand(about, end.saturating_duration_since(Instant::now())).await?;
                }
                Ok(())
            }
        }
    }

    /// Whether one server has all keys and is known to drop none before its time.
    pub(crate) fn keeps_all(&self) -> bool {
        match self {
            Self::One(link) => link.facts().is_some_and(|facts| !facts.evicts),
            Self::Many(_) => false,
        }
    }

    /// Whether one server has all keys and is known to keep what it has confirmed, whatever becomes of it.
    pub(crate) fn loses_nothing(&self) -> bool {
        match self {
            Self::One(link) => link.facts().is_some_and(|facts| facts.loses_nothing()),
            Self::Many(_) => false,
        }
    }

    /// Does something at the server that has the key; once more where it was told that another has it by now, which is before
    /// anything was done. Whoever has it is waited for until the end, which what is done keeps, too.
    pub(crate) async fn at<T, F: Future<Output = Result<T>>>(
        &self,
        about: About<'_>,
        key: &[u8],
        end: Instant,
        act: impl Fn(Arc<Link>) -> F,
    ) -> Result<T> {
        let many = match self {
            Self::One(link) => return act(link.clone()).await,
            Self::Many(many) => many,
        };
        if *many.closing.borrow() {
            return Err(about.error(Kind::Closed));
        }
        let slot = slots::of(key);
        let unknown =
            || about.error(Kind::Unavailable).because("no server of the cluster is known to have its slot");
        let mut known = many.known.subscribe();
        let done = match act(many.link_of(slot).ok_or_else(unknown)?).await {
            Err(error) if is_moved(&error) => {
                many.moved.notify_one();
                if timeout_at(end, known.changed()).await.is_err() {
                    return Err(error);
                }
                act(many.link_of(slot).ok_or_else(unknown)?).await
            }
            done => done,
        };
        match done {
            // It is its link that was closed, and not the store.
            Err(error) if error.kind() == Kind::Closed && !*many.closing.borrow() => {
                Err(about.error(Kind::Unavailable).because("its server is no master of the cluster any more"))
            }
            done => done,
        }
    }
}

impl Many {
    fn link_of(&self, slot: u16) -> Option<Arc<Link>> {
        let known = self.known.borrow();
        let range = known.iter().find(|(first, last, _)| (*first..=*last).contains(&slot));
        range.map(|(_, _, link)| link.clone())
    }

    /// Asks the cluster now and then, and whenever slots have moved, and keeps a link to each master.
    async fn supervise(self: Arc<Self>) {
        let mut links: HashMap<String, Arc<Link>> = HashMap::new();
        let mut running: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
        let mut closing = self.closing.subscribe();
        loop {
            let mut ask = Box::pin(slots::ask(&self.settings, &self.nodes));
            let asked = loop {
                tokio::select! {
                    asked = &mut ask => break asked,
                    Some(()) = running.next() => {}
                    () = is_true(&mut closing) => return end(&links, running).await,
                }
            };
            let mut pause = limits::redis::SLOTS_PAUSE;
            match asked {
                Ok(map) => self.take_up(&map, &mut links, &running),
                Err(_) => pause = limits::redis::CONNECT_PAUSE_MAX,
            }
            let mut rest = Box::pin(sleep(pause));
            loop {
                tokio::select! {
                    () = &mut rest => break,
                    () = self.moved.notified() => break,
                    Some(()) = running.next() => {}
                    () = is_true(&mut closing) => return end(&links, running).await,
                }
            }
        }
    }

    /// Makes links to masters that are new, and closes those that are none any more.
    fn take_up(
        &self,
        map: &Map,
        links: &mut HashMap<String, Arc<Link>>,
        running: &FuturesUnordered<BoxFuture<'static, ()>>,
    ) {
        let mut present = HashMap::new();
        let mut known = Vec::new();
        for (first, last, master) in map.ranges() {
            let address = master.addr().to_string();
            let link = present.entry(address.clone()).or_insert_with(|| {
                links.remove(&address).unwrap_or_else(|| {
                    let target = Target::Node(master.clone());
                    let (link, work) =
                        Link::new(self.settings.clone(), target, self.clock.clone(), NAME, Duration::ZERO);
                    if let Run::Task(task) = work.run {
                        running.push(task);
                    }
                    link
                })
            });
            known.push((first, last, link.clone()));
        }
        std::mem::replace(links, present).values().for_each(|link| link.close());
        self.known.send_replace(Arc::new(known));
    }
}

/// Is ready once it is so, or nobody is left who could make it so.
async fn is_true(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}

async fn end(links: &HashMap<String, Arc<Link>>, mut running: FuturesUnordered<BoxFuture<'static, ()>>) {
    links.values().for_each(|link| link.close());
    while running.next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use forebay_runtime::clock::TokioClock;
    use redis::{ErrorKind, RedisError, ServerErrorKind};

    use super::*;

    /// A cluster whose slots all have this master.
    fn all_with(port: u16) -> Map {
        Map::of_one(format!("redis://127.0.0.1:{port}").as_str())
    }

    #[tokio::test]
    async fn a_call_to_a_master_that_is_none_any_more_may_be_tried_again_and_is_closed_only_with_the_store() {
        let settings = Settings::parse("redis-cluster://127.0.0.1:1").unwrap();
        let (places, _work) = Places::new(&settings, Arc::new(TokioClock::new()));
        let Places::Many(many) = &places else { panic!("a cluster") };
        let (mut links, running) = (HashMap::new(), FuturesUnordered::new());
        many.take_up(&all_with(1), &mut links, &running);
        let about = About { operation: "read", on: "key" };
        let call = || {
            places.at(about, b"key", settings.end_of(0), |link| async move {
                link.closed().await;
                Err::<(), _>(about.error(Kind::Closed))
            })
        };
        let ended = tokio::join!(call(), async { many.take_up(&all_with(2), &mut links, &running) }).0;
        assert_eq!(ended.unwrap_err().kind(), Kind::Unavailable);
        let ended = tokio::join!(call(), async { places.close() }).0;
        assert_eq!(ended.unwrap_err().kind(), Kind::Closed);
    }

    #[tokio::test]
    async fn who_has_a_key_that_moved_is_waited_for_no_longer_than_the_call_may_last() {
        let settings = Settings::parse("redis-cluster://127.0.0.1:1?timeout_ms=60000").unwrap();
        let (places, _work) = Places::new(&settings, Arc::new(TokioClock::new()));
        let Places::Many(many) = &places else { panic!("a cluster") };
        many.take_up(&all_with(1), &mut HashMap::new(), &FuturesUnordered::new());
        let about = About { operation: "read", on: "key" };
        let moved = || RedisError::from((ErrorKind::Server(ServerErrorKind::Moved), "it moved"));
        let end = Instant::now() + Duration::from_millis(100);
        let called = places.at(about, b"key", end, |_| async {
            Err::<(), _>(about.error(Kind::Unavailable).because(moved()))
        });
        let answer = timeout(Duration::from_secs(20), called).await;
        assert_eq!(answer.expect("the call's end is long over").unwrap_err().kind(), Kind::Unavailable);
    }
}
