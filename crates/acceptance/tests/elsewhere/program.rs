//! A program on the library, the same wherever its cache and its queues are.

use std::collections::BTreeSet;

use forebay::{Failure, Forebay, Received, WorkerOptions};

use crate::DRAIN_MAX;

/// A program that knows nothing of where its cache and its queues are but a file.
pub(crate) fn a_program_runs_unchanged(settings: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("forebay.toml");
    std::fs::write(&file, settings).unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let forebay = Forebay::connect(&file).await.unwrap();
        let cache = forebay.shared();
        let load = |_key| async { Ok(Some("teapot".into())) };
        for _ in 0..2 {
            let product = cache.get_or_load("product:7", None, &load).await.unwrap();
            assert_eq!(product.as_deref(), Some(&b"teapot"[..]));
        }
        let none = |_key| async { Ok(None) };
        assert_eq!(cache.get_or_load("product:8", None, &none).await.unwrap(), None);
        assert!(cache.add("product:8", "kettle", None).await.unwrap());
        let (_, version) = cache.get_versioned("product:8").await.unwrap().unwrap();
        cache.set("product:8", "mug").await.unwrap();
        assert!(!cache.replace_version("product:8", "late", version, None).await.unwrap());
        assert_eq!(cache.incr("visits", 2).await.unwrap(), 2);
        assert_eq!(cache.incr("visits", 3).await.unwrap(), 5);
        cache.delete("product:7").await.unwrap();
        let many = cache.get_many(&["product:7", "product:8"]).await.unwrap();
        assert_eq!((many[0].as_deref(), many[1].as_deref()), (None, Some(&b"mug"[..])));

        let queue = forebay.queue("library").await.unwrap().typed::<u32>();
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let worker = queue.worker(WorkerOptions::default(), move |received: Received<u32>| {
            let tell = tell.clone();
            async move {
                // Each number fails once.
                match received.attempt {
                    1 => Err(Failure::from("again")),
                    _ => Ok(tell.send(*received.value())?),
                }
            }
        });
        let worker = worker.unwrap();
        queue.publish_all(0..20).await.unwrap();
        let mut done = BTreeSet::new();
        while done.len() < 20 {
            let number = tokio::time::timeout(DRAIN_MAX, told.recv()).await.expect("the worker works");
            done.insert(number.unwrap());
        }
        worker.stop().await;
        assert!(forebay.close().await, "it closes in good order");
    });
}
