//! Connections: counted, bounded, kept alive, drained.

use std::io::{Read, Write};
use std::time::Instant;

use forebay_core::limits;

use crate::served::{Reply, Served};

/// Reads one answer with a body of known length, and leaves the connection open.
fn one_answer(stream: &mut std::net::TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    loop {
        stream.read_exact(&mut byte).unwrap();
        bytes.push(byte[0]);
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if body.len() == length.parse::<usize>().unwrap() {
                return text.into_owned();
            }
        }
    }
}

/// Reads the head of an answer that has no body.
fn one_answer_without_body(stream: &mut std::net::TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        bytes.push(byte[0]);
    }
    String::from_utf8(bytes).unwrap()
}

const ASK: &[u8] = b"GET /health HTTP/1.1\r\nhost: test\r\n\r\n";

#[test]
fn a_connection_carries_many_requests_and_pipelined_ones() {
    let served = Served::start();
    let mut stream = served.connect();
    for _ in 0..3 {
        stream.write_all(ASK).unwrap();
        assert!(one_answer(&mut stream).starts_with("HTTP/1.1 200"));
    }
    stream.write_all(&ASK.repeat(5)).unwrap();
    for _ in 0..5 {
        assert!(one_answer(&mut stream).starts_with("HTTP/1.1 200"));
    }
}

#[test]
fn beyond_the_limit_a_connection_is_told_and_turned_away_and_the_others_go_on() {
    let served = Served::start_with(|options| options.connections_max = 2);
    let mut kept: Vec<_> = (0..2).map(|_| served.connect()).collect();
    for stream in &mut kept {
        stream.write_all(ASK).unwrap();
        assert!(one_answer(stream).starts_with("HTTP/1.1 200"));
    }
    let mut refused = served.connect();
    let reply = Reply::read(&mut refused);
    assert_eq!(reply.status, 503);
    assert_eq!(reply.header("content-length").unwrap(), reply.body.len().to_string());
    assert!(reply.refusal().contains("too many"));
    for stream in &mut kept {
        stream.write_all(ASK).unwrap();
        assert!(one_answer(stream).starts_with("HTTP/1.1 200"));
    }
    drop(kept.pop());
    // The place is free again once the front has noticed; until then it hangs up on whoever comes.
    let ask = b"GET /metrics HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
    let reply = loop {
        let mut stream = served.connect();
        let mut answer = Vec::new();
        let asked = stream.write_all(ask).and_then(|()| stream.read_to_end(&mut answer));
        if asked.is_ok() && answer.starts_with(b"HTTP/1.1 200") {
            break Reply::parse(&answer);
        }
    };
    let metrics = String::from_utf8(reply.body).unwrap();
    assert!(!metrics.contains("forebay_connections_refused_total{front=\"http\"} 0\n"), "{metrics}");
}

#[test]
fn bodies_beyond_what_all_may_take_together_are_refused_for_now() {
    let served = Served::start_with(|options| options.bodies_bytes_max = 64 * 1024);
    let head =
        |length: usize| format!("PUT /v1/cache/k HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n");
    let begin = || {
        let mut slow = served.connect();
        slow.write_all(head(60 * 1024).as_bytes()).unwrap();
        slow.write_all(&[7; 50 * 1024]).unwrap();
        slow.set_nonblocking(true).unwrap();
        slow
    };
    let mut slow = begin();
    let refused = loop {
        let reply = served.ask("PUT", "/v1/cache/other", &[], &[7; 20 * 1024]);
        // Until what the slow one sent has arrived there is room.
        if reply.status != 204 {
            break reply;
        }
        // It may have arrived while the other had the room; then the slow one is refused.
        if slow.peek(&mut [0]).is_ok() {
            slow = begin();
        }
    };
    slow.set_nonblocking(false).unwrap();
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
    assert_eq!(served.ask("PUT", "/v1/cache/other", &[], &[7; 10 * 1024]).status, 204, "a smaller one fits");
    slow.write_all(&[7; 10 * 1024]).unwrap();
    assert!(one_answer_without_body(&mut slow).starts_with("HTTP/1.1 204"));
    assert_eq!(served.ask("PUT", "/v1/cache/other", &[], &[7; 20 * 1024]).status, 204, "there is room again");
}

#[test]
fn a_stop_ends_idle_connections_and_accepts_no_more() {
    let served = Served::start();
    let mut idle = served.connect();
    idle.write_all(ASK).unwrap();
    one_answer(&mut idle);
    served.tell_to_stop();
    assert!(served.drain().unfinished.is_empty());
    assert_eq!(idle.read(&mut [0]).unwrap(), 0, "hung up in good order");
    assert!(std::net::TcpStream::connect(served.address).is_err());
}

#[test]
fn a_request_that_has_begun_is_answered_though_the_front_stops() {
    let served = Served::start();
    let mut stream = served.connect();
    let head = b"PUT /v1/cache/k HTTP/1.1\r\nhost: test\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(head).unwrap();
    let mut continues = [0; 25];
    stream.read_exact(&mut continues).unwrap();
    assert_eq!(&continues, b"HTTP/1.1 100 Continue\r\n\r\n", "its body is being waited for");
    served.tell_to_stop();
    stream.write_all(b"late").unwrap();
    let reply = Reply::read(&mut stream);
    assert_eq!(reply.status, 204);
    assert!(served.drain().unfinished.is_empty());
}

#[test]
fn a_stop_does_not_wait_for_the_rest_of_a_head() {
    let served = Served::start();
    let mut fresh = served.connect();
    let mut half = served.connect();
    half.write_all(b"GET /health HTTP/1.1\r\nho").unwrap();
    let mut later = served.connect();
    later.write_all(ASK).unwrap();
    one_answer(&mut later);
    later.write_all(b"GET /health HT").unwrap();
    // Once this one is answered, those that came before it have been accepted.
    assert_eq!(served.get("/health").status, 200);
    let began = Instant::now();
    served.tell_to_stop();
    assert!(served.drain().unfinished.is_empty());
    assert!(began.elapsed() < limits::http::HEAD_WAIT_MAX / 2, "{:?}", began.elapsed());
    for stream in [&mut fresh, &mut half, &mut later] {
        // Where the front had not read everything, the system says so by a reset.
        assert!(!stream.read(&mut [0]).is_ok_and(|bytes| bytes > 0), "hung up");
    }
}
