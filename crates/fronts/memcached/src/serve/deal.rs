//! Dealing connections out evenly among the threads that serve them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{JoinError, JoinSet};

use crate::backing::Backing;
use crate::shared::Shared;

/// Begins to serve a connection, on the thread that it was dealt to.
type Begin = Box<dyn FnOnce(&mut JoinSet<()>) + Send>;

/// Knows how many connections each thread has, and gives a new one to the thread that has the fewest.
pub(crate) struct Deal {
    threads: Vec<(Arc<AtomicUsize>, UnboundedSender<Begin>)>,
}

/// The connections of one thread.
pub(crate) struct Hand {
    /// What was dealt to it and is not begun. Each holds a seat, of which there are only so many.
    dealt: UnboundedReceiver<Begin>,
}

/// A connection's place in a thread's count, given back when dropped.
pub(crate) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Deal {
    /// For so many threads.
    pub(crate) fn among(count: usize) -> (Self, Vec<Hand>) {
        let (threads, hands) = (0..count)
            .map(|_| {
                let (to, dealt) = unbounded_channel();
                ((Arc::default(), to), Hand { dealt })
            })
            .unzip();
        (Self { threads }, hands)
    }

    /// Lets `begin` be called on the thread that has the fewest connections.
    pub(crate) fn deal(&self, begin: impl FnOnce(&mut JoinSet<()>, Place) + Send + 'static) {
        let Some((count, to)) = self.threads.iter().min_by_key(|(count, _)| count.load(Relaxed)) else {
            return;
        };
        count.fetch_add(1, Relaxed);
        let place = Place(Arc::clone(count));
        // Refused only by a thread that is gone; the connection is then closed.
        let _ = to.send(Box::new(move |connections| begin(connections, place)));
    }
}

impl Hand {
    /// Serves what is dealt, until nobody deals any more and the connections have ended.
    pub(crate) async fn serve<S: Backing>(mut self, shared: Arc<Shared<S>>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                dealt = self.dealt.recv() => match dealt {
                    Some(begin) => begin(&mut connections),
                    None => break,
                },
                Some(ended) = connections.join_next() => report(ended),
            }
        }
        drain(connections, &shared).await;
    }
}

/// Waits for connections to end. A client that does not take its answers is not waited for longer than the drain time.
async fn drain<S: Backing>(mut connections: JoinSet<()>, shared: &Shared<S>) {
    let over = shared.clock.sleep_until(shared.clock.now() + shared.options.drain);
    tokio::pin!(over);
    loop {
        tokio::select! {
            ended = connections.join_next() => match ended {
                Some(ended) => report(ended),
                None => break,
            },
            () = &mut over => break,
        }
    }
}

/// A connection that panicked is gone; the others go on.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "serve memcached connection failed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_with_the_fewest_connections_gets_the_next() {
        let (deal, mut hands) = Deal::among(3);
        let places = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let mut next = || {
            let kept = Arc::clone(&places);
            deal.deal(move |_, place| kept.lock().push(place));
            let dealt = hands.iter_mut().enumerate();
            let mut got = dealt.filter_map(|(number, hand)| Some((number, hand.dealt.try_recv().ok()?)));
            let (number, begin) = got.next().unwrap();
            begin(&mut JoinSet::new());
            number
        };
        assert_eq!([next(), next(), next(), next()], [0, 1, 2, 0]);
        drop(places.lock().remove(2));
        assert_eq!([next(), next(), next()], [2, 1, 2]);
    }
}
