//! Typed queues, streams and workers, through the real engine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use forebay::{
    Codec, ConsumerOptions, Draft, Forebay, Json, Kind, Postcard, Queue, QueueName, QueueSettings, Reason,
    Received, WorkerOptions,
};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::sync::{Notify, mpsc};

const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    product: String,
    count: u32,
}

fn order(count: u32) -> Order {
    Order { product: "teapot".into(), count }
}

struct Scene {
    _folder: TempDir,
    forebay: Forebay,
    queue: Queue,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let forebay = Forebay::builder().memory(1 << 20).data(folder.path()).open().await.unwrap();
        let mut settings = QueueSettings::new(QueueName::new("orders").unwrap());
        settings.dead_letter = Some(QueueName::new("dead").unwrap());
        settings.retry.backoff.first = Duration::ZERO;
        let queue = forebay.queue_with(&settings).await.unwrap();
        Self { _folder: folder, forebay, queue }
    }

    /// The next dead letter's body and note.
    async fn dead(&self) -> (Vec<u8>, String) {
        let dead = self.forebay.queue("dead").await.unwrap();
        let held = dead.receive_within(PATIENCE).await.unwrap().expect("a dead letter");
        assert_eq!(held.history[0].reason, Reason::Rejected);
        let found = (held.payload().to_vec(), held.history[0].note.clone().unwrap());
        held.ack().await.unwrap();
        found
    }

    async fn ready(&self) -> u64 {
        self.queue.stats().await.unwrap().ready
    }
}

#[tokio::test]
async fn a_draft_carries_everything_that_is_said_of_it() {
    let scene = Scene::new().await;
    let draft = Draft::new(order(7)).key("teapot").header("till", 3_u64).expires_in(PATIENCE);
    scene.queue.typed::<Order>().publish(draft).await.unwrap();
    let held = scene.queue.receive().await.unwrap().unwrap();
    assert_eq!(held.message.key.as_deref(), Some("teapot"));
    assert_eq!(held.message.headers.get("till"), Some(&3_u64.into()));
    assert_eq!(held.message.content_type.as_deref(), Some("application/json"));
    assert!(held.message.expires_at.is_some());
    assert_eq!(held.payload(), br#"{"product":"teapot","count":7}"#);
    scene.queue.publish(Draft::new("later").delay(PATIENCE).content_type("text/plain")).await.unwrap();
    assert!(scene.queue.receive().await.unwrap().is_none(), "it is delayed");
    assert!(scene.forebay.close().await);
}

#[tokio::test]
async fn every_codec_reads_what_it_wrote_and_typed_queues_share_the_raw_one() {
    async fn through(queue: &Queue, codec: impl Codec<Order> + 'static) -> Order {
        let typed = queue.coded(codec);
        typed.publish(order(7)).await.unwrap();
        let held = typed.receive().await.unwrap().unwrap();
        let value = held.value().clone();
        held.ack().await.unwrap();
        value
    }
    let scene = Scene::new().await;
    assert_eq!(through(&scene.queue, Json).await, order(7));
    assert_eq!(through(&scene.queue, Postcard).await, order(7));
    assert!(scene.forebay.close().await);
}

#[tokio::test]
async fn what_cannot_be_read_is_a_dead_letter_with_the_reason_and_does_not_hold_up_the_rest() {
    let scene = Scene::new().await;
    let orders = scene.queue.typed::<Order>();
    let bad = r#"{"product": 7, "secret": "s3cret"}"#;
    // By receive.
    scene.queue.publish_all([bad, bad]).await.unwrap();
    orders.publish(order(1)).await.unwrap();
    let held = orders.receive().await.unwrap().expect("the one behind them");
    assert_eq!(*held.value(), order(1));
    held.ack().await.unwrap();
    // By stream, by batch.
    let mut stream = orders.stream(ConsumerOptions::default()).unwrap();
    scene.queue.publish(bad).await.unwrap();
    orders.publish(order(2)).await.unwrap();
    let held = stream.next().await.unwrap().unwrap();
    assert_eq!(*held.value(), order(2));
    held.ack().await.unwrap();
    drop(stream);
    let mut batches = orders.batches(ConsumerOptions::default()).unwrap();
    scene.queue.publish(bad).await.unwrap();
    orders.publish(order(3)).await.unwrap();
    let mut batch = batches.next().await.unwrap().unwrap();
    assert_eq!(batch.len(), 1);
    assert_eq!(*batch[0].value(), order(3));
    batch.remove(0).ack().await.unwrap();
    drop(batches);
    // By worker.
    let (tell, mut told) = mpsc::unbounded_channel();
    let worker = orders
        .worker(WorkerOptions::default(), move |order: Received<Order>| {
            let sent = tell.send(order.into_value());
            async move { Ok(sent?) }
        })
        .unwrap();
    scene.queue.publish(bad).await.unwrap();
    orders.publish(order(4)).await.unwrap();
    assert_eq!(told.recv().await, Some(order(4)));
    worker.stop().await;
    for _ in 0..5 {
        let (body, note) = scene.dead().await;
        assert_eq!(body, bad.as_bytes());
        assert!(note.contains("another shape at line 1") && !note.contains("s3cret"), "{note}");
    }
    let stats = orders.stats().await.unwrap();
    assert_eq!((stats.ready, stats.held), (0, 0));
    assert!(scene.forebay.close().await);
}

#[tokio::test]
async fn a_batch_is_refused_whole_when_one_body_cannot_be_written_down() {
    struct Even;
    impl Codec<u32> for Even {
        fn encode(&self, value: &u32) -> forebay::Result<forebay::Payload> {
            let odd = || forebay::Error::new(Kind::Invalid, "encode", "an odd number");
            if value.is_multiple_of(2) { Ok("even".into()) } else { Err(odd()) }
        }

        fn decode(&self, _: &forebay::Payload) -> forebay::Result<u32> {
            Ok(0)
        }
    }
    let scene = Scene::new().await;
    let refused = scene.queue.coded(Even).publish_all([2, 3]).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Invalid);
    let endless = scene.queue.publish_all(std::iter::repeat("x")).await.unwrap_err();
    assert_eq!(endless.kind(), Kind::TooLarge);
    assert_eq!(scene.ready().await, 0);
    assert!(scene.forebay.close().await);
}

#[tokio::test]
async fn a_stream_takes_only_what_is_asked_for_and_gives_back_the_rest() {
    let scene = Scene::new().await;
    scene.queue.publish_all(["a", "b", "c", "d"]).await.unwrap();
    let mut stream =
        scene.queue.stream(ConsumerOptions { prefetch: 2, ..ConsumerOptions::default() }).unwrap();
    assert_eq!(scene.ready().await, 4, "nobody has asked");
    let first = stream.next().await.unwrap().unwrap();
    assert_eq!(scene.ready().await, 2);
    drop(stream);
    first.ack().await.unwrap();
    // What was given back is there again, in its place and with its attempts.
    for expected in ["b", "c", "d"] {
        let held = scene.queue.receive_within(PATIENCE).await.unwrap().unwrap();
        assert_eq!((held.payload(), held.attempt), (expected.as_bytes(), 1));
        held.ack().await.unwrap();
    }
    assert!(scene.forebay.close().await);
}

#[tokio::test]
async fn a_stream_ends_after_the_queues_are_closed() {
    let scene = Scene::new().await;
    let mut stream = scene.queue.stream(ConsumerOptions::default()).unwrap();
    assert!(scene.forebay.close().await);
    assert_eq!(stream.next().await.unwrap().unwrap_err().kind(), Kind::Closed);
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_stopped_worker_has_settled_what_it_ran_and_kept_nothing_else() {
    let scene = Scene::new().await;
    let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&begun), Arc::clone(&go));
    let worker = scene
        .queue
        .worker(WorkerOptions::default(), move |_: Received| {
            tell.notify_one();
            let wait = Arc::clone(&wait);
            async move {
                wait.notified().await;
                Ok(())
            }
        })
        .unwrap();
    scene.queue.publish_all(["a", "b"]).await.unwrap();
    begun.notified().await;
    let stop = tokio::spawn(worker.stop());
    go.notify_one();
    stop.await.unwrap();
    let stats = scene.queue.stats().await.unwrap();
    assert_eq!((stats.ready, stats.held), (1, 0));
    assert!(scene.forebay.close().await);
}

#[tokio::test]
async fn a_worker_keeps_its_queues_open() {
    let folder = tempfile::tempdir().unwrap();
    let forebay = Forebay::builder().memory(1 << 20).data(folder.path()).open().await.unwrap();
    let queue = forebay.queue("orders").await.unwrap();
    let (tell, mut told) = mpsc::unbounded_channel();
    let worker = queue
        .worker(WorkerOptions::default(), move |received: Received| {
            let sent = tell.send(received.payload().to_vec());
            async move { Ok(sent?) }
        })
        .unwrap();
    queue.publish(Draft::new("later").delay(Duration::from_millis(50))).await.unwrap();
    drop((forebay, queue));
    assert_eq!(told.recv().await.as_deref(), Some(&b"later"[..]));
    worker.stop().await;
}
