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
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::task::JoinHandle;

/// One server for all cases; each has queues of its own.
static SERVER: OnceLock<Option<Kafka>> = OnceLock::new();

fn server() -> Option<&'static Kafka> {
    let start = || {
        let server = Kafka::start()?;
        warm(&server);
        Some(server)
    };
    SERVER.get_or_init(start).as_ref()
}

/// Has the server do once what takes it long the first time: a group joins, and commits.
fn warm(server: &Kafka) {
    let mut config = client(server);
    let admin: AdminClient<_> = config.create().unwrap();
    let made = async {
        let topic = NewTopic::new("warm", 1, TopicReplication::Fixed(1));
        admin.create_topics([&topic], &AdminOptions::new()).await
    };
    assert!(Ground::new(CALL_MAX).run(made).unwrap()[0].is_ok());
    let group: BaseConsumer = config.set("group.id", "warm").create().unwrap();
    group.subscribe(&["warm"]).unwrap();
    while group.assignment().unwrap().count() == 0 {
        drop(group.poll(Duration::from_millis(100)));
    }
    let mut begun = TopicPartitionList::new();
    begun.add_partition_offset("warm", 0, Offset::Offset(0)).unwrap();
    group.commit(&begun, CommitMode::Sync).unwrap();
}

/// How another program reaches the server.
fn client(server: &Kafka) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", server.url().trim_start_matches("kafka://"));
    config
}

/// Whether there is a server; it is said if not.
fn there() -> bool {
    server().is_some()
}

/// No call of a test takes longer.
const CALL_MAX: Duration = Duration::from_secs(120);

struct Real {
    settings: KafkaSettings,
    clock: Arc<dyn Clock>,
    broker: Option<KafkaBroker>,
    work: Vec<JoinHandle<()>>,
    /// Its topics go with it.
    first: bool,
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
    let url = format!("{server}?prefix=case{case}.&partitions={partitions}&session_ms=10000&wait_ms=30000");
    let ground = Ground::new(CALL_MAX);
    let clock = ground.run(async { Arc::new(TokioClock::new()) });
    let settings = KafkaSettings::parse(&url).unwrap();
    let mut rig = Real { settings, clock, ground, broker: None, work: Vec::new(), first: true };
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

/// A server of many topics is slow.
impl Drop for Real {
    fn drop(&mut self) {
        if std::thread::panicking() || !self.first {
            return;
        }
        if let Some(broker) = self.broker.take() {
            broker.close();
        }
        self.ground.join(std::mem::take(&mut self.work));
        let Some(server) = server() else { return };
        let admin: AdminClient<_> = client(server).create().unwrap();
        let metadata = admin.inner().fetch_metadata(None, CALL_MAX).unwrap();
        let topics = metadata.topics().iter().map(|topic| topic.name());
        let topics: Vec<_> = topics.filter(|topic| topic.starts_with(&self.settings.prefix)).collect();
        if !topics.is_empty() {
            drop(self.ground.run(admin.delete_topics(&topics, &AdminOptions::new())));
        }
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
        // Joining a group takes a while, and on a busy machine all that is asked of the server does.
        let [a_while, late, patience, longest] = [4, 1, 60, 40].map(Duration::from_secs);
        Pace { a_while, late, patience, longest, quiet: Duration::from_millis(400) }
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
