//! The opening of a connection: who the server is, who the client is, and within which limits they talk.

use std::net::SocketAddr;

use forebay_core::limits;
use forebay_wire::amqp::frame::FRAME_BYTES_MIN;
use forebay_wire::amqp::methods::{Arguments, Method, connection};
use forebay_wire::amqp::reply::ReplyCode;
use forebay_wire::amqp::table::{Table, TableBuf, Value};
use forebay_wire::amqp::text::{ShortBytes, ShortStr};

use super::phase::Phase;
use super::session::Session;
use crate::access::login::MECHANISMS;
use crate::exception::{Exception, Result};

/// What the server can do beyond AMQP 0-9-1, in RabbitMQ's words. Clients go by these.
const CAPABILITIES: [&str; 9] = [
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
];

impl Session {
    /// Answers the protocol header.
    pub(crate) fn greet(&mut self) {
        let properties = server_properties(self.shared.version);
        self.send(
            0,
            &connection::Start {
                version_major: 0,
                version_minor: 9,
                server_properties: properties.as_table(),
                mechanisms: MECHANISMS,
                locales: b"en_US",
            },
        );
        self.phase = Phase::Starting;
    }

    /// Carries out what a client says before its connection is open.
    pub(crate) async fn open_step(&mut self, method: &Method<'_>, peer: SocketAddr) -> Result<()> {
        use connection::Method as M;
        let Method::Connection(method) = method else { return Err(out_of_turn()) };
        match (self.phase, method) {
            (Phase::Starting, M::StartOk(start)) => self.start(start, peer).await,
            (Phase::Tuning, M::TuneOk(tune)) => self.tune(*tune),
            (Phase::Opening, M::Open(open)) => self.open(open),
            (_, M::Close(_)) => {
                self.close_ok();
                Ok(())
            }
            _ => Err(out_of_turn()),
        }
    }

    async fn start(&mut self, start: &connection::StartOk<'_>, peer: SocketAddr) -> Result<()> {
        let capabilities = match start.client_properties.get(b"capabilities") {
            Some(Value::Table(capabilities)) => capabilities,
            _ => Table::default(),
        };
        let can = |name: &[u8]| capabilities.get(name) == Some(Value::Bool(true));
        self.tells_cancels = can(b"consumer_cancel_notify");
        self.tells_blocked = can(b"connection.blocked");
        self.tells_refusals = can(b"authentication_failure_close");
        self.log_in(start.mechanism.as_str(), start.response.0, peer).await?;
        let heartbeat = limits::amqp::HEARTBEAT.as_secs() as u16;
        let frame_max = limits::amqp::FRAME_BYTES_MAX;
        self.send(0, &connection::Tune { channel_max: limits::amqp::CHANNELS_MAX, frame_max, heartbeat });
        self.phase = Phase::Tuning;
        Ok(())
    }

    /// The client may lower every limit; 0 stands for none, which is no lower than ours.
    fn tune(&mut self, tune: connection::TuneOk) -> Result<()> {
        let not_allowed = |text: String| Err(Exception::new(ReplyCode::NotAllowed, text));
        let connection::TuneOk { channel_max, frame_max, heartbeat } = tune;
        let (channels, frame) = (limits::amqp::CHANNELS_MAX, limits::amqp::FRAME_BYTES_MAX);
        if frame_max != 0 && frame_max < FRAME_BYTES_MIN {
            return not_allowed(format!(
                "negotiated frame_max = {frame_max} is lower than the minimum allowed value ({FRAME_BYTES_MIN})"
            ));
        }
        for (what, asked, allowed) in
            [("frame_max", frame_max, frame), ("channel_max", channel_max.into(), channels.into())]
        {
            // No limit is more than any.
            if asked == 0 || asked > allowed {
                return not_allowed(format!(
                    "negotiated {what} = {} is higher than the maximum allowed value ({allowed})",
                    if asked == 0 { "no limit".to_owned() } else { asked.to_string() }
                ));
            }
        }
        self.frame_bytes_max = frame_max;
        self.channels_max = channel_max;
        self.heartbeat_seconds = heartbeat;
        self.phase = Phase::Opening;
        Ok(())
    }

    fn open(&mut self, open: &connection::Open<'_>) -> Result<()> {
        self.enter(open.virtual_host.as_str()).map_err(|exception| exception.of(connection::Open::ID))?;
        self.send(0, &connection::OpenOk { known_hosts: ShortStr::default() });
        self.phase = Phase::Running;
        Ok(())
    }
}

fn out_of_turn() -> Exception {
    Exception::command_invalid("unexpected method before the connection was open")
}

fn server_properties(version: &str) -> TableBuf {
    let name = |name: &'static str| ShortBytes::new(name.as_bytes()).unwrap_or_default();
    let mut capabilities = TableBuf::new();
    for capability in CAPABILITIES {
        capabilities.push(name(capability), Value::Bool(true));
    }
    let mut properties = TableBuf::new();
    properties.push(name("capabilities"), Value::Table(capabilities.as_table()));
    for (property, text) in
        [("product", "Forebay"), ("version", version), ("platform", "Rust"), ("cluster_name", "forebay")]
    {
        properties.push(name(property), Value::Text(text.as_bytes()));
    }
    properties
}
