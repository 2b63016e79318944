//! What the library builds on its cache, through the real engine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use forebay::{Compressed, Error, Forebay, Json, Kind, Postcard, RateLimit};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Product {
    name: String,
    stock: u32,
}

fn product(stock: u32) -> Product {
    Product { name: "teapot".into(), stock }
}

async fn open() -> (TempDir, Forebay) {
    let folder = tempfile::tempdir().unwrap();
    let forebay = Forebay::builder().memory(1 << 20).data(folder.path()).open().await.unwrap();
    (folder, forebay)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_all_who_miss_a_typed_value_one_loads_it() {
    let (_folder, forebay) = open().await;
    let products = forebay.cache().coded::<Product>(Postcard);
    let loads = AtomicUsize::new(0);
    let load = async || {
        loads.fetch_add(1, SeqCst);
        tokio::task::yield_now().await;
        Ok(Some(product(7)))
    };
    let get = || products.get_or_load("7", None, load);
    let (a, b, c) = tokio::join!(get(), get(), get());
    assert_eq!([a, b, c].map(Result::unwrap), [Some(product(7)), Some(product(7)), Some(product(7))]);
    assert_eq!(loads.load(SeqCst), 1);
    assert_eq!(products.get("7"), Some(product(7)));
    let none = products.get_or_load("8", None, async || Ok(None)).await.unwrap();
    assert_eq!((none, products.get("8")), (None, None));
    let failed = products.get_or_load("8", None, async || Err(Error::new(Kind::Io, "query", "8"))).await;
    assert_eq!(failed.unwrap_err().kind(), Kind::Io);
    assert!(forebay.close().await);
}

#[tokio::test]
async fn bytes_of_another_kind_are_a_miss_and_give_way() {
    let (_folder, forebay) = open().await;
    let (cache, products) = (forebay.cache(), forebay.cache().typed::<Product>());
    cache.set("7", "no product").unwrap();
    assert_eq!(products.get("7"), None);
    assert!(cache.get("7").is_none(), "it is forgotten");
    cache.set("7", "no product").unwrap();
    let loaded = products.get_or_load("7", None, async || Ok(Some(product(1)))).await.unwrap();
    assert_eq!((loaded, products.get("7")), (Some(product(1)), Some(product(1))));
    assert!(forebay.close().await);
}

#[tokio::test]
async fn a_typed_write_goes_to_the_source_first_and_a_failed_one_leaves_no_value() {
    let (_folder, forebay) = open().await;
    let products = forebay.cache().typed::<Product>();
    products.write_through("7", &product(1), None, async { Ok(()) }).await.unwrap();
    assert_eq!(products.get("7"), Some(product(1)));
    let fail = async { Err(Error::new(Kind::Unavailable, "update", "7")) };
    assert!(products.write_through("7", &product(2), None, fail).await.is_err());
    assert_eq!(products.get("7"), None);
    products.set("7", &product(3), Some(Duration::from_secs(60))).unwrap();
    products.invalidate("7").unwrap();
    assert_eq!(products.get("7"), None);
    assert!(forebay.close().await);
}

#[tokio::test]
async fn compression_serves_messages_and_entries_alike() {
    let (_folder, forebay) = open().await;
    let large = "tea ".repeat(100_000);
    let codec = || Compressed::above(1_000, Json);
    let pages = forebay.cache().coded::<String>(codec());
    pages.set("home", &large, None).unwrap();
    assert_eq!(pages.get("home").as_ref(), Some(&large));
    assert!(forebay.cache().read("home", <[u8]>::len).unwrap() < 10_000);
    let queue = forebay.queue("pages").await.unwrap().coded::<String>(codec());
    queue.publish(large.clone()).await.unwrap();
    let held = queue.receive().await.unwrap().unwrap();
    assert!(held.payload().len() < 10_000);
    assert_eq!((held.value(), held.message.content_type.as_deref()), (&large, None));
    held.ack().await.unwrap();
    assert!(forebay.close().await);
}

#[tokio::test]
async fn every_handle_of_one_cache_means_the_same_parts() {
    let (_folder, forebay) = open().await;
    let (one, other) = (forebay.cache(), forebay.clone().cache());
    one.counter("visits", None).unwrap().add(2).unwrap();
    assert_eq!(other.counter("visits", None).unwrap().add(1).unwrap(), 3);
    let lock = one.locks().try_lock("a", Duration::from_secs(60)).unwrap().unwrap();
    assert!(other.locks().try_lock("a", Duration::from_secs(60)).unwrap().is_none());
    assert!(lock.release());
    let rate = RateLimit { limit: 1, window: Duration::from_secs(3600) };
    assert!(one.rate_limiter(rate).unwrap().take("ada").unwrap().allowed);
    assert!(!other.rate_limiter(rate).unwrap().take("ada").unwrap().allowed);
    one.namespace("user").unwrap().set("7", "Ada", None).unwrap();
    other.namespace("user").unwrap().invalidate_all();
    assert!(one.namespace("user").unwrap().get("7").is_none());
    one.tagged().set("7", "teapot", &["tea"], None).unwrap();
    other.tagged().invalidate_tag("tea");
    assert!(one.tagged().get("7").is_none());
    let idle = Duration::from_secs(60);
    one.sessions::<u32>(idle).unwrap().put("id", &7).unwrap();
    assert_eq!(other.sessions::<u32>(idle).unwrap().get("id"), Some(7));
    assert!(one.get("7").is_none() && one.get("id").is_none(), "none of them is a plain entry");
    assert!(forebay.close().await);
}
