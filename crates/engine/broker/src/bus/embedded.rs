//! The port `Bus` over the ring: publishing is a push and some wake-ups, and waits for nobody.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::payload::Payload;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::bus::{Bus, BusCapabilities, Heard, Listener, Position};
use forebay_core::time::Instant;
use parking_lot::Mutex;

use super::ring::Ring;

/// What a bus is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusOptions {
    /// Notices kept for listeners that are behind.
    pub notices_max: usize,
    /// Bytes of them.
    pub bytes_max: usize,
}

impl Default for BusOptions {
    fn default() -> Self {
        Self { notices_max: limits::BUS_NOTICES_DEFAULT, bytes_max: limits::BUS_BYTES_DEFAULT }
    }
}

/// The bus of one process. Notices do not survive it; positions do not come again in the next one.
///
/// ```
/// use forebay_broker::{BusOptions, EmbeddedBus};
/// use forebay_core::time::Instant;
///
/// let bus = EmbeddedBus::new(BusOptions::default(), Instant::from_ms(1_700_000_000_000));
/// let before = bus.newest();
/// let position = bus.send("product:7".into())?;
/// assert!(position > before);
/// assert_eq!(bus.newest(), position);
/// # Ok::<(), forebay_core::error::Error>(())
/// ```
pub struct EmbeddedBus {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
}

struct State {
    ring: Ring,
    closed: bool,
    /// Who listens, by number; with a waker while it waits.
    listeners: BTreeMap<u64, Option<Waker>>,
    listener_next: u64,
}

impl EmbeddedBus {
    /// A bus that begins now.
    pub fn new(options: BusOptions, now: Instant) -> Self {
        let ring = Ring::new(Position::first(now), options.notices_max, options.bytes_max);
        let state = State { ring, closed: false, listeners: BTreeMap::new(), listener_next: 0 };
        Self { shared: Arc::new(Shared { state: Mutex::new(state) }) }
    }

    /// Publishes at once; see [`Bus::publish`].
    pub fn send(&self, notice: Payload) -> Result<Position> {
        if notice.len() > limits::NOTICE_BYTES_MAX {
            let context = format!("one of {} bytes, at most 64 KiB", notice.len());
            return Err(Error::new(Kind::TooLarge, "publish notice", context));
        }
        let (position, wakers) = {
            let mut state = self.shared.state.lock();
            if state.closed {
                return Err(closed("publish notice"));
            }
            (state.ring.push(notice), state.wakers())
        };
        wakers.into_iter().for_each(Waker::wake);
        Ok(position)
    }

    /// The newest position; see [`Bus::head`].
    pub fn newest(&self) -> Position {
        self.shared.state.lock().ring.head()
    }

    /// Takes nothing more. Listeners hear what was published, and then `Closed`.
    pub fn close(&self) {
        let wakers = {
            let mut state = self.shared.state.lock();
            state.closed = true;
            state.wakers()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    fn begin(&self, after: Option<Position>) -> Result<Box<dyn Listener>> {
        let mut state = self.shared.state.lock();
        if state.closed {
            return Err(closed("listen to bus"));
        }
        if state.listeners.len() >= limits::BUS_LISTENERS_MAX {
            return Err(Error::new(Kind::Full, "listen to bus", "10000 listen already"));
        }
        let number = state.listener_next;
        state.listener_next += 1;
        state.listeners.insert(number, None);
        let after = after.unwrap_or_else(|| state.ring.head());
        Ok(Box::new(EmbeddedListener { shared: self.shared.clone(), number, after }))
    }
}

impl Drop for EmbeddedBus {
    fn drop(&mut self) {
        self.close();
    }
}

impl State {
    fn wakers(&mut self) -> Vec<Waker> {
        self.listeners.values_mut().filter_map(Option::take).collect()
    }
}

/// What a bus of this process can do: everything.
pub const CAPABILITIES: BusCapabilities = BusCapabilities { ordered: true, once: true, replay: true };

impl Bus for EmbeddedBus {
    fn capabilities(&self) -> BusCapabilities {
        CAPABILITIES
    }

    fn publish(&self, notice: Payload) -> BoxFuture<'_, Result<Position>> {
        Box::pin(async move { self.send(notice) })
    }

    fn head(&self) -> BoxFuture<'_, Result<Position>> {
        Box::pin(async move {
            if self.shared.state.lock().closed { Err(closed("read head of bus")) } else { Ok(self.newest()) }
        })
    }

    fn listen(&self, after: Option<Position>) -> BoxFuture<'_, Result<Box<dyn Listener>>> {
        Box::pin(async move { self.begin(after) })
    }
}

struct EmbeddedListener {
    shared: Arc<Shared>,
    number: u64,
    /// The last place it has heard of.
    after: Position,
}

impl EmbeddedListener {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Heard>> {
        let mut state = self.shared.state.lock();
        if let Some((heard, after)) = state.ring.after(self.after) {
            self.after = after;
            return Poll::Ready(Ok(heard));
        }
        if state.closed {
            return Poll::Ready(Err(closed("listen to bus")));
        }
        state.listeners.insert(self.number, Some(context.waker().clone()));
        Poll::Pending
    }
}

impl Listener for EmbeddedListener {
    fn next(&mut self) -> BoxFuture<'_, Result<Heard>> {
        Box::pin(poll_fn(|context| self.poll(context)))
    }
}

impl Drop for EmbeddedListener {
    fn drop(&mut self) {
        let waker = self.shared.state.lock().listeners.remove(&self.number);
        drop(waker);
    }
}

fn closed(operation: &'static str) -> Error {
    Error::new(Kind::Closed, operation, "it is closed")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::task::Wake;

    use super::*;

    const NOW: Instant = Instant::from_ms(1_700_000_000_000);

    #[test]
    fn listeners_at_the_limit_are_taken_and_beyond_it_refused_until_one_leaves() {
        let bus = EmbeddedBus::new(BusOptions::default(), NOW);
        let mut listeners: Vec<_> =
            (0..limits::BUS_LISTENERS_MAX).map(|_| bus.begin(None).unwrap()).collect();
        assert_eq!(bus.begin(None).err().map(|error| error.kind()), Some(Kind::Full));
        drop(listeners.pop());
        assert!(bus.begin(None).is_ok());
    }

    #[test]
    fn the_largest_notice_is_taken_and_a_larger_one_refused() {
        let bus = EmbeddedBus::new(BusOptions::default(), NOW);
        let send = |bytes: usize| bus.send(vec![0; bytes].into()).map_err(|error| error.kind());
        assert!(send(limits::NOTICE_BYTES_MAX).is_ok());
        assert_eq!(send(limits::NOTICE_BYTES_MAX + 1), Err(Kind::TooLarge));
    }

    #[test]
    fn a_notice_and_a_close_wake_who_waits() {
        struct Woken(AtomicUsize);
        impl Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, SeqCst);
            }
        }
        let woken = Arc::new(Woken(AtomicUsize::new(0)));
        let waker = Waker::from(woken.clone());
        let bus = EmbeddedBus::new(BusOptions::default(), NOW);
        let mut listener = bus.begin(None).unwrap();
        let mut poll = || listener.next().as_mut().poll(&mut Context::from_waker(&waker));
        assert!(poll().is_pending());
        bus.send("notice".into()).unwrap();
        assert_eq!(woken.0.load(SeqCst), 1);
        assert!(matches!(poll(), Poll::Ready(Ok(Heard::Notice { .. }))));
        assert!(poll().is_pending());
        bus.close();
        assert_eq!(woken.0.load(SeqCst), 2);
        assert!(matches!(poll(), Poll::Ready(Err(_))));
    }

    #[test]
    fn a_listener_that_left_is_forgotten() {
        let bus = EmbeddedBus::new(BusOptions::default(), NOW);
        drop(bus.begin(None).unwrap());
        assert!(bus.shared.state.lock().listeners.is_empty());
    }
}
