//! The memcached front on the embedded store and nothing else, to measure it alone.
//! `memcached_server THREADS (ADDRESS | PATH) [MEBIBYTES]`: 0 threads are tasks on a runtime with two workers; the store has 256 MiB
//! unless said otherwise.

use std::error::Error;
use std::sync::Arc;

use forebay_core::entry::Version;
use forebay_core::ports::clock::{Clock, Run};
use forebay_memcached::{Options, bind};
use forebay_memory::{Memory, MemoryOptions, sweeper};
use forebay_runtime::clock::TokioClock;
use tokio::runtime::Builder;
use tokio::sync::watch;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [threads, address, budget @ ..] = arguments.as_slice() else {
        return Err("say how many threads, and where to listen".into());
    };
    let mebibytes = budget.first().map_or(Ok(256), |budget| budget.parse::<usize>())?;
    let options = Options { tcp: None, unix: None, threads: threads.parse()?, ..Options::default() };
    let options = match address.parse() {
        Ok(address) => Options { tcp: Some(address), ..options },
        Err(_) => Options { unix: Some(address.into()), ..options },
    };
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
    let store = Arc::new(Memory::new(MemoryOptions {
        bytes_max: mebibytes << 20,
        value_bytes_max: options.value_bytes_max,
        first_version: Version(clock.now().as_ms() << 10),
    }));
    // Never stopped: it is killed.
    let (_stop, stopped) = watch::channel(false);
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let mut tasks = Vec::new();
        let sweeping = sweeper(Arc::clone(&store), Arc::clone(&clock));
        for work in bind(options, store, clock, stopped)?.work().into_iter().chain([sweeping]) {
            match work.run {
                Run::Task(task) => tasks.push(tokio::spawn(task)),
                Run::Thread(thread) => tasks.push(tokio::task::spawn_blocking(thread)),
            }
        }
        for task in tasks {
            task.await?;
        }
        Ok(())
    })
}
