//! An AMQP client that costs as little as can be: it encodes its message once, and sends and counts in large pieces.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use forebay_wire::amqp::frame::{Decoded, Decoder, Frame, Payload};
use forebay_wire::amqp::methods::{Arguments, Method, basic, channel, confirm, connection, queue as queues};
use forebay_wire::amqp::properties::Properties;
use forebay_wire::amqp::table::{Table, TableBuf, Value};
use forebay_wire::amqp::text::{Secret, ShortBytes, ShortStr};
use forebay_wire::amqp::write;

use super::peer::{
    self, BODY, Fallible, IDLE, Input, PATIENCE, PUBLISH_MAX, Pace, Peer, Published, Publisher,
};
use crate::server::Server;

const FRAME_BYTES_MAX: u32 = 131_072;
const CHANNEL: u16 = 1;
/// For messages that need not be durable.
pub const TRANSIENT: Declared = Declared { name: "transient", durable: false, kind: "classic" };

/// A queue, and what it is to be.
#[derive(Clone, Copy, Debug)]
pub struct Declared {
    pub name: &'static str,
    pub durable: bool,
    /// The argument `x-queue-type`.
    pub kind: &'static str,
}

/// One queue on a server that speaks AMQP.
pub struct Amqp {
    pub server: Arc<Server>,
    pub declared: Declared,
}

impl Peer for Amqp {
    fn server(&self) -> &Server {
        &self.server
    }

    fn renew(&self, _consumers: usize) -> Fallible<()> {
        let mut client = Client::connect(self.server.tcp())?;
        client.declare(self.declared)?;
        client.purge(self.declared.name)?;
        client.close()
    }

    fn publish(&self, pace: Pace) -> Fallible<Published> {
        let mut client = Client::connect(self.server.tcp())?;
        client.send(CHANNEL, &confirm::Select { nowait: false })?;
        client.wait(|method| matches!(method, Method::Confirm(confirm::Method::SelectOk(_))))?;
        let (one, many) = messages(self.declared.name, &BODY, 2);
        peer::publish(&mut Confirming { client, one, many, confirmed: 0 }, pace)
    }

    fn consume(&self, window: u64, wanted: &mut dyn FnMut(u64) -> bool) -> Fallible<u64> {
        let mut client = Client::connect(self.server.tcp())?;
        let taken = client.consume(self.declared.name, u16::try_from(window)?, wanted)?;
        client.close().map(|()| taken)
    }
}

/// A channel with confirms, and the messages that go there.
struct Confirming {
    client: Client,
    one: usize,
    many: Vec<u8>,
    confirmed: u64,
}

impl Publisher for Confirming {
    fn send(&mut self, count: u64) -> Fallible<()> {
        Ok(self.client.stream.write_all(&self.many[..self.one * count as usize])?)
    }

    fn confirmed(&mut self) -> Fallible<u64> {
        let confirmed = &mut self.confirmed;
        self.client.frames(|frame| match frame.payload {
            Payload::Method(Method::Basic(basic::Method::Ack(ack))) => {
                *confirmed = if ack.multiple { ack.delivery_tag } else { *confirmed + 1 };
                Ok(())
            }
            other => Err(format!("not a confirm: {other:?}").into()),
        })?;
        Ok(self.confirmed)
    }

    fn stream(&self) -> &TcpStream {
        &self.client.stream
    }
}

/// One connection with one channel.
pub struct Client {
    stream: TcpStream,
    decoder: Decoder,
    input: Input,
    /// What the server says it is.
    pub product: String,
}

impl Client {
    /// Connects as guest, and opens the channel.
    pub fn connect(address: SocketAddr) -> Fallible<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let (decoder, input, mut product) = (Decoder::default(), Input::default(), String::new());
        let mut client = Self { stream, decoder, input, product: String::new() };
        client.stream.write_all(b"AMQP\0\0\x09\x01")?;
        client.decoder.set_frame_max(FRAME_BYTES_MAX);
        client.wait(|method| {
            let Method::Connection(connection::Method::Start(start)) = method else { return false };
            product = described(&start.server_properties);
            true
        })?;
        client.product = product;
        client.send(
            0,
            &connection::StartOk {
                client_properties: Table::default(),
                mechanism: ShortStr::cut("PLAIN"),
                response: Secret(b"\0guest\0guest"),
                locale: ShortStr::cut("en_US"),
            },
        )?;
        client.wait(|method| matches!(method, Method::Connection(connection::Method::Tune(_))))?;
        client.send(0, &connection::TuneOk { channel_max: 1, frame_max: FRAME_BYTES_MAX, heartbeat: 0 })?;
        let empty = ShortStr::cut("");
        client.send(
            0,
            &connection::Open { virtual_host: ShortStr::cut("/"), capabilities: empty, insist: false },
        )?;
        client.wait(|method| matches!(method, Method::Connection(connection::Method::OpenOk(_))))?;
        client.send(CHANNEL, &channel::Open { out_of_band: empty })?;
        client.wait(|method| matches!(method, Method::Channel(_)))?;
        Ok(client)
    }

    /// Declares the queue.
    pub fn declare(&mut self, declared: Declared) -> Fallible<()> {
        let mut arguments = TableBuf::new();
        let name = ShortBytes::new(b"x-queue-type").ok_or("a short name")?;
        arguments.push(name, Value::Text(declared.kind.as_bytes()));
        self.send(
            CHANNEL,
            &queues::Declare {
                ticket: 0,
                queue: ShortStr::cut(declared.name),
                passive: false,
                durable: declared.durable,
                exclusive: false,
                auto_delete: false,
                nowait: false,
                arguments: arguments.as_table(),
            },
        )?;
        self.wait(|method| matches!(method, Method::Queue(queues::Method::DeclareOk(_))))
    }

    /// Publishes transient messages until the time is over, as fast as they are taken.
    pub fn publish_transient(&mut self, queue: &str, body: &[u8], until: Instant) -> Fallible<u64> {
        let (_, many) = messages(queue, body, 1);
        let mut sent = 0;
        while Instant::now() < until {
            self.stream.write_all(&many)?;
            sent += PUBLISH_MAX;
        }
        Ok(sent)
    }

    /// Consumes until `wanted` says that there were enough; acknowledges with `multiple` whenever half of the window is
    /// there, or the rest. A window of 0 asks for no acknowledgements. `wanted` is told of every piece of input how many
    /// messages it completed.
    pub fn consume(
        &mut self,
        queue: &str,
        window: u16,
        mut wanted: impl FnMut(u64) -> bool,
    ) -> Fallible<u64> {
        if window > 0 {
            self.send(CHANNEL, &basic::Qos { prefetch_size: 0, prefetch_count: window, global: false })?;
            self.wait(|method| matches!(method, Method::Basic(basic::Method::QosOk(_))))?;
        }
        self.send(
            CHANNEL,
            &basic::Consume {
                ticket: 0,
                queue: ShortStr::cut(queue),
                consumer_tag: ShortStr::cut("bench"),
                no_local: false,
                no_ack: window == 0,
                exclusive: false,
                nowait: false,
                arguments: Table::default(),
            },
        )?;
        self.wait(|method| matches!(method, Method::Basic(basic::Method::ConsumeOk(_))))?;
        // Others may take the last ones: then nothing more comes.
        self.stream.set_read_timeout(Some(IDLE))?;
        let (mut taken, mut acked, mut last) = (0_u64, 0_u64, Instant::now());
        let step = u64::from(window / 2).max(1);
        loop {
            let before = taken;
            self.frames(|frame| {
                taken += u64::from(matches!(
                    frame.payload,
                    Payload::Method(Method::Basic(basic::Method::Deliver(_)))
                ));
                Ok(())
            })?;
            if taken > before {
                last = Instant::now();
            } else if last.elapsed() > PATIENCE {
                return Err(format!("no message comes any more behind {taken}").into());
            }
            let goes_on = wanted(taken - before);
            if window > 0 && (taken - acked >= step || !goes_on) && taken > acked {
                self.send(CHANNEL, &basic::Ack { delivery_tag: taken, multiple: true })?;
                acked = taken;
            }
            if !goes_on {
                self.stream.set_read_timeout(Some(PATIENCE))?;
                return Ok(taken);
            }
        }
    }

    /// Removes what is ready.
    pub fn purge(&mut self, queue: &str) -> Fallible<()> {
        self.send(CHANNEL, &queues::Purge { ticket: 0, queue: ShortStr::cut(queue), nowait: false })?;
        self.wait(|method| matches!(method, Method::Queue(queues::Method::PurgeOk(_))))
    }

    /// Waits until all that was sent has been worked off.
    pub fn close(mut self) -> Fallible<()> {
        let end =
            connection::Close { reply_code: 200, reply_text: ShortStr::cut(""), class_id: 0, method_id: 0 };
        self.send(0, &end)?;
        self.wait(|method| matches!(method, Method::Connection(connection::Method::CloseOk(_))))
    }

    fn send<'a>(&mut self, channel: u16, method: &impl Arguments<'a>) -> Fallible<()> {
        let mut out = Vec::new();
        write::method(&mut out, channel, method);
        Ok(self.stream.write_all(&out)?)
    }

    /// Reads until a method comes that is the one; what comes before it is passed over, but a close. What comes behind it
    /// is kept.
    fn wait(&mut self, mut is: impl FnMut(&Method<'_>) -> bool) -> Fallible<()> {
        loop {
            let mut found = false;
            self.show(|frame| {
                if let Payload::Method(method) = &frame.payload {
                    found = is(method);
                    if !found && matches!(method, Method::Connection(connection::Method::Close(_))) {
                        return Err(format!("{method:?}").into());
                    }
                }
                Ok(!found)
            })?;
            if found {
                return Ok(());
            }
            self.input.fill(&self.stream)?;
        }
    }

    /// Shows every frame that is whole, and if there is none reads a piece of input first.
    fn frames(&mut self, mut show: impl FnMut(&Frame<'_>) -> Fallible<()>) -> Fallible<()> {
        if !self.show(|frame| show(frame).map(|()| true))? {
            self.input.fill(&self.stream)?;
            self.show(|frame| show(frame).map(|()| true))?;
        }
        Ok(())
    }

    /// Shows the frames that are whole until it is told to stop, and says whether there was one.
    fn show(&mut self, mut show: impl FnMut(&Frame<'_>) -> Fallible<bool>) -> Fallible<bool> {
        let (mut shown, mut goes_on) = (0, true);
        while goes_on
            && let Decoded::Complete { frame, consumed } =
                self.decoder.decode(&self.input.octets()[shown..]).map_err(|broken| format!("{broken:?}"))?
        {
            goes_on = show(&frame)?;
            shown += consumed;
        }
        self.input.consume(shown);
        Ok(shown > 0)
    }
}

/// Product, version and platform.
fn described(properties: &Table<'_>) -> String {
    let names: [&[u8]; 3] = [b"product", b"version", b"platform"];
    let texts = names.iter().filter_map(|name| match properties.get(name) {
        Some(Value::Text(text)) => Some(String::from_utf8_lossy(text).into_owned()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join(" ")
}

/// How long one message is on the wire, and as many as are written at once.
fn messages(queue: &str, body: &[u8], delivery_mode: u8) -> (usize, Vec<u8>) {
    let mut properties = Vec::new();
    Properties { delivery_mode: Some(delivery_mode), ..Properties::default() }.encode(&mut properties);
    let publish = basic::Publish {
        ticket: 0,
        exchange: ShortStr::cut(""),
        routing_key: ShortStr::cut(queue),
        mandatory: false,
        immediate: false,
    };
    let mut one = Vec::new();
    write::content(&mut one, CHANNEL, &publish, &properties, body, FRAME_BYTES_MAX);
    (one.len(), one.repeat(PUBLISH_MAX as usize))
}
