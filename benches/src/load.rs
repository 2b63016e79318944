//! Load on a server whose replies have a known length: connections that send a batch, wait for all of its replies, and
//! send the next.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Builder;

use crate::server::{Address, Server};

/// What every connection does again and again.
#[derive(Clone)]
pub struct Batches {
    /// Requests to choose from in turn; each a whole batch.
    pub requests: Arc<Vec<Vec<u8>>>,
    /// Bytes of the replies to any one of them.
    pub reply_bytes: usize,
    /// Operations in a batch.
    pub operations: u64,
}

/// How hard and how long.
#[derive(Clone, Copy)]
pub struct Effort {
    pub threads: usize,
    pub connections: usize,
    pub warm_up: Duration,
    pub measured: Duration,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Operations a second.
    pub rate: f64,
    /// Nanoseconds of the server's processor time for an operation.
    pub processor_ns: f64,
    /// Microseconds from sending a batch to its last reply.
    pub p50_us: f64,
    pub p99_us: f64,
}

struct Shared {
    done: AtomicU64,
    measuring: AtomicBool,
    stopped: AtomicBool,
}

/// Puts the load on the server.
pub fn run(server: &Server, batches: &Batches, effort: Effort) -> Outcome {
    let shared = Arc::new(Shared {
        done: AtomicU64::new(0),
        measuring: AtomicBool::new(false),
        stopped: AtomicBool::new(false),
    });
    let threads: Vec<_> = (0..effort.threads)
        .map(|thread| {
            let (address, batches, shared) = (server.address.clone(), batches.clone(), Arc::clone(&shared));
            let connections = effort.connections / effort.threads;
            thread::spawn(move || drive_all(&address, &batches, &shared, connections, thread))
        })
        .collect();
    thread::sleep(effort.warm_up);
    shared.measuring.store(true, Relaxed);
    let (begun, done, processor_ns) = (Instant::now(), shared.done.load(Relaxed), server.processor_ns());
    thread::sleep(effort.measured);
    let (elapsed, done, processor_ns) =
        (begun.elapsed(), shared.done.load(Relaxed) - done, server.processor_ns() - processor_ns);
    shared.stopped.store(true, Relaxed);
    let mut latencies = latencies();
    for thread in threads {
        latencies.add(thread.join().expect("the load runs")).expect("equal histograms");
    }
    let operations = done as f64;
    Outcome {
        rate: operations / elapsed.as_secs_f64(),
        processor_ns: processor_ns as f64 / operations,
        p50_us: latencies.value_at_quantile(0.5) as f64 / 1000.0,
        p99_us: latencies.value_at_quantile(0.99) as f64 / 1000.0,
    }
}

/// No latencies yet: up to a minute, in nanoseconds.
pub fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("valid bounds")
}

fn drive_all(
    address: &Address,
    batches: &Batches,
    shared: &Arc<Shared>,
    connections: usize,
    thread: usize,
) -> Histogram<u64> {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let tasks: Vec<_> = (0..connections)
            .map(|index| {
                let (address, batches, shared) = (address.clone(), batches.clone(), Arc::clone(shared));
                let first = (thread * connections + index) * 7;
                tokio::spawn(async move {
                    match address {
                        Address::Tcp(address) => {
                            let stream = TcpStream::connect(address).await?;
                            stream.set_nodelay(true)?;
                            drive(stream, &batches, &shared, first).await
                        }
                        Address::Unix(path) => {
                            drive(UnixStream::connect(path).await?, &batches, &shared, first).await
                        }
                    }
                })
            })
            .collect();
        let mut all = latencies();
        for task in tasks {
            let latencies = task.await.expect("the load runs").expect("the server answers");
            all.add(latencies).expect("equal histograms");
        }
        all
    })
}

async fn drive(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    batches: &Batches,
    shared: &Shared,
    first: usize,
) -> io::Result<Histogram<u64>> {
    let mut latencies = latencies();
    let mut replies = vec![0; batches.reply_bytes.max(64 * 1024)];
    for request in batches.requests.iter().cycle().skip(first % batches.requests.len()) {
        if shared.stopped.load(Relaxed) {
            break;
        }
        let begun = Instant::now();
        stream.write_all(request).await?;
        let mut missing = batches.reply_bytes;
        while missing > 0 {
            match stream.read(&mut replies[..missing]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => missing -= count,
            }
        }
        shared.done.fetch_add(batches.operations, Relaxed);
        if shared.measuring.load(Relaxed) {
            latencies.saturating_record(begun.elapsed().as_nanos() as u64);
        }
    }
    Ok(latencies)
}
