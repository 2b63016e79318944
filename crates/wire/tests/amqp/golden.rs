//! Frames written out from the specification, octet by octet, and one that RabbitMQ sent.

use forebay_wire::amqp::frame::Payload;
use forebay_wire::amqp::methods::{Method, basic, channel, connection, exchange, queue, tx};
use forebay_wire::amqp::properties::{ContentHeader, Properties};
use forebay_wire::amqp::table::{Table, TableBuf, Value};
use forebay_wire::amqp::text::{Secret, ShortBytes, ShortStr};
use forebay_wire::amqp::write;

use crate::stream::only;

/// What RabbitMQ 3.10.8 begins with, the name of its node apart.
const START: &[u8] = b"\x01\0\0\0\0\x01\xf9\0\x0a\0\x0a\0\x09\0\0\x01\xd4\x0ccapabilitiesF\0\0\0\xc7\
    \x12publisher_confirmst\x01\x1aexchange_exchange_bindingst\x01\x0abasic.nackt\x01\x16consumer_cancel_notifyt\x01\
    \x12connection.blockedt\x01\x13consumer_prioritiest\x01\x1cauthentication_failure_closet\x01\
    \x10per_consumer_qost\x01\x0fdirect_reply_tot\x01\x0ccluster_nameS\0\0\0\x12rabbit@example.org\
    \x09copyrightS\0\0\0\x37Copyright (c) 2007-2022 VMware, Inc. or its affiliates.\
    \x0binformationS\0\0\0\x39Licensed under the MPL 2.0. Website: https://rabbitmq.com\
    \x08platformS\0\0\0\x11Erlang/OTP 25.2.3\x07productS\0\0\0\x08RabbitMQ\x07versionS\0\0\0\x063.10.8\
    \0\0\0\x0eAMQPLAIN PLAIN\0\0\0\x05en_US\xce";

fn short(text: &str) -> ShortStr<'_> {
    ShortStr::new(text).unwrap()
}

fn bytes(text: &str) -> ShortBytes<'_> {
    short(text).into()
}

/// Both ways: the frame means the method, and the method is written as the frame.
fn is<'a>(frame: &'a [u8], channel: u16, method: impl Into<Method<'a>>) {
    let method = method.into();
    let read = only(frame);
    assert_eq!((read.channel, read.payload), (channel, Payload::Method(method)));
    let mut written = Vec::new();
    write::frame(&mut written, &read);
    assert_eq!(written.escape_ascii().to_string(), frame.escape_ascii().to_string());
}

#[test]
fn the_start_of_a_rabbitmq_is_read_and_written_as_it_sends_it() {
    let Payload::Method(Method::Connection(connection::Method::Start(start))) = only(START).payload else {
        panic!("a start")
    };
    assert_eq!((start.version_major, start.version_minor), (0, 9));
    assert_eq!((start.mechanisms, start.locales), (&b"AMQPLAIN PLAIN"[..], &b"en_US"[..]));
    let names: Vec<&str> = start.server_properties.fields().map(|(name, _)| name.as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["capabilities", "cluster_name", "copyright", "information", "platform", "product", "version"],
    );
    assert_eq!(start.server_properties.get(b"version"), Some(Value::Text(b"3.10.8")));
    let Some(Value::Table(capabilities)) = start.server_properties.get(b"capabilities") else {
        panic!("a table")
    };
    assert_eq!(capabilities.fields().count(), 9);
    assert!(capabilities.fields().all(|(_, value)| value == Value::Bool(true)));
    is(START, 0, start);
}

#[test]
fn the_handshake_of_a_client() {
    is(
        b"\x01\0\0\0\0\0\x24\0\x0a\0\x0b\0\0\0\0\x05PLAIN\0\0\0\x0c\0guest\0guest\x05en_US\xce",
        0,
        connection::StartOk {
            client_properties: Table::default(),
            mechanism: short("PLAIN"),
            response: Secret(b"\0guest\0guest"),
            locale: short("en_US"),
        },
    );
    is(
        b"\x01\0\0\0\0\0\x0c\0\x0a\0\x1f\x07\xff\0\x02\0\0\0\x3c\xce",
        0,
        connection::TuneOk { channel_max: 2047, frame_max: 131_072, heartbeat: 60 },
    );
    is(
        b"\x01\0\0\0\0\0\x08\0\x0a\0\x28\x01/\0\x01\xce",
        0,
        connection::Open { virtual_host: short("/"), capabilities: short(""), insist: true },
    );
    is(b"\x01\0\x01\0\0\0\x05\0\x14\0\x0a\0\xce", 1, channel::Open { out_of_band: short("") });
    is(b"\x01\0\x01\0\0\0\x08\0\x14\0\x0b\0\0\0\0\xce", 1, channel::OpenOk { channel_id: b"" });
}

#[test]
fn the_response_of_amqplain_is_a_table_without_its_length() {
    let response = Table::parse(b"\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x03\0\xff!").unwrap();
    assert_eq!(response.get(b"LOGIN"), Some(Value::Text(b"guest")));
    assert_eq!(response.get(b"PASSWORD"), Some(Value::Text(b"\0\xff!")));
}

#[test]
fn methods_whose_bits_share_an_octet() {
    let mut arguments = TableBuf::new();
    arguments.push(short("x-max-priority"), Value::U8(9));
    is(
        b"\x01\0\x01\0\0\0\x1e\0\x32\0\x0a\0\0\x01q\x12\0\0\0\x11\x0ex-max-priorityB\x09\xce",
        1,
        queue::Declare {
            ticket: 0,
            queue: short("q"),
            passive: false,
            durable: true,
            exclusive: false,
            auto_delete: false,
            nowait: true,
            arguments: arguments.as_table(),
        },
    );
    is(
        b"\x01\0\x01\0\0\0\x14\0\x28\0\x0a\0\0\x01e\x06fanout\x0b\0\0\0\0\xce",
        1,
        exchange::Declare {
            ticket: 0,
            exchange: short("e"),
            r#type: short("fanout"),
            passive: true,
            durable: true,
            auto_delete: false,
            internal: true,
            nowait: false,
            arguments: Table::default(),
        },
    );
    is(
        b"\x01\0\x07\0\0\0\x0d\0\x3c\0\x78\0\0\0\0\0\0\x01\x02\x03\xce",
        7,
        basic::Nack { delivery_tag: 258, multiple: true, requeue: true },
    );
    is(
        b"\x01\0\x07\0\0\0\x0d\0\x3c\0\x50\0\0\0\0\0\0\0\x05\0\xce",
        7,
        basic::Ack { delivery_tag: 5, multiple: false },
    );
}

#[test]
fn the_odd_ones() {
    is(b"\x01\0\x01\0\0\0\x04\0\x28\0\x33\xce", 1, exchange::UnbindOk {});
    is(b"\x01\0\x01\0\0\0\x04\0\x5a\0\x0a\xce", 1, tx::Select {});
    is(
        b"\x01\0\0\0\0\0\x12\0\x0a\0\x32\x01\x40\x07CLOSING\0\0\0\0\xce",
        0,
        connection::Close { reply_code: 320, reply_text: short("CLOSING"), class_id: 0, method_id: 0 },
    );
    let mut out = Vec::new();
    write::heartbeat(&mut out);
    assert_eq!(out, b"\x08\0\0\0\0\0\0\xce");
    assert_eq!(only(&out).payload, Payload::Heartbeat);
}

#[test]
fn a_publish_with_its_content() {
    let publish = basic::Publish {
        ticket: 0,
        exchange: short(""),
        routing_key: short("q"),
        mandatory: true,
        immediate: false,
    };
    let method = b"\x01\0\x01\0\0\0\x0a\0\x3c\0\x28\0\0\0\x01q\x01\xce";
    let header = b"\x02\0\x01\0\0\0\x1a\0\x3c\0\0\0\0\0\0\0\0\0\x05\x90\0\x0atext/plain\x02\xce";
    let body = b"\x03\0\x01\0\0\0\x05hello\xce";
    is(method, 1, publish);
    let properties = Properties {
        content_type: Some(bytes("text/plain")),
        delivery_mode: Some(2),
        ..Properties::default()
    };
    let Payload::Header(read) = only(header).payload else { panic!("a header") };
    assert_eq!((read.class_id, read.weight, read.body_bytes), (60, 0, 5));
    assert_eq!(Properties::parse(read.properties), Ok(properties));
    assert_eq!(only(body).payload, Payload::Body(b"hello"));

    let (mut encoded, mut written) = (Vec::new(), Vec::new());
    properties.encode(&mut encoded);
    write::content(&mut written, 1, &publish, &encoded, b"hello", 4096);
    assert_eq!(written, [&method[..], header, body].concat());
}

#[test]
fn all_fourteen_properties_in_their_order() {
    let encoded = b"\xff\xfc\x01a\x01b\0\0\0\x03\x01hV\
        \x02\x09\x01c\x01d\x0260\x01e\0\0\0\0\0\0\x01\0\x01f\x01g\x01h\x01i";
    let mut headers = TableBuf::new();
    headers.push(short("h"), Value::Void);
    let properties = Properties {
        content_type: Some(bytes("a")),
        content_encoding: Some(bytes("b")),
        headers: Some(headers.as_table()),
        delivery_mode: Some(2),
        priority: Some(9),
        correlation_id: Some(bytes("c")),
        reply_to: Some(bytes("d")),
        expiration: Some(bytes("60")),
        message_id: Some(bytes("e")),
        timestamp: Some(256),
        r#type: Some(bytes("f")),
        user_id: Some(bytes("g")),
        app_id: Some(bytes("h")),
        cluster_id: Some(bytes("i")),
    };
    let mut written = Vec::new();
    properties.encode(&mut written);
    assert_eq!(written.escape_ascii().to_string(), encoded.escape_ascii().to_string());
    assert_eq!(Properties::parse(encoded), Ok(properties));
}

#[test]
fn a_header_without_properties_is_two_octets_of_flags() {
    let header = ContentHeader { class_id: 60, weight: 0, body_bytes: 0, properties: &[0, 0] };
    assert_eq!(
        only(b"\x02\0\x02\0\0\0\x0e\0\x3c\0\0\0\0\0\0\0\0\0\0\0\0\xce").payload,
        Payload::Header(header)
    );
    assert_eq!(Properties::parse(&[0, 0]), Ok(Properties::default()));
}
