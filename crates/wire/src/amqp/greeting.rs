//! The eight octets a client begins with.

/// What a client of AMQP 0-9-1 begins with, and what a server answers to anything else before it closes.
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\0\0\x09\x01";

/// What the head of a new connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// So far it is the protocol header, and not yet all of it.
    Incomplete,
    /// AMQP 0-9-1. Frames follow after [`PROTOCOL_HEADER`]'s length.
    Understood,
    /// Another protocol or version. Said at the first octet that differs: not every stranger sends eight.
    Foreign,
}

/// Looks at the head of a new connection.
pub fn greet(input: &[u8]) -> Greeting {
    let there = input.get(..PROTOCOL_HEADER.len()).unwrap_or(input);
    if !PROTOCOL_HEADER.starts_with(there) {
        Greeting::Foreign
    } else if there.len() < PROTOCOL_HEADER.len() {
        Greeting::Incomplete
    } else {
        Greeting::Understood
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_awaited_whole_and_nothing_after_it() {
        for length in 0..PROTOCOL_HEADER.len() {
            assert_eq!(greet(&PROTOCOL_HEADER[..length]), Greeting::Incomplete, "{length}");
        }
        assert_eq!(greet(b"AMQP\0\0\x09\x01"), Greeting::Understood);
        assert_eq!(greet(b"AMQP\0\0\x09\x01\x01\0"), Greeting::Understood);
    }

    #[test]
    fn another_protocol_is_told_at_the_first_octet_that_differs() {
        for stranger in
            [&b"G"[..], b"GET / HTTP/1.1\r\n", b"AMQP\x01\x01\0\x09", b"AMQP\0\x01\0\0", b"AMQP\x03"]
        {
            assert_eq!(greet(stranger), Greeting::Foreign, "{stranger:?}");
        }
    }
}
