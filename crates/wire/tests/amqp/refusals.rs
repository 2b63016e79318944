//! Frames that cannot be read, with what the connection is closed with.

use forebay_wire::amqp::fault::{Fault, Reason};
use forebay_wire::amqp::frame::Broken;
use forebay_wire::amqp::methods::MethodId;
use forebay_wire::amqp::properties::Properties;

use crate::stream::{broken, framed};

/// What is sent, the code and text of the close, the method it names, whether the next frame can still be read.
type Case<'a> = (&'a str, Vec<u8>, u16, &'a str, (u16, u16), bool);

fn method(class: u16, method: u16, arguments: &[u8]) -> Vec<u8> {
    let payload = [&class.to_be_bytes()[..], &method.to_be_bytes(), arguments].concat();
    framed(1, 1, &payload)
}

fn declare(table: &[u8]) -> Vec<u8> {
    let length = (table.len() as u32).to_be_bytes();
    method(50, 10, &[b"\0\0\x01q\0", &length[..], table].concat())
}

fn with_end(mut frame: Vec<u8>, end: u8) -> Vec<u8> {
    *frame.last_mut().unwrap() = end;
    frame
}

fn deep() -> Vec<u8> {
    let mut within = Vec::new();
    for _ in 0..40 {
        let length = (within.len() as u32).to_be_bytes();
        within = [b"\x01nF", &length[..], &within].concat();
    }
    within
}

#[test]
fn every_malformed_frame_has_its_code_and_text() {
    let cases: Vec<Case<'_>> = vec![
        (
            "too large",
            b"\x03\0\x01\0\0\x10\x01".to_vec(),
            501,
            "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,4097,4088}",
            (0, 0),
            false,
        ),
        (
            "too large, of no known type",
            b"GET / HTTP/1.1\r\n".to_vec(),
            501,
            "FRAME_ERROR - type 71, all octets = <<>>: {frame_too_large,539959368,4088}",
            (0, 0),
            false,
        ),
        (
            "another end",
            with_end(framed(3, 1, b"hello"), 0),
            501,
            "FRAME_ERROR - type 3, 5 octets: {invalid_frame_end_marker,0}",
            (0, 0),
            false,
        ),
        (
            "another end of a frame of no known type",
            with_end(framed(9, 1, b"hello"), 7),
            501,
            "FRAME_ERROR - type 9, 5 octets: {invalid_frame_end_marker,7}",
            (0, 0),
            false,
        ),
        (
            "no such type",
            framed(4, 1, b"hello"),
            501,
            "FRAME_ERROR - type 4, 5 octets: unknown_frame",
            (0, 0),
            true,
        ),
        (
            "a heartbeat that says something",
            framed(8, 0, b"x"),
            501,
            "FRAME_ERROR - type 8, 1 octets: unknown_frame",
            (0, 0),
            true,
        ),
        (
            "a heartbeat on a channel",
            framed(8, 1, b""),
            505,
            "UNEXPECTED_FRAME - type 8, all octets = <<>>",
            (0, 0),
            true,
        ),
        (
            "a method without its number",
            framed(1, 1, b"\0\x3c\0"),
            501,
            "FRAME_ERROR - type 1, 3 octets: unknown_frame",
            (0, 0),
            true,
        ),
        (
            "a content header that ends early",
            framed(2, 1, b"\0\x3c\0\0\0\0\0\0\0\0\0"),
            501,
            "FRAME_ERROR - type 2, 11 octets: unknown_frame",
            (0, 0),
            true,
        ),
        ("no such class", method(99, 10, b""), 503, "COMMAND_INVALID - unimplemented method", (99, 10), true),
        (
            "no such method",
            method(60, 999, b"anything"),
            503,
            "COMMAND_INVALID - unimplemented method",
            (60, 999),
            true,
        ),
        (
            "no arguments",
            method(50, 10, b""),
            501,
            "FRAME_ERROR - cannot decode arguments of queue.declare",
            (50, 10),
            true,
        ),
        (
            "more than the arguments",
            method(60, 80, b"\0\0\0\0\0\0\0\0\0\x01"),
            501,
            "FRAME_ERROR - cannot decode arguments of basic.ack",
            (60, 80),
            true,
        ),
        (
            "more than no arguments",
            method(90, 10, b"\0"),
            501,
            "FRAME_ERROR - cannot decode arguments of tx.select",
            (90, 10),
            true,
        ),
        (
            "a name that is not text",
            method(60, 70, b"\0\0\x02\xff\xfe\0"),
            501,
            "FRAME_ERROR - Malformed UTF-8 in shortstr",
            (0, 0),
            true,
        ),
        (
            "a table longer than its frame",
            method(50, 10, b"\0\0\x01q\0\0\0\x01\0abc"),
            501,
            "FRAME_ERROR - cannot decode arguments of queue.declare",
            (50, 10),
            true,
        ),
        (
            "a field of no known type",
            declare(b"\x01aZ\0"),
            502,
            "SYNTAX_ERROR - malformed table",
            (50, 10),
            true,
        ),
        (
            "a field longer than its table",
            declare(b"\x01aS\0\0\0\x09ab"),
            502,
            "SYNTAX_ERROR - malformed table",
            (50, 10),
            true,
        ),
        (
            "tables within tables within tables",
            declare(&deep()),
            502,
            "SYNTAX_ERROR - table nested deeper than 32",
            (50, 10),
            true,
        ),
    ];
    for (name, bytes, code, text, (class, method), resumes) in cases {
        let Broken { fault, consumed, .. } = broken(&bytes);
        assert_eq!((fault.code().number(), fault.to_string().as_str()), (code, text), "{name}");
        assert_eq!(fault.method, MethodId { class, method }, "{name}");
        assert_eq!(consumed, resumes.then_some(bytes.len()), "{name}");
        assert!(fault.code().closes_connection() && text.len() <= 255, "{name}");
    }
}

#[test]
fn malformed_properties_are_refused() {
    let refused = |bytes: &[u8]| Properties::parse(bytes).unwrap_err();
    let cases: [(&str, &[u8]); 8] = [
        ("no flags", b""),
        ("half of the flags", b"\x80"),
        ("a property that is not there", b"\x80\0"),
        ("a property that ends early", b"\x80\0\x05ab"),
        ("more than the properties", b"\0\0zz"),
        ("a second word of flags announced, and none there", b"\x80\x01\x01a"),
        ("more flags than the class has properties", b"\0\x01\0\0"),
        ("headers longer than the frame", b"\x20\0\0\0\0\x09\x01a"),
    ];
    for (name, bytes) in cases {
        let Fault { reason, method } = refused(bytes);
        assert_eq!((reason, method), (Reason::Properties, MethodId::NONE), "{name}");
    }
    assert_eq!(refused(b"\x20\0\0\0\0\x04\x01aZ\0").reason, Reason::Table);
    assert_eq!(refused(b"\0\0zz").to_string(), "SYNTAX_ERROR - malformed properties");
    assert_eq!(refused(b"\0\0zz").code().number(), 502);
}

#[test]
fn properties_that_are_odd_and_harmless_are_read() {
    // The flag that means nothing, and bytes that are not text: RabbitMQ passes both.
    assert_eq!(Properties::parse(b"\0\x02"), Ok(Properties::default()));
    let properties = Properties::parse(b"\x80\0\x02\xff\xfe").unwrap();
    assert_eq!(properties.content_type.unwrap().as_bytes(), b"\xff\xfe");
    assert_eq!(properties.content_type.unwrap().as_str(), None);
}
