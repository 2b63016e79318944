//! What every case stands on: a server lent to one case at a time because some restart it, and a bus of its own there.

use std::sync::Arc;
use std::time::Duration;

use forebay_contract::ground::Ground as Process;
use forebay_contract::servers::lent::{Lent, Pool};
use forebay_contract::servers::rabbitmq::RabbitMq;
use forebay_core::ports::bus::tape::Kept;
use forebay_rabbitmq::bus::RabbitBus;
use forebay_rabbitmq::settings::RabbitSettings;
use forebay_runtime::clock::TokioClock;

/// What a listener may be behind.
pub(crate) const NOTICES: usize = 40;
/// How long a call of the bus takes at most.
pub(crate) const WAIT: Duration = Duration::from_secs(10);
/// No call of a test takes longer.
const CALL_MAX: Duration = Duration::from_secs(90);

static SERVERS: Pool<RabbitMq> = Pool::new(2, || Some(RabbitMq::start()));

pub(crate) struct Ground {
    pub(crate) bus: RabbitBus,
    pub(crate) process: Process,
    pub(crate) server: Lent<RabbitMq>,
}

impl Ground {
    pub(crate) fn new() -> Self {
        let (server, process) = (SERVERS.lend().unwrap(), Process::new(CALL_MAX));
        let bus = open(&process, &options(&server, &server.url(), WAIT), NOTICES);
        Self { bus, process, server }
    }

    /// Another bus of the same name, by this URL, with its own patience. Its listeners may be behind as far as there is anything:
    /// a gap is what the server has lost.
    pub(crate) fn another(&self, url: &str, wait: Duration) -> RabbitBus {
        open(&self.process, &options(&self.server, url, wait), usize::MAX)
    }

    pub(crate) fn reopen(&mut self) {
        self.bus = open(&self.process, &options(&self.server, &self.server.url(), WAIT), NOTICES);
    }

    /// What its stream is called on the server.
    pub(crate) fn stream(&self) -> String {
        format!("case{}.forebay.bus", self.server.turn)
    }

    pub(crate) fn on<T>(&self, future: impl Future<Output = T>) -> T {
        self.process.run(future)
    }
}

fn options(server: &Lent<RabbitMq>, url: &str, wait: Duration) -> String {
    format!("{url}?prefix=case{}.&heartbeat_s=2&wait_ms={}", server.turn, wait.as_millis())
}

fn open(process: &Process, url: &str, notices: usize) -> RabbitBus {
    let kept = Kept { notices, ..Kept::default() };
    let clock = process.run(async { Arc::new(TokioClock::new()) });
    let (bus, works) = RabbitBus::open(RabbitSettings::parse(url).unwrap(), kept, clock);
    process.spawn(works);
    bus
}
