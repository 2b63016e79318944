//! A load on buses of one name, as several processes have them: each publishes, and on each it is listened to all of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use forebay_core::payload::Payload;
use forebay_core::ports::bus::{Bus, Position};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::sleep;

use super::ear::Ear;
use super::load::{Calls, Load, Seen};
use super::{Bounds, Outage};

/// The pause after a refusal: a bus that does not wait for its server refuses at once.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);

/// What is loaded, and what it promises.
pub struct Buses {
    /// As each process has it.
    pub all: Vec<Arc<dyn Bus>>,
    /// Whatever is done to the server, everything that was confirmed is heard: nobody is told of a gap. Else it is heard or
    /// lies in a gap.
    pub keep_all: bool,
    /// After so long nobody may be deaf any more.
    pub deaf_max: Duration,
}

impl Outage {
    /// Begins to publish on each of these buses and to listen on all, and waits until everything goes on.
    pub fn begin_on_buses(handle: &Handle, buses: &Buses, bounds: Bounds) -> Self {
        let mut outage = Self::new(handle, bounds, buses.deaf_max);
        for (number, bus) in buses.all.iter().enumerate() {
            let ears = buses.all.iter().flat_map(|bus| {
                (0..bounds.consumers).map(move |_| Ear::of(handle, bus.clone(), buses.deaf_max))
            });
            let publisher = Arc::new(Publisher {
                number,
                bus: bus.clone(),
                pace: bounds.pace,
                keep_all: buses.keep_all,
                confirmed: Mutex::default(),
                ears: ears.collect(),
                calls: Calls::default(),
            });
            outage.load(publisher.clone(), handle.spawn(publisher.publish()), Vec::new());
        }
        outage.begun()
    }
}

/// One who publishes on one of the buses, and who listens to that.
struct Publisher {
    number: usize,
    bus: Arc<dyn Bus>,
    pace: Duration,
    keep_all: bool,
    confirmed: Mutex<BTreeMap<Position, Payload>>,
    ears: Vec<Ear>,
    calls: Calls,
}

impl Publisher {
    async fn publish(self: Arc<Self>) {
        let (mut turn, mut last) = (0_u64, Position::START);
        while !self.calls.is_to_stop() {
            turn += 1;
            let notice = Payload::from(format!("{turn} of {}", self.number));
            let begun = Instant::now();
            let published = self.bus.publish(notice.clone()).await;
            self.calls.took(begun.elapsed());
            match published {
                Ok(position) => {
                    assert!(position > last, "{position:?} is given after {last:?}");
                    last = position;
                    self.confirmed.lock().insert(position, notice);
                }
                Err(error) => {
                    self.calls.refuse(&error);
                    sleep(REFUSED_PAUSE).await;
                }
            }
            sleep(self.pace).await;
        }
        self.calls.ended.store(true, SeqCst);
    }
}

impl Load for Publisher {
    fn name(&self) -> String {
        format!("bus {}", self.number)
    }

    fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Confirmed, and heard by each ear.
    fn counts(&self, more: u64) -> Vec<u64> {
        let confirmed = self.confirmed.lock().len();
        let heard = self.ears.iter().map(Ear::count);
        std::iter::once(confirmed).chain(heard).map(|count| count as u64 + more).collect()
    }

    /// Confirmed, and not known of by every ear.
    fn missing(&self) -> Vec<u64> {
        let confirmed = self.confirmed.lock();
        let missing = self.ears.iter().flat_map(|ear| ear.missing(confirmed.keys()));
        missing.map(|position| position.0).collect()
    }

    /// Fails if a confirmed notice was heard as another one, or a gap was heard where there is none.
    fn check(&self) -> Seen {
        let confirmed = self.confirmed.lock();
        for ear in &self.ears {
            let gaps = ear.gaps();
            assert!(!self.keep_all || gaps.is_empty(), "the server has kept all of it: {gaps:?}");
            ear.check(&confirmed);
            self.calls.took(ear.slowest());
        }
        let again = self.ears.iter().map(Ear::again).sum();
        Seen { confirmed: confirmed.len() as u64, again }
    }
}
