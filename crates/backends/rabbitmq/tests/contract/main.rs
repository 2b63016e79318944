//! RabbitMQ keeps what every broker promises, on the real server.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod looks;
mod ordered;
mod processes;
mod records;

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use forebay_contract::broker::Rig;
use forebay_contract::broker::pace::Pace;
use forebay_contract::ground::Ground;
use forebay_contract::servers::rabbitmq::RabbitMq;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::broker::{Broker, BrokerAdmin};
use forebay_core::ports::clock::Clock;
use forebay_core::time::Instant;
use forebay_rabbitmq::broker::RabbitBroker;
use forebay_rabbitmq::settings::RabbitSettings;
use forebay_runtime::clock::TokioClock;
use tokio::task::JoinHandle;

/// One server for all cases; each has queues of its own.
static SERVER: OnceLock<RabbitMq> = OnceLock::new();

/// No call of a test takes longer.
const CALL_MAX: Duration = Duration::from_secs(60);

struct Real {
    settings: RabbitSettings,
    clock: Arc<dyn Clock>,
    broker: Option<RabbitBroker>,
    work: Vec<JoinHandle<()>>,
    /// What it runs on: it goes last.
    ground: Ground,
}

fn quorum() -> Real {
    real("quorum")
}

fn classic() -> Real {
    real("classic")
}

fn real(queues: &str) -> Real {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let prefix = NEXT.fetch_add(1, Relaxed);
    let url = format!("{}?prefix=case{prefix}.&queues={queues}", SERVER.get_or_init(RabbitMq::start).url());
    let ground = Ground::new(CALL_MAX);
    let clock = ground.run(async { Arc::new(TokioClock::new()) });
    let settings = RabbitSettings::parse(&url).unwrap();
    let mut rig = Real { settings, clock, ground, broker: None, work: Vec::new() };
    rig.open();
    rig
}

impl Real {
    fn open(&mut self) {
        let opened = RabbitBroker::open(self.settings.clone(), self.clock.clone());
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
        Pace::SERVER
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

mod on_quorum_queues {
    use super::quorum;
    forebay_contract::broker!(quorum);
}

mod on_classic_queues {
    use super::classic;
    forebay_contract::broker!(classic);
}
