//! The write-behind as a program uses it, on real threads and a real disk.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use forebay::{Failure, Forebay, Kind, Payload, Result, SourceWrite, WriteBehind, WriteBehindOptions};

const WRITES: u64 = 2_000;

#[derive(Clone, Default)]
struct Database(Arc<Mutex<HashMap<String, Payload>>>);

impl Database {
    fn write(&self, write: SourceWrite) {
        let mut rows = self.0.lock().unwrap();
        match write.value {
            Some(value) => rows.insert(write.key, value),
            None => rows.remove(&write.key),
        };
    }

    async fn read(&self, key: Vec<u8>) -> Result<Option<Payload>> {
        // Elsewhere meanwhile: what was read may be old when it comes in.
        let row = self.0.lock().unwrap().get(std::str::from_utf8(&key).unwrap()).cloned();
        tokio::task::yield_now().await;
        Ok(row)
    }
}

async fn open(data: &Path) -> Forebay {
    Forebay::builder().memory(1 << 20).data(data).open().await.unwrap()
}

async fn users(forebay: &Forebay, database: &Database) -> WriteBehind {
    let database = database.clone();
    let writer = move |write| {
        let database = database.clone();
        async move {
            database.write(write);
            Ok::<(), Failure>(())
        }
    };
    forebay.write_behind("users", WriteBehindOptions::default(), writer).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_reader_on_another_thread_sees_an_older_value_than_was_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let forebay = open(folder.path()).await;
    let database = Database::default();
    let users = Arc::new(users(&forebay, &database).await);
    let (accepted, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let readers: Vec<_> = (0..4)
        .map(|number| {
            let (users, database, cache) = (users.clone(), database.clone(), forebay.cache());
            let (accepted, over) = (accepted.clone(), over.clone());
            tokio::spawn(async move {
                let load = move |key| {
                    let database = database.clone();
                    async move { database.read(key).await }
                };
                while !over.load(SeqCst) {
                    let floor = accepted.load(SeqCst);
                    let value = users.get("user:7", &load).await.unwrap();
                    let seen = value.map_or(0, |value| std::str::from_utf8(&value).unwrap().parse().unwrap());
                    assert!(floor <= seen, "{floor} was accepted, {seen} is seen");
                    if number == 0 {
                        cache.invalidate("user:7").unwrap();
                    }
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for number in 1..=WRITES {
        users.put("user:7", number.to_string()).await.unwrap();
        accepted.store(number, SeqCst);
    }
    over.store(true, SeqCst);
    for reader in readers {
        reader.await.unwrap();
    }
    users.drained().await.unwrap();
    assert_eq!(database.0.lock().unwrap()["user:7"], Payload::from(WRITES.to_string()));
    Arc::into_inner(users).unwrap().stop().await;
    assert!(forebay.close().await);
}

#[tokio::test]
async fn what_was_pending_at_the_end_of_one_run_is_seen_and_written_in_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let forebay = open(folder.path()).await;
    let never = |_: SourceWrite| std::future::pending::<std::result::Result<(), Failure>>();
    let stalled = forebay.write_behind("users", WriteBehindOptions::default(), never).await.unwrap();
    let again = forebay.write_behind("users", WriteBehindOptions::default(), never).await;
    assert_eq!(again.err().unwrap().kind(), Kind::Conflict);
    forebay.queue(stalled.queue().as_str()).await.unwrap().pause().await.unwrap();
    stalled.put("user:7", "Ada").await.unwrap();
    stalled.delete("user:8").await.unwrap();
    drop(stalled);
    assert!(forebay.close().await);

    let forebay = open(folder.path()).await;
    let database = Database::default();
    database.0.lock().unwrap().insert("user:8".into(), "Bob".into());
    let users = users(&forebay, &database).await;
    let load = |key| {
        let database = database.clone();
        async move { database.read(key).await }
    };
    assert_eq!(users.get("user:7", &load).await.unwrap().as_deref(), Some(&b"Ada"[..]));
    assert_eq!(users.get("user:8", &load).await.unwrap(), None);
    forebay.queue(users.queue().as_str()).await.unwrap().resume().await.unwrap();
    users.drained().await.unwrap();
    let rows = database.0.lock().unwrap().clone();
    assert_eq!(rows, HashMap::from([("user:7".to_owned(), Payload::from("Ada"))]));
    users.stop().await;
    assert!(forebay.close().await);
}
