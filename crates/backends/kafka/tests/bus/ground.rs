//! What every case stands on: a server lent to one case at a time because some restart it, and a bus of its own there.

use std::sync::Arc;
use std::time::Duration;

use forebay_contract::ground::Ground as Process;
use forebay_contract::servers::kafka::Kafka;
use forebay_contract::servers::lent::{Lent, Pool};
use forebay_contract::servers::wire::Does;
use forebay_core::ports::bus::tape::Kept;
use forebay_kafka::bus::KafkaBus;
use forebay_kafka::settings::KafkaSettings;
use forebay_runtime::clock::TokioClock;

/// What a listener may be behind.
pub(crate) const NOTICES: usize = 40;
/// How long a call of the bus takes at most: longer than a busy machine needs.
pub(crate) const WAIT: Duration = Duration::from_secs(60);
/// No call of a test takes longer.
const CALL_MAX: Duration = Duration::from_secs(120);

static SERVERS: Pool<Kafka> = Pool::new(2, Kafka::start);

pub(crate) struct Ground {
    pub(crate) bus: KafkaBus,
    pub(crate) process: Process,
    pub(crate) server: Lent<Kafka>,
}

impl Ground {
    /// `None` where there is no server.
    pub(crate) fn new() -> Option<Self> {
        let (server, process) = (SERVERS.lend()?, Process::new(CALL_MAX));
        // Whoever was lent it before may have cut it.
        server.wire.cut(Does::Pass);
        let bus = open(&process, &options(&server, &server.url(), WAIT), NOTICES);
        Some(Self { bus, process, server })
    }

    /// Another bus of the same name, by this URL, with its own patience. Its listeners may be behind as far as there is anything:
    /// a gap is what the server has lost.
    pub(crate) fn another(&self, url: &str, wait: Duration) -> KafkaBus {
        open(&self.process, &options(&self.server, url, wait), usize::MAX)
    }

    /// How the server is reached over its wire.
    pub(crate) fn over_wire(&self) -> String {
        format!("kafka://{}", self.server.wire.address)
    }

    pub(crate) fn reopen(&mut self) {
        self.bus = open(&self.process, &options(&self.server, &self.server.url(), WAIT), NOTICES);
    }

    /// What its topic is called on the server.
    pub(crate) fn topic(&self) -> String {
        format!("case{}.forebay_-bus", self.server.turn)
    }

    pub(crate) fn on<T>(&self, future: impl Future<Output = T>) -> T {
        self.process.run(future)
    }
}

fn options(server: &Lent<Kafka>, url: &str, wait: Duration) -> String {
    format!("{url}?prefix=case{}.&wait_ms={}", server.turn, wait.as_millis())
}

fn open(process: &Process, url: &str, notices: usize) -> KafkaBus {
    let kept = Kept { notices, ..Kept::default() };
    let clock = process.run(async { Arc::new(TokioClock::new()) });
    let (bus, works) = KafkaBus::open(KafkaSettings::parse(url).unwrap(), kept, clock);
    process.spawn(works);
    bus
}
