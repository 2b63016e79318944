//! Customers who look at product pages: read-through by lease, and straight to the database while the cache is away.

use std::sync::Arc;

use forebay_core::error::Result;
use tokio::time::{Instant, sleep};

use super::feed::{Access, Feed};
use super::floors::Floors;
use super::orders::{Basket, Order};
use crate::demo::clients::cache::{CacheClient, Lease, Lookup};
use crate::demo::limits;
use crate::demo::page;
use crate::demo::shop::Shop;
use crate::demo::verdict::counts::Counts;
use crate::demo::verdict::latency::Latencies;

/// One customer after the other, on one connection.
pub(super) struct Reader {
    pub(super) cache: CacheClient,
    pub(super) shop: Shop,
    pub(super) floors: Arc<Floors>,
    pub(super) basket: Arc<Basket>,
    pub(super) counts: Arc<Counts>,
}

/// Where a page came from.
enum Served {
    /// The cache, which had it.
    Cache(Vec<u8>),
    /// The database.
    Database,
}

impl Reader {
    /// Reads page after page until the feed ends. No page view fails because the daemon does.
    pub(super) async fn run(mut self, feed: Arc<Feed>) -> Result<Latencies> {
        let mut latencies = Latencies::new()?;
        while let Some(access) = feed.next().await? {
            self.view(access.key, &mut latencies).await?;
            if access.number % limits::VIEWS_PER_ORDER == 0 {
                self.order(access);
            }
        }
        Ok(latencies)
    }

    async fn view(&mut self, product: u32, latencies: &mut Latencies) -> Result<()> {
        let start = Instant::now();
        let floor = self.floors.at(product, start);
        let served = self.serve(product).await?;
        self.counts.views.add(1);
        match served {
            Served::Cache(page) => {
                latencies.hit(start.elapsed());
                self.counts.hits.add(1);
                self.check(product, &page, floor);
            }
            Served::Database => latencies.miss(start.elapsed()),
        }
        Ok(())
    }

    async fn serve(&mut self, product: u32) -> Result<Served> {
        let key = format!("product:{product}");
        for _ in 0..limits::LEASE_TRIES_MAX {
            match self.cache.look_up(&key).await {
                Ok(Lookup::Hit(page)) => return Ok(Served::Cache(page)),
                Ok(Lookup::Won(lease)) => return self.load(product, &key, lease).await,
                Ok(Lookup::Taken) => sleep(limits::LEASE_PAUSE).await,
                Err(_) => {
                    self.counts.database_reads_away.add(1);
                    break;
                }
            }
        }
        self.counts.database_reads.add(1);
        self.shop.product(product).await?;
        Ok(Served::Database)
    }

    /// Reads the database and fills the cache. Whether the fill is stored or refused, the page is good: it was read
    /// after this view began.
    async fn load(&mut self, product: u32, key: &str, lease: Lease) -> Result<Served> {
        self.counts.database_reads.add(1);
        let page = self.shop.product(product).await?.page();
        if let Ok(false) = self.cache.fill(key, lease, &page).await {
            self.counts.fills_refused.add(1);
        }
        Ok(Served::Database)
    }

    /// Judges a page that the cache served.
    fn check(&self, product: u32, page: &[u8], floor: Option<u64>) {
        match page::shown(page) {
            Some((shown, version)) if shown == product => {
                let Some(floor) = floor else { return };
                self.counts.checked.add(1);
                if version < floor {
                    self.counts.stale.add(1);
                }
            }
            _ => self.counts.wrong_pages.add(1),
        }
    }

    fn order(&self, access: Access) {
        let order = Order { id: format!("order-{:08}", access.number), product: access.key };
        if !self.basket.place(order, self.counts.done.get()) {
            self.counts.turned_away.add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::demo::clients::scripted;
    use crate::demo::daemon::Addresses;
    use tokio::sync::watch;

    const PRODUCT: u32 = 7;

    async fn reader(folder: &Path, addresses: watch::Receiver<Addresses>) -> Reader {
        Reader {
            cache: CacheClient::new(addresses),
            shop: Shop::open(folder, &[PRODUCT]).await.unwrap(),
            floors: Arc::default(),
            basket: Arc::default(),
            counts: Arc::new(Counts::new(Instant::now(), Duration::from_secs(1))),
        }
    }

    /// A cache that always has this page.
    async fn cache_with(page: &'static str) -> watch::Receiver<Addresses> {
        let answer = move |_: &str| Some(format!("VA {} c1\r\n{page}\r\n", page.len()));
        scripted::cache(answer).await
    }

    async fn view(reader: &mut Reader) {
        reader.view(PRODUCT, &mut Latencies::new().unwrap()).await.unwrap();
    }

    #[tokio::test]
    async fn a_planted_stale_page_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let mut reader = reader(folder.path(), cache_with("<!-- product 7 version 2 -->\n").await).await;
        let long_ago = Instant::now() - limits::STALE_AFTER * 2;
        view(&mut reader).await;
        assert_eq!(
            (reader.counts.checked.get(), reader.counts.stale.get()),
            (0, 0),
            "nothing is known of it yet"
        );
        reader.floors.invalidated(PRODUCT, 2, long_ago);
        view(&mut reader).await;
        assert_eq!((reader.counts.checked.get(), reader.counts.stale.get()), (1, 0), "as new as it must be");
        reader.floors.invalidated(PRODUCT, 3, long_ago);
        view(&mut reader).await;
        assert_eq!((reader.counts.checked.get(), reader.counts.stale.get()), (2, 1), "stale");
        reader.shop.close().await;
    }

    #[tokio::test]
    async fn another_products_page_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let mut reader = reader(folder.path(), cache_with("<!-- product 8 version 2 -->\n").await).await;
        view(&mut reader).await;
        assert_eq!(reader.counts.wrong_pages.get(), 1);
        reader.shop.close().await;
    }

    #[tokio::test]
    async fn a_missing_page_is_read_from_the_database_and_filled_by_its_lease() {
        let folder = tempfile::tempdir().unwrap();
        let (filled, mut fills) = watch::channel(String::new());
        let cache = move |line: &str| {
            if line.starts_with("mg") {
                return Some("VA 0 c41 W\r\n\r\n".to_string());
            }
            filled.send_replace(line.to_string());
            Some("HD\r\n".to_string())
        };
        let daemon = scripted::cache(cache).await;
        let mut reader = reader(folder.path(), daemon).await;
        view(&mut reader).await;
        let fill = fills.wait_for(|line| !line.is_empty()).await.unwrap().clone();
        assert!(fill.starts_with("ms product:7 ") && fill.contains(" C41 "), "{fill}");
        assert_eq!((reader.counts.database_reads.get(), reader.counts.hits.get()), (1, 0));
        reader.shop.close().await;
    }

    #[tokio::test]
    async fn views_go_on_while_the_cache_is_away_or_a_filler_never_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut alone = reader(folder.path(), scripted::nobody().await).await;
        view(&mut alone).await;
        assert_eq!((alone.counts.database_reads.get(), alone.counts.database_reads_away.get()), (1, 1));
        alone.shop.close().await;

        let folder = tempfile::tempdir().unwrap();
        let taken = |_: &str| Some("VA 0 c41 Z\r\n\r\n".to_string());
        let daemon = scripted::cache(taken).await;
        let mut waiting = reader(folder.path(), daemon).await;
        view(&mut waiting).await;
        assert_eq!((waiting.counts.database_reads.get(), waiting.counts.database_reads_away.get()), (1, 0));
        waiting.shop.close().await;
    }
}
