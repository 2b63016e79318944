//! The same job on apalis, whose jobs are text.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use apalis::prelude::{TaskSink, WorkerBuilder, WorkerContext};
use apalis_redis::{Config, ConnectionManager, RedisStorage};
use forebay_benches::queue_servers::peer::{BODY, Fallible};

use crate::sides::{Doing, Jobs, TOGETHER};
use crate::through::Countdown;

const QUEUE: &str = "apalis";

/// Jobs in its storage on Redis.
pub struct Apalis {
    connection: ConnectionManager,
    body: String,
    /// It refuses a worker whose name another one had within its threshold.
    workers: AtomicU64,
}

impl Apalis {
    pub async fn connect(url: &str) -> Fallible<Self> {
        let body = String::from_utf8(BODY.to_vec())?;
        Ok(Self { connection: apalis_redis::connect(url).await?, body, workers: AtomicU64::new(0) })
    }

    /// As fast as it can be and still acknowledge: it calls that keeping the result. Without the locks that jobs shorter
    /// than a heartbeat do not need, and without telling others of each job.
    fn storage(&self) -> RedisStorage<String> {
        let config = Config::default().queue(QUEUE).batch_size(TOGETHER).lock_tasks(false).emit_events(false);
        RedisStorage::new(self.connection.clone()).with_config(config)
    }
}

impl Jobs for Apalis {
    fn run(&self, count: u64) -> Doing<'_, ()> {
        Box::pin(async move {
            let mut storage = self.storage();
            let mut left = count as usize;
            while left > 0 {
                let batch = left.min(TOGETHER);
                storage.push_bulk(vec![self.body.clone(); batch]).await?;
                left -= batch;
            }
            let countdown = Arc::new(Countdown::new(count));
            let handler = move |job: String, worker: WorkerContext| {
                let countdown = Arc::clone(&countdown);
                async move { if countdown.one(job.len()) { worker.stop() } else { Ok(()) } }
            };
            // It ends when the last job has stopped it, after what is to be acknowledged.
            let name = format!("worker-{}", self.workers.fetch_add(1, Relaxed));
            Ok(WorkerBuilder::new(name.as_str()).backend(storage).build(handler).run().await?)
        })
    }
}
