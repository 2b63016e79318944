//! What every queue on a server can be asked for, and the one loop that publishes to all of them.

use std::collections::VecDeque;
use std::error::Error;
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::load::latencies;
use crate::server::Server;

/// What a message carries.
pub const BODY: [u8; 1024] = [b'x'; 1024];
/// Messages written at once.
pub const PUBLISH_MAX: u64 = 256;
/// Longer than any server should take for anything.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// After so long without a message a consumer looks whether it is done.
pub const IDLE: Duration = Duration::from_millis(10);
/// Octets read at once.
pub const INPUT_BYTES: usize = 1 << 20;

/// Whatever goes wrong ends the measurement.
pub type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// One queue on one server. Every call has a connection of its own.
pub trait Peer: Sync {
    /// Where it is.
    fn server(&self) -> &Server;

    /// Leaves an empty queue behind, for so many consumers at one time.
    fn renew(&self, consumers: usize) -> Fallible<()>;

    /// Publishes durable messages, each confirmed.
    fn publish(&self, pace: Pace) -> Fallible<Published>;

    /// Consumes with at most `window` unacknowledged, acknowledged whenever half of that is there, until `wanted` says that
    /// there were enough; it is told again and again how many more came, 0 among that. Returns when the server has worked
    /// all of it off.
    fn consume(&self, window: u64, wanted: &mut dyn FnMut(u64) -> bool) -> Fallible<u64>;
}

/// How to publish, and how long.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Unconfirmed messages at one time.
    pub window: u64,
    pub time: Duration,
    /// Not more messages than that.
    pub messages_max: u64,
    /// Messages a second; as fast as the window lets it without.
    pub rate: Option<f64>,
}

impl Pace {
    /// As fast as the window lets it.
    pub fn full(window: u64, time: Duration) -> Self {
        Self { window, time, messages_max: u64::MAX, rate: None }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Published {
    pub confirmed: u64,
    /// Nanoseconds that each message waited for the confirm of the last one that was sent together with it.
    pub latencies: Histogram<u64>,
}

/// A connection on which messages are published.
pub trait Publisher {
    /// Sends so many messages, [`PUBLISH_MAX`] at most.
    fn send(&mut self, count: u64) -> Fallible<()>;

    /// Reads one piece of input, and says how many messages have been confirmed by now.
    fn confirmed(&mut self) -> Fallible<u64>;

    /// Where the confirms come from.
    fn stream(&self) -> &TcpStream;
}

/// Publishes to the pace. A sending that was late because the window was full counts from when it was due.
pub fn publish(publisher: &mut impl Publisher, pace: Pace) -> Fallible<Published> {
    let (mut sent, mut confirmed, mut was_full) = (0_u64, 0_u64, false);
    let mut latencies = latencies();
    // The last of each sending, how many it was, and when.
    let mut sendings = VecDeque::new();
    let begun = Instant::now();
    loop {
        let now = Instant::now();
        let is_over = now - begun >= pace.time || sent >= pace.messages_max;
        if is_over && sent == confirmed {
            return Ok(Published { confirmed, latencies });
        }
        let free = pace.window - (sent - confirmed);
        let due = pace.rate.map_or(u64::MAX, |rate| ((now - begun).as_secs_f64() * rate) as u64 + 1);
        let wanted = due.saturating_sub(sent).min(pace.messages_max.saturating_sub(sent));
        let count = if is_over { 0 } else { free.min(wanted).min(PUBLISH_MAX) };
        let due_in = |sent: u64| pace.rate.map(|rate| Duration::from_secs_f64(sent as f64 / rate));
        if count > 0 {
            let at = due_in(sent).filter(|_| was_full).map_or(now, |due| (begun + due).min(now));
            publisher.send(count)?;
            sent += count;
            sendings.push_back((sent, count, at));
        }
        was_full = sent - confirmed == pace.window;
        // With room left, the next sending is waited for no less than the next confirm.
        if let Some(due) = due_in(sent).filter(|_| !was_full && !is_over) {
            let wait = (begun + due).saturating_duration_since(Instant::now());
            if !is_readable(publisher.stream(), wait)? {
                continue;
            }
        }
        confirmed = publisher.confirmed()?;
        if confirmed > sent {
            return Err(format!("{confirmed} confirms of {sent} messages").into());
        }
        while let Some((_, count, at)) = sendings.front().copied().filter(|(last, ..)| *last <= confirmed) {
            latencies.saturating_record_n(at.elapsed().as_nanos() as u64, count);
            sendings.pop_front();
        }
    }
}

fn is_readable(stream: &TcpStream, wait: Duration) -> Fallible<bool> {
    let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
    Ok(poll(&mut [PollFd::new(stream, PollFlags::IN)], Some(&wait))? > 0)
}

/// What has been read and not yet been shown.
#[derive(Default)]
pub struct Input {
    octets: Vec<u8>,
    read: usize,
}

impl Input {
    /// What there is.
    pub fn octets(&self) -> &[u8] {
        &self.octets[..self.read]
    }

    /// Forgets the first ones.
    pub fn consume(&mut self, count: usize) {
        self.octets.copy_within(count..self.read, 0);
        self.read -= count;
    }

    /// Reads once. When nothing comes in the stream's time that is an error, unless it is shorter than [`PATIENCE`].
    pub fn fill(&mut self, mut stream: &TcpStream) -> Fallible<()> {
        // What is longer than a piece of input has to fit too.
        if self.octets.len() - self.read < INPUT_BYTES / 2 {
            self.octets.resize(self.read + INPUT_BYTES, 0);
        }
        match stream.read(&mut self.octets[self.read..]) {
            Ok(0) => Err("the server hung up".into()),
            Ok(count) => {
                self.read += count;
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => match stream.read_timeout()? {
                // The kernel rounds times up.
                Some(time) if time < PATIENCE => Ok(()),
                _ => Err("the server does not answer".into()),
            },
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread::{self, JoinHandle};
    use std::time::{Duration, Instant};

    use super::{Fallible, PATIENCE, Pace, Publisher, publish};

    /// Every octet is a message, and its echo the confirm.
    struct Echoed {
        stream: TcpStream,
        sent: u64,
        confirmed: u64,
        unconfirmed_max: u64,
    }

    impl Publisher for Echoed {
        fn send(&mut self, count: u64) -> Fallible<()> {
            self.sent += count;
            self.unconfirmed_max = self.unconfirmed_max.max(self.sent - self.confirmed);
            Ok(self.stream.write_all(&vec![0; count as usize])?)
        }

        fn confirmed(&mut self) -> Fallible<u64> {
            self.confirmed += self.stream.read(&mut [0; 64])? as u64;
            Ok(self.confirmed)
        }

        fn stream(&self) -> &TcpStream {
            &self.stream
        }
    }

    fn echoed() -> (Echoed, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let stream = TcpStream::connect(listener.local_addr().expect("its address")).expect("a connection");
        let (mut other, _) = listener.accept().expect("its other end");
        let echo = thread::spawn(move || {
            let mut octets = [0; 64];
            while let Ok(count @ 1..) = other.read(&mut octets) {
                other.write_all(&octets[..count]).expect("somebody reads");
            }
        });
        (Echoed { stream, sent: 0, confirmed: 0, unconfirmed_max: 0 }, echo)
    }

    #[test]
    fn no_more_are_unconfirmed_than_the_window_and_each_has_a_latency() {
        let (mut echoed, echo) = echoed();
        let pace = Pace { messages_max: 1_001, ..Pace::full(7, PATIENCE) };
        let published = publish(&mut echoed, pace).expect("an echo");
        assert_eq!((published.confirmed, published.latencies.len()), (1_001, 1_001));
        assert_eq!(echoed.unconfirmed_max, 7);
        drop(echoed);
        echo.join().expect("the echo ends");
    }

    #[test]
    fn a_rate_is_not_exceeded() {
        let (mut echoed, echo) = echoed();
        let begun = Instant::now();
        let pace = Pace { messages_max: 51, rate: Some(1_000.0), ..Pace::full(256, PATIENCE) };
        assert_eq!(publish(&mut echoed, pace).expect("an echo").confirmed, 51);
        assert!(begun.elapsed() >= Duration::from_millis(49), "{:?}", begun.elapsed());
        drop(echoed);
        echo.join().expect("the echo ends");
    }
}
