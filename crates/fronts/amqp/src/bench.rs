//! The front on a bench, for the tests: on the saboteur's disk, with a clock that stands still, and a client that says
//! frames and looks at what it hears.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use forebay_broker::{BrokerOptions, EmbeddedBroker, open};
use forebay_contract::clock::SimClock;
use forebay_contract::files::Saboteur;
use forebay_core::ports::broker::Broker;
use forebay_core::queue::{QueueName, QueueSettings};
use forebay_log::LogOptions;
use forebay_wire::amqp::frame::{Decoded, Decoder, Frame, Payload};
use forebay_wire::amqp::methods::{Arguments, Method, MethodId, basic, channel, queue};
use forebay_wire::amqp::properties::Properties;
use forebay_wire::amqp::text::ShortStr;
use forebay_wire::amqp::write;
use futures_util::future::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, yield_now};

use crate::connection::phase::Phase;
use crate::connection::serve::serve_session;
use crate::connection::session::Session;
use crate::options::{Options, Parts};
use crate::shared::Shared;

/// How often others are let run before something counts as not happening.
const PATIENCE: usize = 20_000;
/// What is on its way between client and front at most, in each direction.
const PIPE_BYTES: usize = 4096;
const FRAME_BYTES_MAX: u32 = 128 * 1024;

/// The front.
pub(crate) struct Bench {
    pub(crate) clock: SimClock,
    pub(crate) files: Saboteur,
    pub(crate) broker: Arc<EmbeddedBroker>,
    pub(crate) shared: Arc<Shared>,
    holds_log: Arc<AtomicBool>,
    stop: watch::Sender<bool>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(LogOptions { segment_bytes: 1 << 20, ..LogOptions::default() })
    }

    /// With such a log. To be called within a runtime.
    pub(crate) fn with(log: LogOptions) -> Self {
        let clock = SimClock::new(5);
        let options = BrokerOptions { log, ..BrokerOptions::default() };
        let files = Saboteur::new();
        let opened = open(Arc::new(files.clone()), options, Arc::new(clock.clone())).unwrap();
        let broker = opened.broker;
        let parts = Parts {
            broker: Arc::clone(&broker),
            clock: Arc::new(clock.clone()),
            pressure: Arc::default(),
            health: Arc::default(),
            version: "0.0.0",
        };
        let shared = Arc::new(Shared::new(Options::new(([127, 0, 0, 1], 0).into()), parts));
        let holds_log = Arc::new(AtomicBool::new(false));
        tokio::spawn(write_log(Arc::downgrade(&broker), Arc::clone(&holds_log)));
        Self { clock, files, broker, shared, holds_log, stop: watch::Sender::new(false) }
    }

    /// Lets nothing become durable for as long as it is held.
    pub(crate) fn hold_log(&self, holds: bool) {
        self.holds_log.store(holds, Relaxed);
    }

    /// Lets time pass, once all has come to rest.
    pub(crate) async fn pass(&self, time: Duration) {
        rest().await;
        self.clock.advance(time);
        rest().await;
    }

    /// A queue of another front, which takes no more than so many messages and tells publishers to wait.
    pub(crate) async fn queue_that_waits_at(&self, name: &str, length_max: u64) {
        let name = QueueName::new(name).unwrap();
        self.broker.ensure(&QueueSettings { length_max, ..QueueSettings::new(name) }).await.unwrap();
    }

    /// A session that has been opened, of a client that understands everything.
    pub(crate) fn session(&self) -> Session {
        let mut session = Session::new(Arc::clone(&self.shared));
        session.user = "guest".to_owned();
        session.permissions = self.shared.door.directory.permissions("guest", "/");
        session.phase = Phase::Running;
        session.frame_bytes_max = FRAME_BYTES_MAX;
        session.tells_cancels = true;
        session
    }

    /// A client with so many channels open, from 1.
    pub(crate) async fn connect(&self, channels: u16) -> Client {
        let (stream, end) = tokio::io::duplex(PIPE_BYTES);
        let (session, peer, stop) = (self.session(), ([127, 0, 0, 1], 1).into(), self.stop.subscribe());
        let serving = tokio::spawn(serve_session(session, end, peer, stop));
        let mut client = Client { stream, serving, heard: Vec::new(), unsaid: Vec::new() };
        for number in 1..=channels {
            client.say(number, &channel::Open { out_of_band: ShortStr::default() }).await;
            client.expect::<channel::OpenOk<'_>>(number).await;
        }
        client
    }
}

/// Writes the log for as long as there is a broker.
async fn write_log(broker: std::sync::Weak<EmbeddedBroker>, is_held: Arc<AtomicBool>) {
    while let Some(broker) = broker.upgrade() {
        while !is_held.load(Relaxed) && broker.log().step() {}
        drop(broker);
        yield_now().await;
    }
}

/// Lets everybody do what can be done.
pub(crate) async fn rest() {
    for _ in 0..200 {
        yield_now().await;
    }
}

/// A client.
pub(crate) struct Client {
    stream: DuplexStream,
    pub(crate) serving: JoinHandle<()>,
    heard: Vec<u8>,
    unsaid: Vec<u8>,
}

impl Client {
    /// Says a method.
    pub(crate) async fn say<'m>(&mut self, channel: u16, method: &impl Arguments<'m>) {
        let mut octets = Vec::new();
        write::method(&mut octets, channel, method);
        self.say_octets(&octets).await;
    }

    pub(crate) async fn say_octets(&mut self, octets: &[u8]) {
        self.unsaid.extend_from_slice(octets);
        self.say_rest().await;
    }

    /// Says what could not be said before, and hears meanwhile.
    pub(crate) async fn say_rest(&mut self) {
        for _ in 0..PATIENCE {
            if self.go_on().await {
                return;
            }
        }
        panic!("the front does not read");
    }

    /// True where the front does not take all of it.
    pub(crate) async fn says_only_some_of(&mut self, octets: &[u8]) -> bool {
        self.unsaid.extend_from_slice(octets);
        for _ in 0..PATIENCE {
            if self.go_on().await {
                return false;
            }
        }
        true
    }

    /// Says and hears what can be now; true where nothing is left to be said.
    async fn go_on(&mut self) -> bool {
        if let Some(written) = self.stream.write(&self.unsaid).now_or_never() {
            self.unsaid.drain(..written.unwrap());
        }
        drop(self.stream.read_buf(&mut self.heard).now_or_never());
        yield_now().await;
        self.unsaid.is_empty()
    }

    pub(crate) async fn publish(&mut self, channel: u16, exchange: &str, key: &str, body: &[u8]) {
        self.publish_with(channel, exchange, key, &Properties::default(), body).await;
    }

    pub(crate) async fn publish_with(
        &mut self,
        channel: u16,
        exchange: &str,
        key: &str,
        properties: &Properties<'_>,
        body: &[u8],
    ) {
        self.say_octets(&published(channel, exchange, key, properties, body)).await;
    }

    /// Begins to consume from the queue, under its name.
    pub(crate) async fn consume(&mut self, channel: u16, queue: &str) {
        self.say(channel, &consume(queue)).await;
        self.expect::<basic::ConsumeOk<'_>>(channel).await;
    }

    /// The same without hearing anything.
    pub(crate) async fn consume_blindly(&mut self, channel: u16, queue: &str) {
        let mut octets = Vec::new();
        write::method(&mut octets, channel, &consume(queue));
        self.stream.write_all(&octets).await.unwrap();
    }

    pub(crate) async fn ack(&mut self, channel: u16, delivery_tag: u64) {
        self.say(channel, &basic::Ack { delivery_tag, multiple: false }).await;
    }

    /// The tag of the next delivery.
    pub(crate) async fn delivery(&mut self, channel: u16) -> u64 {
        let octets = self.expect::<basic::Deliver<'_>>(channel).await;
        basic::Deliver::decode(&octets).unwrap().delivery_tag
    }

    /// The arguments of the next method, which must be this one.
    pub(crate) async fn expect<'m, M: Arguments<'m>>(&mut self, channel: u16) -> Vec<u8> {
        let (heard, id, arguments) = self.hear().await;
        assert_eq!((heard, id), (channel, M::ID), "{}", String::from_utf8_lossy(&arguments));
        arguments
    }

    /// The code with which the channel is closed next.
    pub(crate) async fn closed(&mut self, channel: u16) -> u16 {
        let octets = self.expect::<channel::Close<'_>>(channel).await;
        channel::Close::decode(&octets).unwrap().reply_code
    }

    /// True where no method is to be heard, however long.
    pub(crate) async fn hears_nothing(&mut self) -> bool {
        rest().await;
        while self.stream.read_buf(&mut self.heard).now_or_never().is_some_and(|read| read.unwrap() > 0) {
            rest().await;
        }
        self.take_method().is_none()
    }

    /// The next method with its channel and arguments. Contents are passed over.
    async fn hear(&mut self) -> (u16, MethodId, Vec<u8>) {
        for _ in 0..PATIENCE {
            if let Some(method) = self.take_method() {
                return method;
            }
            match self.stream.read_buf(&mut self.heard).now_or_never() {
                Some(Ok(0)) => panic!("the front has gone"),
                Some(read) => drop(read.unwrap()),
                None => yield_now().await,
            }
        }
        panic!("nothing is to be heard");
    }

    fn take_method(&mut self) -> Option<(u16, MethodId, Vec<u8>)> {
        let mut decoder = Decoder::default();
        decoder.set_frame_max(FRAME_BYTES_MAX);
        while let Decoded::Complete { frame: Frame { channel, payload }, consumed } =
            decoder.decode(&self.heard).unwrap()
        {
            let method = match payload {
                Payload::Method(method) => Some(encoded(&method)),
                _ => None,
            };
            self.heard.drain(..consumed);
            if let Some((id, arguments)) = method {
                return Some((channel, id, arguments));
            }
        }
        None
    }

    /// Goes without a word, and waits until the front has put everything in order.
    pub(crate) async fn vanish(self) {
        drop(self.stream);
        self.serving.await.unwrap();
    }
}

/// The frames of a message that is published.
pub(crate) fn published(
    channel: u16,
    exchange: &str,
    key: &str,
    properties: &Properties<'_>,
    body: &[u8],
) -> Vec<u8> {
    let (exchange, routing_key) = (ShortStr::cut(exchange), ShortStr::cut(key));
    let publish = basic::Publish { ticket: 0, exchange, routing_key, mandatory: false, immediate: false };
    let (mut encoded, mut octets) = (Vec::new(), Vec::new());
    properties.encode(&mut encoded);
    write::content(&mut octets, channel, &publish, &encoded, body, FRAME_BYTES_MAX);
    octets
}

/// Without acknowledgements by itself, under the queue's name.
pub(crate) fn consume(queue: &str) -> basic::Consume<'_> {
    basic::Consume {
        ticket: 0,
        queue: ShortStr::cut(queue),
        consumer_tag: ShortStr::cut(queue),
        no_local: false,
        no_ack: false,
        exclusive: false,
        nowait: false,
        arguments: Default::default(),
    }
}

/// A queue that lasts.
pub(crate) fn declare(queue: &str) -> queue::Declare<'_> {
    queue::Declare {
        ticket: 0,
        queue: ShortStr::cut(queue),
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        nowait: false,
        arguments: Default::default(),
    }
}

fn encoded(method: &Method<'_>) -> (MethodId, Vec<u8>) {
    let mut arguments = Vec::new();
    method.encode(&mut arguments);
    (method.id(), arguments)
}
