//! RabbitMQ: the broker of `forebay-rabbitmq` beside lapin itself, on quorum and on classic queues.

use std::path::Path;
use std::sync::Arc;

use forebay_benches::queue_servers::peer::{BODY, Fallible};
use forebay_benches::queue_servers::{amqp, rabbitmq};
use forebay_benches::server::Server;
use forebay_rabbitmq::broker::RabbitBroker;
use forebay_rabbitmq::settings::{QueueKind, RabbitSettings};
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};

use crate::sides::{ByHand, Doing, Jobs, Peer, Queue, Side, TOGETHER};
use crate::through::{OurJobs, OurQueue, Runs};

const BARE: &str = "bare lapin";
/// Unacknowledged deliveries on either side: Forebay's default.
const PREFETCH: u16 = 256;
const PERSISTENT: u8 = 2;
const CONSUMER: &str = "consumer";

/// Starts Debian's.
pub async fn open(folder: &Path, runs: &Runs) -> Fallible<[Peer; 2]> {
    let server = Arc::new(rabbitmq::start(folder));
    let url = format!("amqp://guest:guest@{}/%2f", server.tcp());
    let connection = connect(&url).await?;
    println!(
        "- {}, {}; bare is lapin 4.12, which Forebay is on too; mandatory persistent messages, confirmed, prefetch of \
         {PREFETCH}, an acknowledgement for each message, on either side",
        amqp::Client::connect(server.tcp())?.product,
        server.flags
    );
    let connection = Arc::new(connection);
    Ok([
        peer("RabbitMQ, quorum", QueueKind::Quorum, &server, &url, &connection, runs).await?,
        peer("RabbitMQ, classic", QueueKind::Classic, &server, &url, &connection, runs).await?,
    ])
}

/// The port is open before the server takes clients.
async fn connect(url: &str) -> Fallible<Connection> {
    let mut tries = 200;
    loop {
        match Connection::connect(url, ConnectionProperties::default()).await {
            Ok(connection) => return Ok(connection),
            Err(error) if tries == 0 => return Err(error.into()),
            Err(_) => {
                tries -= 1;
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn peer(
    name: &'static str,
    kind: QueueKind,
    server: &Arc<Server>,
    url: &str,
    connection: &Arc<Connection>,
    runs: &Runs,
) -> Fallible<Peer> {
    let settings = format!("{url}?queues={}&prefix={}.&prefetch={PREFETCH}", kind.name(), kind.name());
    let opened = RabbitBroker::open(RabbitSettings::parse(&settings)?, runs.clock.clone());
    runs.start(opened.work);
    let broker = Arc::new(opened.broker);
    let bare =
        |name: &str| Lapin::declare(Arc::clone(connection), kind, format!("bare-{}-{name}", kind.name()));
    let queues = vec![
        Side { name: BARE, it: Arc::new(bare("queue").await?) as Arc<dyn Queue> },
        Side { name: "Forebay", it: Arc::new(OurQueue::declare(broker.clone(), runs, "queue").await?) },
    ];
    let jobs = vec![
        Side { name: BARE, it: Arc::new(ByHand(Arc::new(bare("jobs").await?))) as Arc<dyn Jobs> },
        Side { name: "Forebay", it: Arc::new(OurJobs::declare(broker, runs, "jobs").await?) },
    ];
    Ok(Peer { name, server: server.clone(), stores: Vec::new(), queues, jobs })
}

/// One queue, with a channel to publish on and one to consume on.
struct Lapin {
    publishing: Channel,
    consuming: Channel,
    queue: String,
    /// Ends when the last channel is dropped.
    _connection: Arc<Connection>,
}

impl Lapin {
    async fn declare(connection: Arc<Connection>, kind: QueueKind, queue: String) -> Fallible<Self> {
        let publishing = connection.create_channel().await?;
        publishing.confirm_select(ConfirmSelectOptions::default()).await?;
        let consuming = connection.create_channel().await?;
        consuming.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind.name().into()));
        consuming.queue_declare(queue.as_str().into(), durable, arguments).await?;
        Ok(Self { publishing, consuming, queue, _connection: connection })
    }
}

impl Queue for Lapin {
    fn publish(&self, count: usize) -> Doing<'_, ()> {
        Box::pin(async move {
            let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
            let sent = (0..count).map(|_| {
                let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
                self.publishing.basic_publish(
                    "".into(),
                    self.queue.as_str().into(),
                    options,
                    &BODY,
                    properties,
                )
            });
            let confirms = try_join_all(sent).await?;
            let confirmed = try_join_all(confirms).await?;
            let is_taken = |confirmation: &Confirmation| matches!(confirmation, Confirmation::Ack(None));
            if confirmed.iter().all(is_taken) { Ok(()) } else { Err("a message was refused".into()) }
        })
    }

    fn work_off(&self, count: u64) -> Doing<'_, ()> {
        Box::pin(async move {
            let (queue, options) = (self.queue.as_str().into(), BasicConsumeOptions::default());
            let consuming =
                self.consuming.basic_consume(queue, CONSUMER.into(), options, FieldTable::default());
            let mut chunks = consuming.await?.ready_chunks(TOGETHER);
            let mut left = count as usize;
            while left > 0 {
                let deliveries = chunks.next().await.ok_or("the consumer ended")?;
                let deliveries = deliveries.into_iter().collect::<lapin::Result<Vec<_>>>()?;
                if deliveries.iter().any(|delivery| delivery.data.len() != BODY.len()) {
                    return Err("another message".into());
                }
                let acks = deliveries.iter().map(|one| one.acker.ack(BasicAckOptions::default()));
                try_join_all(acks).await?;
                left -= deliveries.len();
            }
            Ok(self.consuming.basic_cancel(CONSUMER.into(), BasicCancelOptions::default()).await?)
        })
    }
}
