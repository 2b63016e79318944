//! AMQP as bytes: frames built and read by hand, so that they can be wrong, and cheap, so that they can be many.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// What every client sends first.
pub const HEADER: &[u8] = b"AMQP\0\0\x09\x01";
/// How long a server may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// How long a server may read nothing of what it is sent.
const SEND_MAX: Duration = Duration::from_secs(60);

/// A frame as it came.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    /// 1 method, 2 header, 3 body, 8 heartbeat.
    pub kind: u8,
    /// Its channel.
    pub channel: u16,
    /// What is between its head and its end.
    pub payload: Vec<u8>,
}

impl Frame {
    /// Class and method, if it is one.
    pub fn method(&self) -> Option<(u16, u16)> {
        (self.kind == 1).then(|| (number(&self.payload), number(&self.payload[2..])))
    }

    /// The code of a close, if it is one of a connection or a channel.
    pub fn close_code(&self) -> Option<u16> {
        matches!(self.method()?, (10, 50) | (20, 40)).then(|| number(&self.payload[4..]))
    }
}

fn number(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[0], bytes[1]])
}

/// The bytes of a frame.
pub fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(channel.to_be_bytes());
    bytes.extend((payload.len() as u32).to_be_bytes());
    bytes.extend(payload);
    bytes.push(0xce);
    bytes
}

/// The bytes of a method.
pub fn method(channel: u16, (class, method): (u16, u16), arguments: &[u8]) -> Vec<u8> {
    frame(1, channel, &[&class.to_be_bytes(), &method.to_be_bytes(), arguments].concat())
}

/// The bytes of a content header without properties.
pub fn content_header(channel: u16, class: u16, body_bytes: u64) -> Vec<u8> {
    frame(2, channel, &[&class.to_be_bytes()[..], &[0, 0], &body_bytes.to_be_bytes(), &[0, 0]].concat())
}

/// A short string.
pub fn short(text: &str) -> Vec<u8> {
    [&[text.len() as u8], text.as_bytes()].concat()
}

/// A long string.
pub fn long(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

/// `connection.start-ok` of a guest.
pub fn start_ok() -> Vec<u8> {
    method(0, (10, 11), &[long(b""), short("PLAIN"), long(b"\0guest\0guest"), short("en_US")].concat())
}

/// `connection.tune-ok` with these limits and no heartbeat.
pub fn tune_ok(channels: u16, frame_bytes: u32) -> Vec<u8> {
    method(0, (10, 31), &[&channels.to_be_bytes()[..], &frame_bytes.to_be_bytes(), &[0, 0]].concat())
}

/// `connection.open` of the virtual host `/`.
pub fn open() -> Vec<u8> {
    method(0, (10, 40), &[short("/"), vec![0, 0]].concat())
}

/// `channel.open`.
pub fn open_channel(channel: u16) -> Vec<u8> {
    method(channel, (20, 10), &[0])
}

/// `queue.declare`; the flags are 1 passive, 2 durable, 4 exclusive, 8 auto-delete, 16 without an answer.
pub fn declare(channel: u16, queue: &str, flags: u8) -> Vec<u8> {
    method(channel, (50, 10), &[vec![0, 0], short(queue), vec![flags], long(b"")].concat())
}

/// `basic.publish` to a queue, with its content.
pub fn publish(channel: u16, queue: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = publish_method(channel, queue);
    bytes.extend(content_header(channel, 60, body.len() as u64));
    for part in body.chunks(100_000) {
        bytes.extend(frame(3, channel, part));
    }
    bytes
}

/// `basic.publish` alone.
pub fn publish_method(channel: u16, queue: &str) -> Vec<u8> {
    method(channel, (60, 40), &[vec![0, 0], short(""), short(queue), vec![0]].concat())
}

/// `basic.consume`; the flags are 1 not one's own, 2 without acknowledgements, 4 exclusive, 8 without an answer.
pub fn consume(channel: u16, queue: &str, flags: u8) -> Vec<u8> {
    method(channel, (60, 20), &[vec![0, 0], short(queue), short(""), vec![flags], long(b"")].concat())
}

/// `basic.get` with acknowledgement implied.
pub fn get(channel: u16, queue: &str) -> Vec<u8> {
    method(channel, (60, 70), &[vec![0, 0], short(queue), vec![1]].concat())
}

/// One connection.
pub struct Client {
    stream: TcpStream,
    came: Vec<u8>,
}

impl Client {
    /// Connects and says nothing.
    pub fn silent(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server accepts");
        stream.set_nodelay(true).expect("a socket option");
        stream.set_read_timeout(Some(ANSWER_MAX)).expect("a socket option");
        stream.set_write_timeout(Some(SEND_MAX)).expect("a socket option");
        Self { stream, came: Vec::new() }
    }

    /// Connects and opens the connection.
    pub fn open(address: SocketAddr) -> Self {
        let mut client = Self::silent(address);
        client.send(HEADER);
        client.expect((10, 10));
        client.send(&start_ok());
        client.expect((10, 30));
        client.send(&[tune_ok(2047, 131_072), open()].concat());
        client.expect((10, 41));
        client
    }

    /// Sends, and does not mind if the server has closed the connection.
    pub fn send(&mut self, bytes: &[u8]) {
        match self.stream.write_all(bytes) {
            Err(error) if !is_closed(error.kind()) => panic!("send: {error}"),
            _ => {}
        }
    }

    /// Sends as much as the server takes within `patience`, and returns how much that was.
    pub fn send_within(&mut self, mut bytes: &[u8], patience: Duration) -> usize {
        let length = bytes.len();
        self.stream.set_write_timeout(Some(patience)).expect("a socket option");
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(_) => break,
            }
        }
        length - bytes.len()
    }

    /// The next frame; none at the end.
    pub fn read(&mut self) -> Option<Frame> {
        self.read_within(ANSWER_MAX).expect("the server answers")
    }

    /// The same where no answer is an answer too.
    pub fn read_within(&mut self, patience: Duration) -> io::Result<Option<Frame>> {
        self.stream.set_read_timeout(Some(patience))?;
        loop {
            if let Some(head) = self.came.get(..7) {
                let length = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
                if self.came.len() >= length + 8 {
                    let (kind, channel) = (head[0], number(&head[1..]));
                    let bytes: Vec<u8> = self.came.drain(..length + 8).collect();
                    return Ok(Some(Frame { kind, channel, payload: bytes[7..length + 7].to_vec() }));
                }
            }
            let mut buffer = [0; 64 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(count) => self.came.extend(&buffer[..count]),
                Err(error) if is_closed(error.kind()) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads a method, which must be this one.
    pub fn expect(&mut self, method: (u16, u16)) -> Frame {
        let frame = self.read().expect("the connection stands");
        assert_eq!(frame.method(), Some(method), "{frame:?}");
        frame
    }

    /// Sends what is answered with one method, which must be this one.
    pub fn ask(&mut self, bytes: &[u8], answer: (u16, u16)) -> Frame {
        self.send(bytes);
        self.expect(answer)
    }

    /// Sends no more, and waits until the server has closed too.
    pub fn finish(self) {
        // It may be closed already.
        let _ = self.stream.shutdown(Shutdown::Write);
        self.read_to_end();
    }

    /// Everything that comes until the server closes, without the frames it is made of.
    pub fn read_to_end(mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.came);
        match self.stream.read_to_end(&mut rest) {
            Err(error) if !is_closed(error.kind()) => panic!("it is not closed: {error}"),
            _ => rest,
        }
    }
}

fn is_closed(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted)
}
