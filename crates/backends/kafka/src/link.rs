//! The clients by which the servers are asked, and what their refusals mean here.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::error::{Error, Kind};
use forebay_core::limits::kafka as limits;
use forebay_core::payload::Payload;
use forebay_core::time::Instant;
use futures_util::future::join_all;
use rdkafka::ClientConfig;
use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use tokio::time;

use crate::message::envelope::HEADER;
use crate::settings::KafkaSettings;

/// What publishes, and what administers.
pub(crate) struct Clients {
    producer: FutureProducer,
    pub(crate) admin: AdminClient<DefaultClientContext>,
    wait: Duration,
}

/// A record that is to be put into a topic.
pub(crate) struct Outgoing {
    pub(crate) topic: String,
    /// By its key, or any, where it does not say.
    pub(crate) partition: Option<i32>,
    pub(crate) key: Option<String>,
    pub(crate) header: Option<Vec<u8>>,
    pub(crate) payload: Payload,
    pub(crate) at: Instant,
}

impl Clients {
    /// Threads of theirs begin here.
    pub(crate) fn new(settings: &KafkaSettings) -> Result<Arc<Self>, KafkaError> {
        let mut config = config(settings);
        let wait = settings.wait.as_millis();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "0")
            .set("message.timeout.ms", wait.to_string())
            // A queue that was deleted elsewhere is told of as such, not as a server that is away.
            .set("topic.metadata.propagation.max.ms", (wait / 2).to_string())
            .set("partitioner", "murmur2_random")
            .set("queue.buffering.max.kbytes", limits::SENDING_KIB_MAX.to_string())
            .set("queue.buffering.max.messages", limits::SENDING_MESSAGES_MAX.to_string());
        let producer = config.create()?;
        let admin = self::config(settings).create()?;
        Ok(Arc::new(Self { producer, admin, wait: settings.wait }))
    }

    /// Whether nothing more can be published by them: the client says so of itself.
    pub(crate) fn is_broken(&self) -> bool {
        self.producer.client().fatal_error().is_some()
    }

    /// Puts records into their topics, in order, and says of each what became of it. `Ok`: it is durable.
    pub(crate) async fn put(&self, records: &[Outgoing]) -> Vec<KafkaResult<()>> {
        let mut sent = Vec::with_capacity(records.len());
        let late = time::Instant::now() + self.wait;
        for record in records {
            let mut outgoing = record.record();
            sent.push(loop {
                match self.producer.send_result(outgoing) {
                    Ok(delivery) => break Ok(delivery),
                    Err((KafkaError::MessageProduction(Code::QueueFull), back))
                        if time::Instant::now() < late =>
                    {
                        outgoing = back;
                        time::sleep(limits::SENDING_PAUSE).await;
                    }
                    Err((error, _)) => break Err(error),
                }
            });
        }
        let told = sent.into_iter().map(|sent| async {
            let delivered = sent?.await.map_err(|_| KafkaError::Canceled)?;
            delivered.map(drop).map_err(|(error, _)| error)
        });
        join_all(told).await
    }

    /// Puts one record into its topic. `Ok`: it is durable, and has this offset.
    pub(crate) async fn put_one(&self, record: &Outgoing) -> Result<i64, KafkaError> {
        let sent = self.producer.send_result(record.record()).map_err(|(error, _)| error)?;
        let delivered = sent.await.map_err(|_| KafkaError::Canceled)?;
        delivered.map(|delivery| delivery.offset).map_err(|(error, _)| error)
    }
}

/// Whether an error says that a partition has no leader that knows of it yet, as one that was just made.
pub(crate) fn has_no_leader(error: &KafkaError) -> bool {
    matches!(error.rdkafka_error_code(), Some(Code::NotLeaderForPartition | Code::LeaderNotAvailable))
}

/// The servers' word for an error.
fn code(error: &KafkaError) -> Option<Code> {
    match error {
        // Of which the client says that it has none.
        KafkaError::AdminOp(code) => Some(*code),
        error => error.rdkafka_error_code(),
    }
}

/// Whether an error says that a topic is not there.
pub(crate) fn is_unknown(error: &KafkaError) -> bool {
    matches!(
        code(error),
        Some(
            Code::UnknownTopicOrPartition
                | Code::UnknownTopic
                | Code::UnknownPartition
                | Code::UnknownTopicId
        )
    )
}

impl Outgoing {
    fn record(&self) -> FutureRecord<'_, str, [u8]> {
        let mut record = FutureRecord::to(&self.topic);
        record.timestamp = i64::try_from(self.at.as_ms()).ok();
        record.partition = self.partition;
        record.key = self.key.as_deref();
        record.payload = Some(&*self.payload);
        record.headers = self.header.as_ref().map(|header| {
            OwnedHeaders::new_with_capacity(1).insert(Header { key: HEADER, value: Some(header) })
        });
        record
    }
}

/// What all clients have in common.
pub(crate) fn config(settings: &KafkaSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    let patience = settings.wait.clamp(Duration::from_secs(1), limits::SOCKET_WAIT_MAX);
    let patience = patience.as_millis().to_string();
    config
        .set("bootstrap.servers", &settings.servers)
        .set("client.id", "forebay")
        .set("message.max.bytes", limits::MESSAGE_BYTES_MAX.to_string())
        .set("socket.timeout.ms", &patience)
        .set("socket.connection.setup.timeout.ms", &patience)
        .set("socket.nagle.disable", "true")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", limits::PAUSE_MAX.as_millis().to_string())
        .set("topic.metadata.refresh.interval.ms", "5000")
        // Who asks for the topic of a queue that was deleted elsewhere must not have the servers make it again.
        .set("allow.auto.create.topics", "false")
        .set("enable.metrics.push", "false");
    config
}

/// What an error of the client's means to who asked.
pub(crate) fn refusal(error: KafkaError, operation: &'static str, context: impl Into<String>) -> Error {
    let kind = match code(&error) {
        Some(_) if is_unknown(&error) => Kind::NotFound,
        Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize) => Kind::TooLarge,
        Some(Code::QueueFull) => Kind::Full,
        Some(
            Code::InvalidTopic
            | Code::InvalidPartitions
            | Code::InvalidReplicationFactor
            | Code::InvalidConfig,
        ) => Kind::Unsupported,
        _ => Kind::Unavailable,
    };
    Error::new(kind, operation, context).because(error)
}

/// The same of a topic that is made before it is used: a server that does not find it does not know of it yet, or knows none
/// that leads it.
pub(crate) fn refusal_of_known(
    error: KafkaError,
    operation: &'static str,
    context: impl Into<String>,
) -> Error {
    let told = refusal(error, operation, context);
    match told.kind() {
        Kind::NotFound => Error::new(Kind::Unavailable, operation, told.context()).because(told),
        _ => told,
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;

    use super::*;

    #[test]
    fn what_the_servers_refuse_is_known_whether_they_were_asked_for_messages_or_topics() {
        for (code, kind) in [
            (Code::UnknownTopicOrPartition, Kind::NotFound),
            (Code::InvalidReplicationFactor, Kind::Unsupported),
        ] {
            for error in [KafkaError::AdminOp(code), KafkaError::MessageProduction(code)] {
                assert_eq!(refusal(error, "declare queue", "q").kind(), kind);
            }
        }
    }

    #[test]
    fn a_topic_that_must_be_there_and_is_not_found_is_away() {
        for code in [Code::UnknownPartition, Code::UnknownTopicOrPartition] {
            let error = KafkaError::MetadataFetch(code);
            assert_eq!(refusal(error.clone(), "declare queue", "q").kind(), Kind::NotFound);
            assert_eq!(refusal_of_known(error, "declare queue", "q").kind(), Kind::Unavailable);
        }
    }

    #[tokio::test]
    async fn one_record_that_is_refused_keeps_none_of_the_others() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("orders", 1, 1).unwrap();
        let url = format!("kafka://{}?wait_ms=30000", cluster.bootstrap_servers());
        let clients = Clients::new(&KafkaSettings::parse(&url).unwrap()).unwrap();
        let records = [0, 7, 0].map(|partition| Outgoing {
            topic: "orders".into(),
            partition: Some(partition),
            key: None,
            header: None,
            payload: "payload".into(),
            at: Instant::from_ms(1),
        });
        let put = clients.put(&records).await;
        assert_eq!([0, 1, 2].map(|index| put[index].is_ok()), [true, false, true], "{put:?}");
    }

    #[test]
    fn clients_can_be_made_with_all_that_a_url_may_say() {
        for ms in [limits::WAIT_RANGE.start(), limits::WAIT_RANGE.end()].map(Duration::as_millis) {
            let settings = KafkaSettings::parse(&format!("kafka://127.0.0.1:1?wait_ms={ms}")).unwrap();
            let made = Clients::new(&settings).map(drop);
            assert!(made.is_ok(), "wait_ms={ms}: {made:?}");
        }
    }
}
