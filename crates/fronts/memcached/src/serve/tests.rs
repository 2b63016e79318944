//! Serving without sockets: listeners and clocks that do what a test tells them.

use std::collections::VecDeque;
use std::future::{pending, ready};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use forebay_core::entry::{Arithmetic, Counted, Delete, Deleted, Lease, Read, Version, View, Write, Written};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::LISTENER_THREADS_MAX;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::clock::Clock;
use forebay_core::ports::local_store::LocalStore;
use forebay_core::ports::pledges::{Pledge, Pledges};
use forebay_core::stats::{PinnedStats, StoreStats};
use forebay_core::time::Instant;
use forebay_memory::{Memory, MemoryOptions};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::watch;
use tokio::time::timeout;

use super::accept::accept;
use super::bind::{Addresses, bind};
use super::deal::Deal;
use super::listener::Listener;
use super::peers::Origin;
use crate::options::Options;
use crate::shared::Shared;
use crate::stats::counters::Count;

const MIB: usize = 1024 * 1024;
const OUT_OF_MEMORY: &[u8] = b"SERVER_ERROR out of memory storing object\r\nMN\r\n";

/// Time stands still; sleeps end at once or never.
struct Still {
    sleeps_end: bool,
    sleeps: AtomicUsize,
    /// The end of the last one.
    until_ms: AtomicU64,
    /// Told to stop when there were so many sleeps.
    stop: Option<(usize, watch::Sender<bool>)>,
}

impl Still {
    fn new(sleeps_end: bool) -> Self {
        Self { sleeps_end, sleeps: AtomicUsize::new(0), until_ms: AtomicU64::new(0), stop: None }
    }
}

impl Clock for Still {
    fn now(&self) -> Instant {
        Instant::from_ms(1_700_000_000_000)
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        self.until_ms.store(at.as_ms(), Relaxed);
        let sleeps = self.sleeps.fetch_add(1, Relaxed) + 1;
        if let Some((_, stop)) = self.stop.as_ref().filter(|(at, _)| *at == sleeps) {
            stop.send_replace(true);
        }
        if self.sleeps_end { Box::pin(ready(())) } else { Box::pin(pending()) }
    }

    fn random(&self) -> u64 {
        4
    }
}

/// Hands out what it was given, then waits for ever.
struct Given(Mutex<VecDeque<DuplexStream>>);

impl Listener for Given {
    type Socket = DuplexStream;
    type Stream = DuplexStream;

    fn poll_accept(&self, _: &mut Context<'_>) -> Poll<io::Result<(DuplexStream, Origin)>> {
        match self.0.lock().pop_front() {
            Some(stream) => Poll::Ready(Ok((stream, Origin::Unix))),
            None => Poll::Pending,
        }
    }

    fn open(socket: DuplexStream) -> io::Result<DuplexStream> {
        Ok(socket)
    }
}

/// Out of descriptors, again and again.
#[derive(Clone, Default)]
struct Exhausted(Arc<AtomicUsize>);

impl Listener for Exhausted {
    type Socket = DuplexStream;
    type Stream = DuplexStream;

    fn poll_accept(&self, _: &mut Context<'_>) -> Poll<io::Result<(DuplexStream, Origin)>> {
        self.0.fetch_add(1, Relaxed);
        Poll::Ready(Err(io::Error::other("too many open files")))
    }

    fn open(socket: DuplexStream) -> io::Result<DuplexStream> {
        Ok(socket)
    }
}

/// A store that panics when it is asked for `boom`, after it has shown another key; and that pledges keys which begin with
/// `task:` until it is told whether that could be kept.
struct Fragile(Memory, watch::Sender<Option<bool>>);

impl Pledges for Fragile {
    fn pledge(&self, key: &[u8]) -> Option<Pledge> {
        (key.starts_with(b"task:") && self.1.borrow().is_none()).then_some(Pledge(1))
    }

    fn kept(&self, _: Pledge) -> BoxFuture<'static, Result<()>> {
        let mut kept = self.1.subscribe();
        Box::pin(async move {
            let kept = kept.wait_for(Option::is_some).await.is_ok_and(|kept| *kept == Some(true));
            if kept { Ok(()) } else { Err(Error::new(Kind::Poisoned, "keep", "task")) }
        })
    }

    fn pinned(&self) -> Option<PinnedStats> {
        Some(PinnedStats::default())
    }
}

impl LocalStore for Fragile {
    fn read(&self, key: &[u8], read: Read, visit: &mut dyn FnMut(View<'_>)) -> bool {
        assert!(key != b"boom", "on purpose");
        self.0.read(key, read, visit)
    }

    fn write(&self, key: &[u8], value: &[u8], write: Write) -> Written {
        self.0.write(key, value, write)
    }

    fn delete(&self, key: &[u8], delete: Delete) -> Deleted {
        self.0.delete(key, delete)
    }

    fn count(&self, key: &[u8], arithmetic: Arithmetic) -> Counted {
        self.0.count(key, arithmetic)
    }

    fn lease(&self, key: &[u8]) -> Lease {
        self.0.lease(key)
    }

    fn flush(&self, at: Instant, now: Instant) {
        self.0.flush(at, now);
    }

    fn sweep(&self, now: Instant) -> usize {
        self.0.sweep(now)
    }

    fn stats(&self) -> StoreStats {
        self.0.stats()
    }
}

/// One thread that accepts and serves.
async fn serve(listener: impl Listener, shared: Arc<Shared<Fragile>>, stop: watch::Receiver<bool>) {
    let (deal, hands) = Deal::among(1);
    let accept = accept(listener, Arc::new(deal), Arc::clone(&shared), stop);
    let serve = async {
        for hand in hands {
            hand.serve(Arc::clone(&shared)).await;
        }
    };
    tokio::join!(accept, serve);
}

fn shared(clock: Still) -> Arc<Shared<Fragile>> {
    shared_with(Options::default(), Arc::new(clock))
}

fn shared_with(options: Options, clock: Arc<Still>) -> Arc<Shared<Fragile>> {
    let memory =
        Memory::new(MemoryOptions { bytes_max: 64 * MIB, value_bytes_max: MIB, first_version: Version(1) });
    let shared = Shared::new(
        options,
        Addresses::default(),
        Arc::new(Fragile(memory, watch::Sender::new(None))),
        clock,
    );
    Arc::new(shared)
}

/// So many clients of one listener that accepts them in order. The pipes hold 64 bytes.
fn clients(count: usize) -> (Vec<DuplexStream>, Given) {
    let (ours, theirs) = (0..count).map(|_| duplex(64)).unzip();
    (ours, Given(Mutex::new(theirs)))
}

async fn ask(client: &mut DuplexStream, command: &[u8], answer: &[u8]) {
    client.write_all(command).await.unwrap();
    let mut answered = vec![0; answer.len()];
    client.read_exact(&mut answered).await.unwrap();
    assert_eq!(answered, answer);
}

#[tokio::test]
async fn an_exhausted_listener_rests_after_every_failure() {
    let (stop, stopped) = watch::channel(false);
    let listener = Exhausted::default();
    let clock = Still { stop: Some((5, stop)), ..Still::new(true) };
    serve(listener.clone(), shared(clock), stopped).await;
    assert!(listener.0.load(Relaxed) <= 6, "{} failures with 5 rests", listener.0.load(Relaxed));
}

#[tokio::test]
async fn a_stop_waits_until_answers_are_read() {
    let (stop, stopped) = watch::channel(false);
    let (mut clients, listener) = clients(1);
    let serving = tokio::spawn(serve(listener, shared(Still::new(false)), stopped));
    let batch = b"mn\r\n".repeat(10);
    clients[0].write_all(&batch).await.unwrap();
    // Seen by its first answer: the batch has been read.
    let mut answer = vec![0; 4];
    clients[0].read_exact(&mut answer).await.unwrap();
    stop.send_replace(true);
    clients[0].read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"MN\r\n".repeat(10));
    serving.await.unwrap();
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever_for_a_client_that_does_not_read() {
    let (stop, stopped) = watch::channel(false);
    let (mut clients, listener) = clients(1);
    let shared = shared(Still::new(true));
    let serving = tokio::spawn(serve(listener, Arc::clone(&shared), stopped));
    clients[0].write_all(&b"version\r\n".repeat(7)).await.unwrap();
    clients[0].read_exact(&mut [0; 1]).await.unwrap();
    stop.send_replace(true);
    serving.await.unwrap();
    assert_eq!(shared.peers.stats().current(), 0);
}

#[tokio::test]
async fn where_keys_are_pinned_the_settings_say_that_a_flush_leaves_them() {
    let (stop, stopped) = watch::channel(false);
    let (ours, theirs): (Vec<_>, VecDeque<_>) = [duplex(MIB)].into_iter().unzip();
    let [mut client] = <[DuplexStream; 1]>::try_from(ours).unwrap();
    tokio::spawn(serve(Given(Mutex::new(theirs)), shared(Still::new(false)), stopped));
    client.write_all(b"stats settings\r\nquit\r\n").await.unwrap();
    let mut settings = String::new();
    client.read_to_string(&mut settings).await.unwrap();
    for told in ["STAT flush_enabled yes\r\n", "STAT flush_leaves_pinned yes\r\n"] {
        assert!(settings.contains(told), "{settings}");
    }
    drop(stop);
}

#[tokio::test]
async fn an_owner_that_is_gone_is_a_stop() {
    let (stop, stopped) = watch::channel(false);
    let (mut clients, listener) = clients(1);
    let serving = tokio::spawn(serve(listener, shared(Still::new(false)), stopped));
    ask(&mut clients[0], b"mn\r\n", b"MN\r\n").await;
    drop(stop);
    serving.await.unwrap();
    assert_eq!(clients[0].read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_stop_waits_as_long_as_the_options_say() {
    let (stop, stopped) = watch::channel(true);
    let (_clients, listener) = clients(1);
    let clock = Arc::new(Still::new(false));
    let options = Options { drain: Duration::from_secs(1234), ..Options::default() };
    serve(listener, shared_with(options, clock.clone()), stopped).await;
    assert_eq!(clock.until_ms.load(Relaxed), (clock.now() + Duration::from_secs(1234)).as_ms());
    drop(stop);
}

#[tokio::test]
async fn a_panic_ends_one_connection_and_shows_its_answers_to_no_other() {
    let (_stop, stopped) = watch::channel(false);
    let (mut clients, listener) = clients(2);
    tokio::spawn(serve(listener, shared(Still::new(false)), stopped));
    ask(&mut clients[0], b"set secret 0 0 1\r\nx\r\n", b"STORED\r\n").await;
    clients[0].write_all(b"get secret boom\r\n").await.unwrap();
    assert_eq!(clients[0].read(&mut [0; 1]).await.unwrap(), 0);
    ask(&mut clients[1], b"mn\r\n", b"MN\r\n").await;
    ask(&mut clients[1], b"get secret\r\n", b"VALUE secret 0 1\r\nx\r\nEND\r\n").await;
}

/// Every verb and one key, in one write: what is sent before the pledge is kept, how the connection goes on, and a client beside.
async fn answered_when(kept: bool, command: &[u8], answer: &[u8]) {
    let (_stop, stopped) = watch::channel(false);
    let (mut ours, theirs): (Vec<_>, VecDeque<_>) = (0..2).map(|_| duplex(MIB)).unzip();
    let shared = shared(Still::new(false));
    tokio::spawn(serve(Given(Mutex::new(theirs)), Arc::clone(&shared), stopped));
    ours[0].write_all(&[b"mn\r\n", command].concat()).await.unwrap();
    // The same thread serves both, in the order in which they came; so by now the first one waits.
    ask(&mut ours[1], b"mn\r\n", b"MN\r\n").await;
    let early = timeout(Duration::ZERO, ours[0].read(&mut [0; 1])).await;
    assert!(early.is_err(), "{}: told too early", String::from_utf8_lossy(command));
    shared.store.1.send_replace(Some(kept));
    let mut all = vec![0; 4 + answer.len()];
    if kept {
        ours[0].read_exact(&mut all).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&all[4..]), String::from_utf8_lossy(answer));
        ask(&mut ours[0], b"mn\r\n", b"MN\r\n").await;
    } else {
        assert_eq!(ours[0].read(&mut all).await.unwrap(), 0, "what is not kept is never told");
    }
}

#[tokio::test]
async fn no_verb_on_a_pledged_key_is_answered_before_that_is_kept_and_others_go_on() {
    let cases: [(&[u8], &[u8]); 12] = [
        (b"set task:1 0 0 1\r\nx\r\n", b"STORED\r\n"),
        (b"cas task:1 0 0 1 7\r\nx\r\n", b"NOT_FOUND\r\n"),
        (b"get other task:1\r\n", b"END\r\n"),
        (b"gat 10 task:1\r\n", b"END\r\n"),
        (b"delete task:1\r\n", b"NOT_FOUND\r\n"),
        (b"incr task:1 1\r\n", b"NOT_FOUND\r\n"),
        (b"touch task:1 10\r\n", b"NOT_FOUND\r\n"),
        (b"mg task:1 v\r\n", b"EN\r\n"),
        (b"me task:1\r\n", b"EN\r\n"),
        (b"ms task:1 1\r\nx\r\n", b"HD\r\n"),
        (b"md task:1\r\n", b"NF\r\n"),
        (b"ma task:1\r\n", b"NF\r\n"),
    ];
    for (command, answer) in cases {
        answered_when(true, command, answer).await;
        answered_when(false, command, answer).await;
    }
}

#[tokio::test]
async fn a_batch_waits_once_and_the_next_one_is_not_begun_before() {
    let (_stop, stopped) = watch::channel(false);
    let (mut ours, theirs): (Vec<_>, VecDeque<_>) = (0..2).map(|_| duplex(MIB)).unzip();
    let shared = shared(Still::new(false));
    tokio::spawn(serve(Given(Mutex::new(theirs)), Arc::clone(&shared), stopped));
    ours[0].write_all(&b"set task:1 0 0 1\r\nx\r\n".repeat(100)).await.unwrap();
    ask(&mut ours[1], b"mn\r\n", b"MN\r\n").await;
    ours[0].write_all(b"set key 0 0 1\r\nx\r\n").await.unwrap();
    ask(&mut ours[1], b"get key\r\n", b"END\r\n").await;
    assert_eq!(shared.counters.sum().get(Count::Stored), 100);
    shared.store.1.send_replace(Some(true));
    let mut answer = vec![0; 101 * 8];
    ours[0].read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"STORED\r\n".repeat(101));
}

#[tokio::test]
async fn a_get_of_many_keys_does_not_keep_others_waiting() {
    const KEYS: usize = 100_000;
    let (_stop, stopped) = watch::channel(false);
    let (mut greedy, first) = duplex(MIB);
    let (mut other, second) = duplex(MIB);
    let shared = shared(Still::new(false));
    tokio::spawn(serve(Given(Mutex::new([first, second].into())), Arc::clone(&shared), stopped));
    greedy.write_all(format!("get{}\r\n", " k".repeat(KEYS)).as_bytes()).await.unwrap();
    ask(&mut other, b"mn\r\n", b"MN\r\n").await;
    assert!(shared.counters.sum().get(Count::Gets) < KEYS as u64);
    let mut answer = [0; 5];
    greedy.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"END\r\n");
    assert_eq!(shared.counters.sum().get(Count::Gets), KEYS as u64);
}

#[tokio::test]
async fn values_that_do_not_come_take_no_more_than_the_budget() {
    let (_stop, stopped) = watch::channel(false);
    let (mut clients, theirs): (Vec<_>, VecDeque<_>) = (0..8).map(|_| duplex(4 * MIB)).unzip();
    let shared = shared_with(
        Options { buffers_bytes_max: 3 * MIB, ..Options::default() },
        Arc::new(Still::new(false)),
    );
    tokio::spawn(serve(Given(Mutex::new(theirs)), Arc::clone(&shared), stopped));
    let half = [&b"set k 0 0 1000000\r\n"[..], &[b'x'; 900_000]].concat();
    for client in &mut clients {
        client.write_all(&half).await.unwrap();
        // The last client goes on below; every one before it has been read when it is answered.
        tokio::task::yield_now().await;
    }
    let mut refused = 0;
    for client in &mut clients {
        client.write_all(&[b'x'; 100_000]).await.unwrap();
        client.write_all(b"\r\nmn\r\n").await.unwrap();
        let mut answer = [0; 12];
        client.read_exact(&mut answer).await.unwrap();
        if &answer != b"STORED\r\nMN\r\n" {
            let mut rest = [0; OUT_OF_MEMORY.len() - 12];
            client.read_exact(&mut rest).await.unwrap();
            assert_eq!([&answer[..], &rest].concat(), OUT_OF_MEMORY);
            refused += 1;
        }
        assert!(shared.buffers.taken() <= 3 * MIB);
    }
    assert!((1..8).contains(&refused), "{refused} refused");
    assert_eq!(shared.buffers.taken(), 0);
}

#[tokio::test]
async fn answers_that_are_not_read_take_no_more_than_the_budget() {
    let (_stop, stopped) = watch::channel(false);
    let (mut clients, listener) = clients(4);
    let shared =
        shared_with(Options { buffers_bytes_max: 0, ..Options::default() }, Arc::new(Still::new(false)));
    tokio::spawn(serve(listener, Arc::clone(&shared), stopped));
    let value = vec![b'x'; 900_000];
    ask(&mut clients[0], &[b"set k 0 0 900000\r\n", &value[..], b"\r\n"].concat(), b"STORED\r\n").await;
    for client in &mut clients[1..] {
        client.write_all(b"get k\r\n").await.unwrap();
        // Seen by its first byte: the answer has been made.
        client.read_exact(&mut [0; 1]).await.unwrap();
        assert!(shared.buffers.taken() <= 2 * MIB);
    }
    ask(&mut clients[0], b"mn\r\n", b"MN\r\n").await;
    let mut lengths = Vec::new();
    for client in &mut clients[1..] {
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_millis(200), client.read_to_end(&mut answer)).await;
        lengths.push((read.is_ok(), answer.len() > 900_000));
    }
    assert_eq!(lengths, [(false, true), (false, true), (true, false)]);
    assert_eq!(shared.buffers.taken(), 0);
}

#[test]
fn more_threads_than_the_limit_are_refused() {
    let bind = |threads| {
        let memory =
            Memory::new(MemoryOptions { bytes_max: MIB, value_bytes_max: MIB, first_version: Version(1) });
        let options = Options { tcp: None, threads, ..Options::default() };
        bind(options, Arc::new(memory), Arc::new(Still::new(false)), watch::channel(false).1)
    };
    assert_eq!(bind(LISTENER_THREADS_MAX).unwrap().work().len(), LISTENER_THREADS_MAX);
    assert_eq!(bind(LISTENER_THREADS_MAX + 1).err().unwrap().kind(), Kind::Invalid);
}
