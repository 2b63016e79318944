//! The shop's database: products, and the orders that were worked off. The place of record, and what is judged.

use std::collections::HashSet;
use std::path::Path;

use forebay_core::error::{Error, Kind, Result};
use sqlx::Row;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use super::page::Product;
use super::traffic::orders::Order;

/// Pieces of every product before the first order.
const STOCK_AT_START: i64 = 100_000;
const READ_CONNECTIONS: u32 = 4;

const TABLES: &str = "
    CREATE TABLE products (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        price_cents INTEGER NOT NULL,
        stock INTEGER NOT NULL,
        version INTEGER NOT NULL,
        updated_at_ms INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE done (
        order_id TEXT PRIMARY KEY,
        product_id INTEGER NOT NULL REFERENCES products (id)
    ) STRICT, WITHOUT ROWID;";

/// One statement for all products: the keys come as a JSON list.
const STOCK_UP: &str = "
    INSERT INTO products
    SELECT value, 'Product ' || value, 99 + value % 90000, ?2, 1, CAST(unixepoch('subsec') * 1000 AS INTEGER)
    FROM json_each(?1)";

const SELL_ONE: &str = "
    UPDATE products
    SET stock = stock - 1, version = version + 1, updated_at_ms = CAST(unixepoch('subsec') * 1000 AS INTEGER)
    WHERE id = ? RETURNING version";

/// Products whose stock does not fit the orders that were done.
const MISCOUNTED: &str = "
    SELECT count(*)
    FROM products LEFT JOIN (SELECT product_id, count(*) AS sold FROM done GROUP BY product_id)
        ON product_id = id
    WHERE stock <> ? - coalesce(sold, 0)";

/// The database. Readers and the one writer have connections of their own, so that no read waits for a write.
#[derive(Clone)]
pub(super) struct Shop {
    readers: SqlitePool,
    writer: SqlitePool,
}

/// What came of working off an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worked {
    /// It was the first time: the product now has this version.
    First(u64),
    /// The order had been done before and nothing was changed: the product has this version.
    Again(u64),
}

impl Shop {
    /// Creates the database in `folder` with one product for every key.
    pub(super) async fn open(folder: &Path, keys: &[u32]) -> Result<Self> {
        let failed = |error| database_failed("create database", "of products", error);
        let options = SqliteConnectOptions::new()
            .filename(folder.join("shop.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal);
        let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone());
        let writer = writer.await.map_err(failed)?;
        sqlx::raw_sql(TABLES).execute(&writer).await.map_err(failed)?;
        let list = serde_json::to_string(keys)
            .map_err(|error| Error::new(Kind::Invalid, "create database", "of products").because(error))?;
        sqlx::query(STOCK_UP).bind(list).bind(STOCK_AT_START).execute(&writer).await.map_err(failed)?;
        let readers = SqlitePoolOptions::new().max_connections(READ_CONNECTIONS);
        let readers = readers.connect_with(options.read_only(true)).await.map_err(failed)?;
        Ok(Self { readers, writer })
    }

    /// Reads one product.
    pub(super) async fn product(&self, id: u32) -> Result<Product> {
        let failed = |error| database_failed("read product", &id.to_string(), error);
        let row =
            sqlx::query("SELECT name, price_cents, stock, version, updated_at_ms FROM products WHERE id = ?")
                .bind(id)
                .fetch_one(&self.readers)
                .await
                .map_err(failed)?;
        Ok(Product {
            id,
            name: row.try_get(0).map_err(failed)?,
            price_cents: row.try_get(1).map_err(failed)?,
            stock: row.try_get(2).map_err(failed)?,
            version: number(row.try_get(3).map_err(failed)?),
            updated_at_ms: row.try_get(4).map_err(failed)?,
        })
    }

    /// Does `order` in one transaction: notes it as done, takes one piece from the stock, raises the version.
    /// Doing it again changes nothing.
    pub(super) async fn work_off(&self, order: &Order) -> Result<Worked> {
        let failed = |error| database_failed("work off order", &order.id, error);
        let mut transaction = self.writer.begin().await.map_err(failed)?;
        let noted =
            sqlx::query("INSERT INTO done (order_id, product_id) VALUES (?, ?) ON CONFLICT DO NOTHING")
                .bind(&order.id)
                .bind(order.product)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        let first = noted.rows_affected() == 1;
        let statement = if first { SELL_ONE } else { "SELECT version FROM products WHERE id = ?" };
        let row = sqlx::query(statement).bind(order.product).fetch_one(&mut *transaction).await;
        let version = number(row.and_then(|row| row.try_get(0)).map_err(failed)?);
        transaction.commit().await.map_err(failed)?;
        Ok(if first { Worked::First(version) } else { Worked::Again(version) })
    }

    /// The ids of all orders that were done.
    pub(super) async fn done(&self) -> Result<HashSet<String>> {
        let ids = sqlx::query_scalar("SELECT order_id FROM done").fetch_all(&self.readers).await;
        Ok(ids.map_err(|error| database_failed("read orders", "done", error))?.into_iter().collect())
    }

    /// How many products have a stock that does not fit the orders that were done.
    pub(super) async fn miscounted(&self) -> Result<u64> {
        let count = sqlx::query_scalar(MISCOUNTED).bind(STOCK_AT_START).fetch_one(&self.readers).await;
        Ok(number(count.map_err(|error| database_failed("count stock", "of products", error))?))
    }

    /// Ends the connections; the folder may be removed afterwards.
    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// SQLite's signed numbers as ours; versions and counts are never negative.
fn number(signed: i64) -> u64 {
    u64::try_from(signed).unwrap_or_default()
}

fn database_failed(operation: &'static str, context: &str, error: sqlx::Error) -> Error {
    Error::new(Kind::Io, operation, context).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shop(folder: &Path) -> Shop {
        Shop::open(folder, &[7, 4_096_000_000]).await.unwrap()
    }

    fn order(id: &str, product: u32) -> Order {
        Order { id: id.into(), product }
    }

    #[tokio::test]
    async fn an_order_delivered_twice_takes_one_piece() {
        let folder = tempfile::tempdir().unwrap();
        let shop = shop(folder.path()).await;
        assert_eq!(shop.work_off(&order("a", 7)).await.unwrap(), Worked::First(2));
        assert_eq!(shop.work_off(&order("a", 7)).await.unwrap(), Worked::Again(2));
        assert_eq!(shop.work_off(&order("b", 7)).await.unwrap(), Worked::First(3));
        let product = shop.product(7).await.unwrap();
        assert_eq!((product.version, product.stock), (3, STOCK_AT_START - 2));
        assert_eq!(shop.product(4_096_000_000).await.unwrap().version, 1);
        assert_eq!(shop.done().await.unwrap(), HashSet::from(["a".to_string(), "b".to_string()]));
        assert_eq!(shop.miscounted().await.unwrap(), 0);
        shop.close().await;
    }

    #[tokio::test]
    async fn a_stock_that_does_not_fit_the_orders_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let shop = shop(folder.path()).await;
        shop.work_off(&order("a", 7)).await.unwrap();
        sqlx::query(SELL_ONE).bind(7).execute(&shop.writer).await.unwrap();
        assert_eq!(shop.miscounted().await.unwrap(), 1);
        shop.close().await;
    }

    #[tokio::test]
    async fn an_order_for_a_product_that_is_not_there_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let shop = shop(folder.path()).await;
        let error = shop.work_off(&order("a", 8)).await.unwrap_err();
        assert!(error.to_string().starts_with("work off order a: failed"), "{error}");
        assert!(shop.done().await.unwrap().is_empty());
        shop.close().await;
    }
}
