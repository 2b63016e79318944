//! The library as a program uses it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use forebay::{Draft, Failure, Forebay, Kind, Policy, QueueName, QueueSettings, Settled, WorkerOptions};
use tokio::sync::{Semaphore, mpsc};

const PATIENCE: Duration = Duration::from_secs(30);

async fn open(data: &Path) -> Forebay {
    Forebay::builder().memory(1 << 20).data(data).open().await.unwrap()
}

#[tokio::test]
async fn published_messages_are_there_after_a_close_and_after_a_drop() {
    let folder = tempfile::tempdir().unwrap();
    let forebay = open(folder.path()).await;
    forebay.queue("q").await.unwrap().publish("one").await.unwrap();
    assert!(forebay.close().await, "closed in good order");

    let forebay = open(folder.path()).await;
    forebay.queue("q").await.unwrap().publish("two").await.unwrap();
    drop(forebay);
    // The directory is free again once the background has closed it.
    let forebay = loop {
        match Forebay::builder().memory(1 << 20).data(folder.path()).open().await {
            Ok(forebay) => break forebay,
            Err(error) => assert_eq!(error.kind(), Kind::Conflict, "{error}"),
        }
        tokio::task::yield_now().await;
    };
    let queue = forebay.queue("q").await.unwrap();
    for expected in ["one", "two"] {
        let held = queue.receive_within(PATIENCE).await.unwrap().unwrap();
        assert_eq!(held.payload(), expected.as_bytes());
        assert_eq!(held.ack().await.unwrap(), Settled::Done);
    }
    assert!(queue.receive().await.unwrap().is_none());
    assert!(forebay.close().await);
}

#[cfg(feature = "memcached")]
#[tokio::test(flavor = "multi_thread")]
async fn an_opening_that_is_given_up_while_the_store_is_away_leaves_nothing_running() {
    let folder = tempfile::tempdir().unwrap();
    // It takes connections and says nothing, so that the opening waits for it once everything runs.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let store = format!("memcached://{}?timeout=60s", silent.local_addr().unwrap());
    let opening = Forebay::builder().memory(1 << 20).data(folder.path()).store(&store).unwrap().open();
    tokio::select! {
        opened = opening => panic!("it did not wait: {:?}", opened.err()),
        connected = tokio::task::spawn_blocking(move || silent.accept()) => drop(connected.unwrap().unwrap()),
    }
    let begun = std::time::Instant::now();
    let forebay = loop {
        match Forebay::builder().memory(1 << 20).data(folder.path()).open().await {
            Ok(forebay) => break forebay,
            Err(error) => assert_eq!(error.kind(), Kind::Conflict, "{error}"),
        }
        assert!(begun.elapsed() < PATIENCE, "what was given up still has the directory");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(forebay.close().await);
}

#[tokio::test]
async fn data_and_a_broker_in_another_directory_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let builder = Forebay::builder().memory(1 << 20).data(folder.path().join("here"));
    let broker = |name: &str| format!("file:{}", folder.path().join(name).display());
    let refused = builder.clone().broker(&broker("there")).unwrap().open().await.err().unwrap();
    assert_eq!(refused.kind(), Kind::Invalid);
    assert!(refused.to_string().contains("broker must name the directory"), "{refused}");
    assert!(builder.broker(&broker("here")).unwrap().open().await.unwrap().close().await);
}

#[tokio::test]
async fn a_queue_that_is_there_keeps_its_settings() {
    let folder = tempfile::tempdir().unwrap();
    let forebay = open(folder.path()).await;
    let mut settings = QueueSettings::new(QueueName::new("q").unwrap());
    settings.length_max = 1;
    let queue = forebay.queue_with(&settings).await.unwrap();
    forebay.queue("q").await.unwrap().publish("fits").await.unwrap();
    assert_eq!(queue.publish("does not").await.unwrap_err().kind(), Kind::Full);
    settings.length_max = 2;
    assert_eq!(forebay.queue_with(&settings).await.err().unwrap().kind(), Kind::Conflict);
    assert!(forebay.close().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_handles_retries_and_gives_up() {
    let folder = tempfile::tempdir().unwrap();
    let forebay = open(folder.path()).await;
    let mut settings = QueueSettings::new(QueueName::new("q").unwrap());
    settings.retry.attempt_max = 2;
    settings.retry.backoff.first = Duration::ZERO;
    settings.dead_letter = Some(QueueName::new("dead").unwrap());
    let queue = forebay.queue_with(&settings).await.unwrap();
    let (tell, mut told) = mpsc::unbounded_channel();
    let tell = Mutex::new(tell);
    let options = WorkerOptions { concurrency: 2, ..WorkerOptions::default() };
    let worker = queue
        .worker(options, move |delivery| {
            let text = String::from_utf8_lossy(&delivery.message.payload).into_owned();
            tell.lock().unwrap().send((text.clone(), delivery.attempt)).unwrap();
            async move { if text == "bad" { Err(Failure::from("cannot")) } else { Ok(()) } }
        })
        .unwrap();
    queue.publish_all(vec![Draft::new("good"), Draft::new("bad")]).await.unwrap();
    let dead = forebay.queue("dead").await.unwrap();
    let held = dead.receive_within(PATIENCE).await.unwrap().unwrap();
    assert_eq!(held.payload(), b"bad");
    assert_eq!(held.history[0].note.as_deref(), Some("cannot"));
    held.ack().await.unwrap();
    drop(worker);
    let mut seen = Vec::new();
    while let Ok(one) = told.try_recv() {
        seen.push(one);
    }
    seen.sort();
    assert_eq!(seen, [("bad".into(), 1), ("bad".into(), 2), ("good".into(), 1)]);
    assert!(forebay.close().await);
}

#[tokio::test]
async fn the_cache_reads_what_was_written_and_refuses_what_is_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let forebay = open(folder.path()).await;
    let cache = forebay.cache();
    assert!(cache.get("k").is_none());
    cache.set("k", b"one").unwrap();
    assert_eq!(cache.get("k").as_deref(), Some(&b"one"[..]));
    assert_eq!(cache.read("k", <[u8]>::len), Some(3));
    cache.invalidate("k").unwrap();
    assert!(cache.get("k").is_none());
    let load = |_key| async { Ok(Some("loaded".into())) };
    let loaded = cache.get_or_load("k", None, &load).await.unwrap();
    assert_eq!((loaded.as_deref(), cache.get("k").as_deref()), (Some(&b"loaded"[..]), Some(&b"loaded"[..])));
    cache.set_for("k", b"short", Duration::ZERO).unwrap();
    assert!(cache.get("k").is_none(), "its life is over");
    for (key, kind) in [(String::new(), Kind::Invalid), ("k".repeat(251), Kind::TooLarge)] {
        assert_eq!(cache.set(&key, b"v").unwrap_err().kind(), kind);
        assert_eq!(cache.invalidate(&key).unwrap_err().kind(), kind);
        assert!(cache.get(&key).is_none());
    }
    assert_eq!(cache.set("k", vec![0; 2 << 20]).unwrap_err().kind(), Kind::TooLarge);
    assert!(forebay.close().await);
}

#[tokio::test]
async fn a_load_outlives_the_reader_that_began_it() {
    let folder = tempfile::tempdir().unwrap();
    let forebay = open(folder.path()).await;
    let (begun, may_end) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (begins, ends) = (begun.clone(), may_end.clone());
    let load = move |_key| {
        let (begins, ends) = (begins.clone(), ends.clone());
        async move {
            begins.add_permits(1);
            ends.acquire().await.unwrap().forget();
            Ok(Some("loaded".into()))
        }
    };
    let through = forebay.cache().read_through(load, Policy::default()).unwrap();
    tokio::select! {
        _ = through.get("k") => panic!("the load has not ended"),
        permit = begun.acquire() => permit.unwrap().forget(),
    }
    may_end.add_permits(1);
    assert_eq!(through.get("k").await.unwrap().as_deref(), Some(&b"loaded"[..]));
    let reads = forebay.cache().stats().reads;
    assert_eq!((reads.loads, reads.load_failures, reads.waiting), (1, 0, 0));
    assert!(forebay.close().await);
}

#[tokio::test]
async fn what_cannot_be_opened_is_refused_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let forebay = open(folder.path()).await;
    let refused = Forebay::builder().data(folder.path()).open().await.err().unwrap();
    assert_eq!(refused.kind(), Kind::Conflict);
    let refused = Forebay::builder().memory(1).data(folder.path()).open().await.err().unwrap();
    assert!(refused.to_string().contains("memory must be"), "{refused}");
    assert!(forebay.close().await);
}

#[test]
fn without_a_runtime_opening_is_refused() {
    let future = Box::pin(Forebay::builder().open());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Err(error)) = std::pin::Pin::new(&mut { future }).poll(&mut context) else {
        panic!("it must not wait");
    };
    assert_eq!(error.kind(), Kind::Invalid);
}
