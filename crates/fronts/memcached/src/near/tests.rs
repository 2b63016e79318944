//! What a front before a shared store holds in memory for its clients.

use std::sync::Arc;
use std::time::Duration;

use forebay_cache::NearCache;
use forebay_cache::near::alone::Alone;
use forebay_core::entry::{Mode, Version};
use forebay_core::ports::BoxFuture;
use forebay_core::ports::clock::Clock;
use forebay_core::ports::remote_store::{Put, RemoteStore};
use forebay_core::time::Instant;
use forebay_memory::{Memory, MemoryOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::watch;
use tokio::time::timeout;

use super::front::Front;
use crate::options::Options;
use crate::serve::bind::Addresses;
use crate::serve::connection::Connection;
use crate::serve::peers::Origin;
use crate::shared::Shared;

const MIB: usize = 1024 * 1024;
const VALUE_BYTES: usize = 900_000;
const KEYS: usize = 40;
const PATIENCE: Duration = Duration::from_secs(20);

/// Time stands still, and sleeps never end.
struct Still;

impl Clock for Still {
    fn now(&self) -> Instant {
        Instant::from_ms(1_700_000_000_000)
    }

    fn sleep_until(&self, _: Instant) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }

    fn random(&self) -> u64 {
        4
    }
}

fn memory() -> Arc<Memory> {
    let options = MemoryOptions { bytes_max: 8 * MIB, value_bytes_max: MIB, first_version: Version(1) };
    Arc::new(Memory::new(options))
}

/// A front whose connections may hold 2 MiB together, before a store with one large value at `k`. Its copies have no room
/// for that, so that the store is asked every time.
async fn front() -> Arc<Shared<Front>> {
    let store = Alone::new(memory(), Arc::new(Still));
    let put = Put { flags: 0, life: None, mode: Mode::Set, version: None };
    store.put(b"k", &vec![b'x'; VALUE_BYTES], put).await.unwrap();
    let copies = Memory::new(MemoryOptions { bytes_max: MIB, value_bytes_max: 1, first_version: Version(1) });
    let near = NearCache::new(Arc::new(copies), Arc::new(store), Arc::new(Still));
    let options = Options { buffers_bytes_max: 0, ..Options::default() };
    let front = Front::new(Arc::new(near), options.value_bytes_max);
    Arc::new(Shared::new(options, Addresses::default(), Arc::new(front), Arc::new(Still)))
}

fn connect(shared: &Arc<Shared<Front>>, stop: &watch::Receiver<bool>) -> DuplexStream {
    let (ours, theirs) = duplex(64 * 1024);
    let seat = shared.peers.seat(Origin::Unix, shared.clock.now()).unwrap();
    tokio::spawn(Connection::new(theirs, Arc::clone(shared), seat).serve(stop.clone()));
    ours
}

/// Bytes of the answer to a read, to its `END`.
async fn read(client: &mut DuplexStream) -> usize {
    let (mut buffer, mut tail, mut bytes) = (vec![0; 64 * 1024], Vec::new(), 0);
    while !tail.ends_with(b"\r\nEND\r\n") {
        let count = timeout(PATIENCE, client.read(&mut buffer)).await.unwrap().unwrap();
        assert!(count > 0, "the connection ended after {bytes} bytes");
        bytes += count;
        tail.extend_from_slice(&buffer[..count]);
        tail.drain(..tail.len().saturating_sub(7));
    }
    bytes
}

#[test]
fn reads_of_large_values_take_no_more_than_the_budget_and_are_all_answered() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (_stop, stopped) = watch::channel(false);
    let shared = runtime.block_on(front());
    let taken = allocation_counter::measure(|| {
        runtime.block_on(async {
            let mut clients: Vec<_> = (0..3).map(|_| connect(&shared, &stopped)).collect();
            for client in &mut clients {
                client.write_all(format!("get{}\r\n", " k".repeat(KEYS)).as_bytes()).await.unwrap();
            }
            let [one, two, three] = clients.as_mut_slice() else { panic!("three") };
            let whole = KEYS * (format!("VALUE k 0 {VALUE_BYTES}\r\n").len() + VALUE_BYTES + 2) + 5;
            assert_eq!(tokio::join!(read(one), read(two), read(three)), (whole, whole, whole));
        });
    });
    // An answer is there twice for a moment, as a value and as what is sent.
    assert!(taken.bytes_max < 5 * MIB as u64, "{taken:?}");
    assert_eq!(shared.buffers.taken(), 0);
}

/// Whoever needs a node that can be emptied looks here.
#[tokio::test]
async fn that_it_does_not_flush_is_among_its_settings() {
    let (_stop, stopped) = watch::channel(false);
    let shared = front().await;
    let mut client = connect(&shared, &stopped);
    client.write_all(b"stats settings\r\nquit\r\n").await.unwrap();
    let mut settings = String::new();
    timeout(PATIENCE, client.read_to_string(&mut settings)).await.unwrap().unwrap();
    assert!(settings.contains("STAT flush_enabled no\r\n"), "{settings}");
}

#[tokio::test]
async fn who_needs_room_waits_for_it_and_who_needs_none_does_not() {
    let (_stop, stopped) = watch::channel(false);
    let shared = front().await;
    let mut slow = connect(&shared, &stopped);
    slow.write_all(b"get k k\r\n").await.unwrap();
    // Seen by its first byte: the answer has been made, and takes all there is.
    timeout(PATIENCE, slow.read_exact(&mut [0; 1])).await.unwrap().unwrap();
    let mut waits = connect(&shared, &stopped);
    waits.write_all(b"get k\r\n").await.unwrap();
    let mut other = connect(&shared, &stopped);
    other.write_all(b"set a 0 0 1\r\nx\r\nmn\r\n").await.unwrap();
    let mut answer = [0; 12];
    timeout(PATIENCE, other.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"STORED\r\nMN\r\n");
    drop(slow);
    assert_eq!(read(&mut waits).await, format!("VALUE k 0 {VALUE_BYTES}\r\n").len() + VALUE_BYTES + 2 + 5);
}
