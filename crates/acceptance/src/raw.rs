//! Bytes to a server and back, without a client library in between.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// How long a server may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// How long a server may read nothing of what it is sent.
const SEND_MAX: Duration = Duration::from_secs(60);

/// One connection.
pub struct Raw {
    stream: TcpStream,
    marks: u64,
}

impl Raw {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server accepts");
        stream.set_nodelay(true).expect("a socket option");
        stream.set_read_timeout(Some(ANSWER_MAX)).expect("a socket option");
        stream.set_write_timeout(Some(SEND_MAX)).expect("a socket option");
        Self { stream, marks: 0 }
    }

    /// Sends, and does not mind if the server has closed the connection.
    pub fn send(&mut self, bytes: &[u8]) {
        match self.stream.write_all(bytes) {
            Err(error) if !is_closed(error.kind()) => panic!("send: {error}"),
            _ => {}
        }
    }

    /// Sends one complete command and returns everything that is answered to it.
    pub fn ask(&mut self, command: &[u8]) -> Vec<u8> {
        self.marks += 1;
        let mark = format!("EN Oend{}\r\n", self.marks);
        self.send(&[command, format!("mg end-of-answer Oend{}\r\n", self.marks).as_bytes()].concat());
        let mut answer = Vec::new();
        let mut buffer = [0; 64 * 1024];
        while !answer.ends_with(mark.as_bytes()) {
            match self.stream.read(&mut buffer) {
                Ok(0) => return answer,
                Ok(count) => answer.extend_from_slice(&buffer[..count]),
                Err(error) if is_closed(error.kind()) => return answer,
                Err(error) => panic!("{error}, after {:?} answered {:?}", text(command), text(&answer)),
            }
        }
        answer.truncate(answer.len() - mark.len());
        answer
    }

    /// Reads at least one byte, or none at the end.
    pub fn read(&mut self) -> Vec<u8> {
        let mut buffer = [0; 64 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(count) => buffer[..count].to_vec(),
            Err(error) if is_closed(error.kind()) => Vec::new(),
            Err(error) => panic!("read: {error}"),
        }
    }

    /// Reads so many bytes.
    pub fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).expect("the server answers in full");
        bytes
    }

    /// Reads one line, without its end. What follows it must not have come yet, or must be read in the same way.
    pub fn read_line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.extend(self.read_exactly(1));
        }
        line.truncate(line.len() - 2);
        String::from_utf8(line).expect("a line is text")
    }

    /// Sends no more, and reads until the server closes.
    pub fn finish(mut self) -> Vec<u8> {
        // It may be closed already.
        let _ = self.stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        match self.stream.read_to_end(&mut answer) {
            Err(error) if !is_closed(error.kind()) => panic!("{error}, answered {:?}", text(&answer)),
            _ => answer,
        }
    }
}

/// Sends `pieces` on a connection of their own, then no more, and returns everything that is answered.
pub fn converse(address: SocketAddr, pieces: &[&[u8]]) -> Vec<u8> {
    let mut raw = Raw::connect(address);
    for piece in pieces {
        raw.send(piece);
        std::thread::yield_now();
    }
    raw.finish()
}

/// Bytes for people.
pub fn text(bytes: &[u8]) -> String {
    let shown = bytes.get(..4096).unwrap_or(bytes);
    let rest = bytes.len() - shown.len();
    format!(
        "{}{}",
        shown.escape_ascii(),
        if rest > 0 { format!("… and {rest} bytes") } else { String::new() }
    )
}

/// Says where two answers begin to differ, if they do.
pub fn difference(answered: &[u8], expected: &[u8]) -> Option<String> {
    if answered == expected {
        return None;
    }
    let same = answered.iter().zip(expected).take_while(|(one, other)| one == other).count();
    let from = same.saturating_sub(60);
    let part = |answer: &[u8]| text(&answer[from..(same + 120).min(answer.len())]);
    Some(format!("after {same} bytes\nanswered …{}\nexpected …{}\n", part(answered), part(expected)))
}

fn is_closed(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted)
}
