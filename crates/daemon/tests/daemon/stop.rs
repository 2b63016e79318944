//! Stopping: a signal drains, a second one does not wait.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::process::{Daemon, answer, serve};

/// Asks for a message that does not come, and returns once the daemon has taken up the question.
fn waiting(daemon: &Daemon) -> std::net::TcpStream {
    assert_eq!(daemon.ask("PUT", "/v1/queues/q", "{}").0, 201);
    let stream = daemon.send("POST", "/v1/queues/q/receive", r#"{"wait_ms":30000}"#);
    assert_eq!(daemon.ask("GET", "/health", "").0, 200);
    stream
}

#[test]
fn either_signal_answers_what_waits_and_ends_cleanly() {
    for signal in [Signal::TERM, Signal::INT] {
        let data = tempfile::tempdir().unwrap();
        let mut daemon = Daemon::start(data.path());
        let stream = waiting(&daemon);
        let begun = Instant::now();
        daemon.signal(signal);
        assert_eq!(answer(stream), (200, r#"{"deliveries":[]}"#.into()));
        let (status, rest) = daemon.end();
        assert_eq!((status.code(), rest.as_str()), (Some(0), ""));
        assert!(begun.elapsed() < Duration::from_secs(20), "it waits for nobody");
    }
}

/// A request whose body never comes; the daemon waits for it as long as it may.
fn stalled(daemon: &Daemon) -> std::net::TcpStream {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(daemon.http()).unwrap();
    let head = "PUT /v1/cache/k HTTP/1.1\r\nhost: test\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut continues = [0; 12];
    stream.read_exact(&mut continues).unwrap();
    assert_eq!(&continues, b"HTTP/1.1 100");
    stream
}

#[test]
fn a_second_signal_stops_at_once() {
    let data = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::run(serve(data.path()).args(["--drain", "1h"]));
    let _stalled = stalled(&daemon);
    daemon.signal(Signal::TERM);
    // The first one is being carried out when nobody is let in any more.
    while std::net::TcpStream::connect(daemon.http()).is_ok() {}
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().0.code(), Some(1));
    Daemon::start(data.path()).stop();
}

#[test]
fn a_request_that_never_ends_is_cut_off_after_the_drain_and_the_log_is_closed_all_the_same() {
    let data = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::run(serve(data.path()).args(["--drain", "100ms"]));
    let _stalled = stalled(&daemon);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().0.code(), Some(0));
}
