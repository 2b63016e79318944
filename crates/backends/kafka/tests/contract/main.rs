//! Kafka keeps what every broker promises, on a real server.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod processes;
mod topics;

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use forebay_contract::broker::Rig;
use forebay_contract::broker::pace::Pace;
use forebay_contract::ground::Ground;
use forebay_contract::servers::kafka::Kafka;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::broker::{Broker, BrokerAdmin};
use forebay_core::ports::clock::Clock;
use forebay_core::time::Instant;
use forebay_kafka::broker::KafkaBroker;
use forebay_kafka::settings::KafkaSettings;
use forebay_runtime::clock::TokioClock;

use tokio::task::JoinHandle;

/// One server for all cases; each has queues of its own.
static SERVER: OnceLock<Option<Kafka>> = OnceLock::new();

fn server() -> Option<&'static Kafka> {
    SERVER.get_or_init(Kafka::start).as_ref()
}

/// Whether there is a server; it is said if not.
fn there() -> bool {
    server().is_some()
}

/// No call of a test takes longer.
const CALL_MAX: Duration = Duration::from_secs(60);

struct Real {
    settings: KafkaSettings,
    clock: Arc<dyn Clock>,
    broker: Option<KafkaBroker>,
    work: Vec<JoinHandle<()>>,
    /// What it runs on: it goes last.
    ground: Ground,
}

/// Queues of one partition: their order is that of arrival.
fn one_partition() -> Real {
    real(1)
}

fn some_partitions() -> Real {
    real(3)
}

fn real(partitions: u32) -> Real {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let case = NEXT.fetch_add(1, Relaxed);
    let server = server().expect("cases are passed over without a server").url();
    let url = format!("{server}?prefix=case{case}.&partitions={partitions}&session_ms=2000");
    let ground = Ground::new(CALL_MAX);
    let clock = ground.run(async { Arc::new(TokioClock::new()) });
    let settings = KafkaSettings::parse(&url).unwrap();
    let mut rig = Real { settings, clock, ground, broker: None, work: Vec::new() };
    rig.open();
    rig
}

impl Real {
    fn open(&mut self) {
        let opened = KafkaBroker::open(self.settings.clone(), self.clock.clone());
        self.work = self.ground.spawn(opened.work);
        self.broker = Some(opened.broker);
    }
}

impl Rig for Real {
    fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(self.broker.clone().unwrap())
    }

    fn admin(&self) -> Option<Arc<dyn BrokerAdmin>> {
        Some(Arc::new(self.broker.clone().unwrap()))
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn pace(&self) -> Pace {
        // Joining a group takes a while.
        let (a_while, late) = (Duration::from_secs(2), Duration::from_millis(250));
        Pace { a_while, late, ..Pace::SERVER }
    }

    fn pass(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn run(&self, future: BoxFuture<'_, ()>) {
        self.ground.run(future);
    }

    fn poll(&self, future: &mut BoxFuture<'_, ()>) -> bool {
        self.ground.run_for(self.pace().quiet, future)
    }

    fn close(&self) {
        self.broker.as_ref().unwrap().close();
    }

    fn reopen(&mut self) {
        self.ground.join(std::mem::take(&mut self.work));
        self.open();
    }

    fn crash(&mut self) {
        self.work.drain(..).for_each(|work| work.abort());
        self.broker = None;
        self.reopen();
    }
}

mod on_one_partition {
    use super::{one_partition, there};
    forebay_contract::broker!(one_partition if there);
}
