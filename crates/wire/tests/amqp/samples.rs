//! Frames of every kind to start from: whole, and broken within bounds that can still be told.

use forebay_wire::amqp::methods::{basic, connection, queue};
use forebay_wire::amqp::properties::Properties;
use forebay_wire::amqp::table::{ArrayBuf, TableBuf, Value};
use forebay_wire::amqp::text::{ShortBytes, ShortStr};
use forebay_wire::amqp::write;

use crate::stream::framed;

/// Headers as a message that was dead-lettered has them.
pub(crate) fn headers() -> TableBuf {
    let name = |text: &'static str| ShortBytes::from(ShortStr::cut(text));
    let mut keys = ArrayBuf::new();
    keys.push(Value::Text(b"a.b.c"));
    let mut death = TableBuf::new();
    death
        .push(name("count"), Value::I64(1))
        .push(name("reason"), Value::Text(b"expired"))
        .push(name("time"), Value::Timestamp(1_700_000_000))
        .push(name("routing-keys"), Value::Array(keys.as_array()));
    let mut deaths = ArrayBuf::new();
    deaths.push(Value::Table(death.as_table()));
    let mut headers = TableBuf::new();
    headers
        .push(name("x-death"), Value::Array(deaths.as_array()))
        .push(name("retries"), Value::I32(0))
        .push(name("timelimit"), Value::Void)
        .push(name("ratio"), Value::F64(0.5))
        .push(name("blob"), Value::Bytes(b"\0\xce\xff"));
    headers
}

/// Whole frames.
pub(crate) fn frames() -> Vec<Vec<u8>> {
    let short = ShortStr::cut;
    let headers = headers();
    let mut properties = Vec::new();
    Properties {
        content_type: Some(short("application/json").into()),
        headers: Some(headers.as_table()),
        delivery_mode: Some(2),
        timestamp: Some(7),
        cluster_id: Some(short("c").into()),
        ..Properties::default()
    }
    .encode(&mut properties);
    let mut frames = Vec::new();
    let mut add = |put: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        put(&mut out);
        frames.push(out);
    };
    add(&|out| write::heartbeat(out));
    add(&|out| write::method(out, 3, &basic::Ack { delivery_tag: 206, multiple: true }));
    add(&|out| write::method(out, 0, &connection::CloseOk {}));
    add(&|out| {
        let start = connection::Start {
            version_major: 0,
            version_minor: 9,
            server_properties: headers.as_table(),
            mechanisms: b"PLAIN",
            locales: b"en_US",
        };
        write::method(out, 0, &start);
    });
    add(&|out| {
        let declare = queue::Declare {
            ticket: 0,
            queue: short("a queue"),
            passive: false,
            durable: true,
            exclusive: false,
            auto_delete: true,
            nowait: false,
            arguments: headers.as_table(),
        };
        write::method(out, 1, &declare);
    });
    add(&|out| {
        let deliver = basic::Deliver {
            consumer_tag: short("ctag"),
            delivery_tag: 1,
            redelivered: true,
            exchange: short(""),
            routing_key: short("key"),
        };
        write::content(out, 1, &deliver, &properties, &[0xce; 5000], 4096);
    });
    frames
}

/// Frames that cannot be read, but whose end can be found.
pub(crate) fn refused() -> Vec<Vec<u8>> {
    vec![
        framed(9, 1, b"hello"),
        framed(8, 0, b"x"),
        framed(8, 1, b""),
        framed(1, 1, b"\0"),
        framed(1, 1, b"\0\x63\0\x0a"),
        framed(1, 1, b"\0\x3c\0\x50"),
        framed(2, 1, b"\0\x3c\0\0"),
    ]
}
