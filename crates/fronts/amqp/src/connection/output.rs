//! What is still to be sent to a client.

use forebay_core::limits;

/// Octets to be sent. They are bounded by those who add to them looking first whether they may.
#[derive(Debug, Default)]
pub(crate) struct Output {
    octets: Vec<u8>,
    sent: usize,
    /// What was sent before these.
    before: u64,
}

impl Output {
    /// Where to write frames.
    pub(crate) fn frames(&mut self) -> &mut Vec<u8> {
        &mut self.octets
    }

    /// What is to be sent next.
    pub(crate) fn rest(&self) -> &[u8] {
        self.octets.get(self.sent..).unwrap_or_default()
    }

    /// So much of it was sent.
    pub(crate) fn advance(&mut self, count: usize) {
        self.sent += count;
        if self.sent < self.octets.len() {
            return;
        }
        self.before += self.octets.len() as u64;
        self.sent = 0;
        self.octets.clear();
        // A large message must not keep its room for ever.
        self.octets.shrink_to(limits::amqp::INPUT_BYTES);
    }

    /// Where all ends that was sent or is to be, counted from the connection's first octet.
    pub(crate) fn end(&self) -> u64 {
        self.before + self.octets.len() as u64
    }

    /// What was not sent never will be.
    pub(crate) fn give_up(&mut self) {
        self.octets.truncate(self.sent);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    /// True where the client is too far behind to be given more.
    pub(crate) fn is_over(&self) -> bool {
        self.rest().len() > limits::OUTPUT_BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_gone_and_the_rest_is_next() {
        let mut output = Output::default();
        output.frames().extend_from_slice(b"abc");
        output.advance(2);
        assert_eq!(output.rest(), b"c");
        output.frames().push(b'd');
        output.advance(2);
        assert!(output.is_empty());
        assert_eq!(output.end(), 4);
        output.frames().resize(limits::OUTPUT_BYTES_MAX + 1, 0);
        assert!(output.is_over());
        output.advance(1);
        assert!(!output.is_over());
        output.give_up();
        assert!(output.is_empty());
        assert_eq!(output.end(), 5);
    }
}
