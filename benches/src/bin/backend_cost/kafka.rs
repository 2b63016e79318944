//! Kafka: the broker of `forebay-kafka` beside rdkafka itself.

use std::sync::Arc;
use std::time::Duration;

use forebay_benches::queue_servers::peer::{BODY, Fallible};
use forebay_benches::server::processor_ns;
use forebay_contract::servers::kafka::Kafka;
use forebay_kafka::broker::KafkaBroker;
use forebay_kafka::settings::KafkaSettings;
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::sides::{ByHand, Doing, Jobs, Peer, Queue, Serving, Side, TOGETHER};
use crate::through::{OurJobs, OurQueue, Runs};

const BARE: &str = "bare rdkafka";
/// Of each topic of messages on either side: Forebay's default.
const PARTITIONS: i32 = 4;
const WAIT: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(50);

/// Starts the one that the tests start; none where it was not fetched.
pub async fn open(runs: &Runs) -> Fallible<Option<Peer>> {
    let Some(kafka) = spawn_blocking(Kafka::start).await? else { return Ok(None) };
    let url = kafka.url();
    println!(
        "- Apache Kafka 3.9, one node, 320 MiB of heap; bare is rdkafka 0.39, which Forebay is on too, with the same \
         settings: acks of all, idempotent, no lingering, {PARTITIONS} partitions; a commit, waited for, for all messages \
         that were received together. Consumers have joined before they are measured"
    );
    let queues = vec![
        Side { name: BARE, it: Arc::new(Rdkafka::create(&url, "bare-queue").await?) as Arc<dyn Queue> },
        Side { name: "Forebay", it: Arc::new(OurKafka::declare(&url, runs).await?) },
    ];
    let ours = OurJobs::declare(open_broker(&url, runs)?, runs, "jobs").await?;
    let jobs = vec![
        Side {
            name: BARE,
            it: Arc::new(ByHand(Arc::new(Rdkafka::create(&url, "bare-jobs").await?))) as Arc<dyn Jobs>,
        },
        Side { name: "Forebay", it: Arc::new(Joined(ours)) },
    ];
    Ok(Some(Peer { name: "Kafka", server: Arc::new(kafka), stores: Vec::new(), queues, jobs }))
}

impl Serving for Kafka {
    fn processor_ns(&self) -> u64 {
        processor_ns(self.id())
    }
}

fn open_broker(url: &str, runs: &Runs) -> Fallible<Arc<KafkaBroker>> {
    let opened = KafkaBroker::open(KafkaSettings::parse(url)?, runs.clock.clone());
    runs.start(opened.work);
    Ok(Arc::new(opened.broker))
}

/// A queue of ours. What receives is opened anew each time, so that nothing is fetched while the other side has its turn.
struct OurKafka {
    url: String,
    runs: Runs,
    publishing: OurQueue,
    receiving: Mutex<Option<OurQueue>>,
}

impl OurKafka {
    async fn declare(url: &str, runs: &Runs) -> Fallible<Self> {
        let publishing = Self::queue(url, runs).await?;
        Ok(Self { url: url.into(), runs: runs.clone(), publishing, receiving: Mutex::default() })
    }

    async fn queue(url: &str, runs: &Runs) -> Fallible<OurQueue> {
        Ok(OurQueue::declare(open_broker(url, runs)?, runs, "queue").await?)
    }
}

impl Queue for OurKafka {
    fn publish(&self, count: usize) -> Doing<'_, ()> {
        self.publishing.publish(count)
    }

    fn ready(&self) -> Doing<'_, ()> {
        Box::pin(async move {
            let receiving = Self::queue(&self.url, &self.runs).await?;
            receiving.join().await?;
            *self.receiving.lock().await = Some(receiving);
            Ok(())
        })
    }

    fn work_off(&self, count: u64) -> Doing<'_, ()> {
        Box::pin(async move {
            let receiving = self.receiving.lock().await.take().ok_or("nobody is ready")?;
            receiving.work_off(count).await
        })
    }
}

/// Ours, whose worker's process has joined the group with a first job.
struct Joined(OurJobs);

impl Jobs for Joined {
    fn ready(&self) -> Doing<'_, ()> {
        self.0.run(1)
    }

    fn run(&self, count: u64) -> Doing<'_, ()> {
        self.0.run(count)
    }
}

/// One topic with one group.
struct Rdkafka {
    servers: String,
    topic: &'static str,
    producer: FutureProducer,
    joined: Mutex<Option<Member>>,
}

/// A consumer that has joined the group, and how many messages it has received by that.
struct Member {
    consumer: StreamConsumer,
    came: usize,
}

impl Rdkafka {
    async fn create(url: &str, topic: &'static str) -> Fallible<Self> {
        let servers = url.strip_prefix("kafka://").unwrap_or(url).to_owned();
        let admin: AdminClient<DefaultClientContext> = config(&servers).create()?;
        let new = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1));
        for created in admin.create_topics([&new], &AdminOptions::new()).await? {
            created.map_err(|(topic, error)| format!("{topic}: {error}"))?;
        }
        let mut config = config(&servers);
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "0")
            .set("partitioner", "murmur2_random");
        Ok(Self { servers, topic, producer: config.create()?, joined: Mutex::default() })
    }

    /// A consumer that has partitions.
    async fn join(&self) -> Fallible<Member> {
        let mut config = config(&self.servers);
        config
            .set("group.id", self.topic)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .set("isolation.level", "read_committed")
            .set("fetch.queue.backoff.ms", "20")
            .set("queued.min.messages", "2000")
            .set("queued.max.messages.kbytes", "32768");
        let consumer: StreamConsumer = config.create()?;
        consumer.subscribe(&[self.topic])?;
        let mut came = 0;
        let joined = async {
            while came == 0 && consumer.assignment()?.count() == 0 {
                // It is asked for what comes, or it joins nothing. That nothing does is no error.
                if let Ok(record) = timeout(LOOK, consumer.recv()).await {
                    came += record.map(|_| 1)?;
                }
            }
            Fallible::Ok(())
        };
        timeout(WAIT, joined).await.map_err(|_| "it joins no group")??;
        Ok(Member { consumer, came })
    }
}

/// What Forebay says to its clients.
fn config(servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", servers)
        .set("socket.nagle.disable", "true")
        .set("allow.auto.create.topics", "false")
        .set("enable.metrics.push", "false");
    config
}

impl Queue for Rdkafka {
    fn publish(&self, count: usize) -> Doing<'_, ()> {
        Box::pin(async move {
            let record = || FutureRecord::<str, _>::to(self.topic).payload(&BODY);
            let sent: Result<Vec<_>, _> =
                (0..count).map(|_| self.producer.send_result(record()).map_err(|(error, _)| error)).collect();
            for delivered in try_join_all(sent?).await? {
                delivered.map_err(|(error, _)| error)?;
            }
            Ok(())
        })
    }

    fn ready(&self) -> Doing<'_, ()> {
        Box::pin(async move {
            *self.joined.lock().await = Some(self.join().await?);
            Ok(())
        })
    }

    fn work_off(&self, count: u64) -> Doing<'_, ()> {
        Box::pin(async move {
            let Member { consumer, came } = self.joined.lock().await.take().ok_or("nobody is ready")?;
            let consumer = Arc::new(consumer);
            let mut chunks = consumer.stream().ready_chunks(TOGETHER);
            let mut left = count as usize - came;
            while left > 0 {
                let records = timeout(WAIT, chunks.next()).await?.ok_or("the consumer ended")?;
                for record in &records {
                    let record = record.as_ref().map_err(Clone::clone)?;
                    if record.payload_len() != BODY.len() {
                        return Err("another message".into());
                    }
                }
                let committing = Arc::clone(&consumer);
                spawn_blocking(move || committing.commit_consumer_state(CommitMode::Sync)).await??;
                left = left.checked_sub(records.len()).ok_or("more messages than there are")?;
            }
            drop(chunks);
            // Leaving waits for an answer.
            spawn_blocking(move || drop(consumer));
            Ok(())
        })
    }
}
