//! What the numbers are written on: lines of the text protocol, or packets of the binary one.

use std::fmt::Display;
use std::io::Write;

use forebay_wire::memcached::binary::request::Echo;
use forebay_wire::memcached::binary::response::write_stat;

/// One answer of many numbers.
pub(crate) struct Sheet<'o> {
    out: &'o mut Vec<u8>,
    /// Of the request, if that was a packet.
    echo: Option<Echo>,
}

impl<'o> Sheet<'o> {
    pub(crate) fn new(out: &'o mut Vec<u8>, echo: Option<Echo>) -> Self {
        Self { out, echo }
    }

    /// A name and its value.
    pub(crate) fn stat(&mut self, name: impl Display, value: impl Display) {
        match self.echo {
            Some(echo) => write_stat(self.out, echo, name, value),
            // Writing to memory cannot fail.
            None => drop(write!(self.out, "STAT {name} {value}\r\n")),
        }
    }

    /// The end of the numbers.
    pub(crate) fn end(&mut self) {
        self.close("END");
    }

    /// The answer where nothing is to be shown.
    pub(crate) fn reset(&mut self) {
        self.close("RESET");
    }

    fn close(&mut self, word: &str) {
        match self.echo {
            Some(echo) => write_stat(self.out, echo, "", ""),
            None => crate::reply::line(self.out, word),
        }
    }
}
