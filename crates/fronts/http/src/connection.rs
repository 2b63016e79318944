//! One connection, from its first byte to its end, whatever its client does or leaves undone.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use axum::Router;
use forebay_core::limits;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::clock::Clock;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that one connection buffers of a request's head.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Header lines of one request.
const HEADERS_MAX: usize = 100;

/// Answers the requests of one connection until either side ends it. Once `stopped` is ready, the request that has
/// begun is still answered; a connection without one is closed at once, whatever part of a head it has sent.
pub(crate) async fn carry<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    router: Router,
    clock: Arc<dyn Clock>,
    stopped: impl Future<Output = ()>,
) -> hyper::Result<()> {
    let exchange = Arc::new(Exchange::default());
    let stream = Stream { stream, clock, exchange: Arc::clone(&exchange), stuck: None };
    let router = TowerToHyperService::new(router);
    let service = service_fn(|request| {
        let begun = Begun::new(&exchange);
        let answer = router.call(request);
        async move {
            let _begun = begun;
            answer.await
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::http::HEAD_WAIT_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = stopped => connection.as_mut().graceful_shutdown(),
    }
    // hyper would wait for the rest of a head. What changes the exchange is the connection, so to look at it whenever
    // that has been polled is enough.
    poll_fn(|context| match connection.as_mut().poll(context) {
        Poll::Pending if exchange.is_over() => Poll::Ready(Ok(())),
        polled => polled,
    })
    .await
}

/// How far a connection is with its present request.
#[derive(Default)]
struct Exchange {
    /// A request's head is there, its answer is not.
    is_begun: AtomicBool,
    /// There is some of an answer that the client has not taken. Answers are whole when they are handed to hyper, so
    /// there is no time between the two.
    is_owed: AtomicBool,
}

impl Exchange {
    fn is_over(&self) -> bool {
        !self.is_begun.load(Relaxed) && !self.is_owed.load(Relaxed)
    }
}

/// A request that is being answered.
struct Begun(Arc<Exchange>);

impl Begun {
    fn new(exchange: &Arc<Exchange>) -> Self {
        exchange.is_begun.store(true, Relaxed);
        Self(Arc::clone(exchange))
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.is_begun.store(false, Relaxed);
    }
}

/// The bytes of a connection. It breaks off when the client takes none of an answer for too long.
struct Stream<S> {
    stream: S,
    clock: Arc<dyn Clock>,
    exchange: Arc<Exchange>,
    /// Is ready when the client has taken nothing for too long; there while it takes nothing.
    stuck: Option<BoxFuture<'static, ()>>,
}

impl<S> Stream<S> {
    fn within_time<T>(
        &mut self,
        context: &mut Context<'_>,
        taken: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if taken.is_ready() {
            self.stuck = None;
            return taken;
        }
        let clock = &self.clock;
        let stuck =
            self.stuck.get_or_insert_with(|| clock.sleep_until(clock.now() + limits::http::WRITE_WAIT_MAX));
        ready!(stuck.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.exchange.is_owed.store(true, Relaxed);
        let taken = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.within_time(context, taken)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.exchange.is_owed.store(true, Relaxed);
        let taken = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.within_time(context, taken)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes when it has written all there is.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let taken = Pin::new(&mut self.stream).poll_flush(context);
        if taken.is_ready() {
            self.exchange.is_owed.store(false, Relaxed);
        }
        self.within_time(context, taken)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let taken = Pin::new(&mut self.stream).poll_shutdown(context);
        self.within_time(context, taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use axum::routing::get;
    use forebay_runtime::clock::TokioClock;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::sync::{Notify, oneshot};
    use tokio::task::JoinHandle;
    use tokio::time::{Instant, timeout};

    /// What a pipe holds until the other side reads.
    const PIPE_BYTES: usize = 1024;
    const LARGE: usize = 64 * PIPE_BYTES;
    /// Longer than any time-out under test; time is simulated.
    const LONG: Duration = Duration::from_secs(3600);
    const MOMENT: Duration = Duration::from_millis(100);

    struct Connected {
        client: DuplexStream,
        stop: oneshot::Sender<()>,
        carried: JoinHandle<hyper::Result<()>>,
        answer: Arc<Notify>,
        began: Instant,
    }

    /// A connection to a router with a large answer, a small one, and one that waits to be allowed.
    fn connect() -> Connected {
        let answer = Arc::new(Notify::new());
        let may_answer = Arc::clone(&answer);
        let router = Router::new()
            .route("/large", get(|| async { "x".repeat(LARGE) }))
            .route("/small", get(|| async { "small" }))
            .route(
                "/late",
                get(|| async move {
                    may_answer.notified().await;
                    "x".repeat(LARGE)
                }),
            );
        let (client, stream) = duplex(PIPE_BYTES);
        let (stop, stopped) = oneshot::channel();
        let stopped = async { drop(stopped.await) };
        let carried = tokio::spawn(carry(stream, router, Arc::new(TokioClock::new()), stopped));
        Connected { client, stop, carried, answer, began: Instant::now() }
    }

    impl Connected {
        async fn ask(&mut self, path: &str) {
            self.client
                .write_all(format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n").as_bytes())
                .await
                .unwrap();
        }

        /// Waits until the connection has ended by itself, and returns how long after its beginning.
        async fn ended(self) -> Duration {
            let _ended = timeout(LONG, self.carried).await.expect("it ends by itself").unwrap();
            self.began.elapsed()
        }
    }

    fn about(time: Duration, expected: Duration) -> bool {
        (expected..expected + MOMENT).contains(&time)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_no_answer_is_hung_up_on() {
        let mut connected = connect();
        connected.ask("/large").await;
        assert!(about(connected.ended().await, limits::http::WRITE_WAIT_MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_its_answer_slowly_gets_all_of_it() {
        let mut connected = connect();
        connected.ask("/large").await;
        let mut taken = 0;
        let mut piece = [0; PIPE_BYTES];
        while taken < LARGE {
            tokio::time::sleep(limits::http::WRITE_WAIT_MAX - MOMENT).await;
            let bytes = connected.client.read(&mut piece).await.unwrap();
            assert!(bytes > 0, "hung up on after {taken} bytes");
            taken += bytes;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_finishes_a_head_is_hung_up_on() {
        let connected = connect();
        assert!(about(connected.ended().await, limits::http::HEAD_WAIT_MAX), "of a first request");
        let mut connected = connect();
        connected.client.write_all(b"GET /small HTTP/1.1\r\n").await.unwrap();
        assert!(about(connected.ended().await, limits::http::HEAD_WAIT_MAX), "of one half sent");
        let mut connected = connect();
        connected.ask("/small").await;
        connected.client.write_all(b"GET /small HTTP/1.1\r\n").await.unwrap();
        assert!(about(connected.ended().await, limits::http::HEAD_WAIT_MAX), "of a later one");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_closes_at_once_what_has_no_request() {
        for begun in ["", "GET /small HTTP/1.1\r\nho"] {
            for asked_before in [false, true] {
                let mut connected = connect();
                if asked_before {
                    connected.ask("/small").await;
                }
                connected.client.write_all(begun.as_bytes()).await.unwrap();
                tokio::time::sleep(MOMENT).await;
                let began = Instant::now();
                let Connected { stop, carried, .. } = connected;
                stop.send(()).unwrap();
                timeout(LONG, carried).await.expect("it ends").unwrap().unwrap();
                assert!(began.elapsed() < MOMENT, "{begun:?} {asked_before}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_lets_a_request_that_has_begun_be_answered_to_its_end() {
        let mut connected = connect();
        connected.ask("/late").await;
        tokio::time::sleep(MOMENT).await;
        let Connected { stop, mut client, answer, .. } = connected;
        stop.send(()).unwrap();
        tokio::time::sleep(MOMENT).await;
        answer.notify_one();
        let mut rest = String::new();
        client.read_to_string(&mut rest).await.unwrap();
        assert!(rest.starts_with("HTTP/1.1 200") && rest.ends_with(&"x".repeat(LARGE)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_lets_an_answer_be_taken_to_its_end() {
        let mut connected = connect();
        connected.ask("/large").await;
        tokio::time::sleep(MOMENT).await;
        let Connected { stop, mut client, .. } = connected;
        stop.send(()).unwrap();
        tokio::time::sleep(MOMENT).await;
        let mut rest = String::new();
        client.read_to_string(&mut rest).await.unwrap();
        assert!(rest.ends_with(&"x".repeat(LARGE)));
    }
}
