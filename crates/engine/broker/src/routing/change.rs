//! What changes exchanges and bindings, and the bytes of those changes that must survive a restart.
//!
//! The bytes begin with a kind `u8` and the virtual host `text`, then:
//!
//! | kind | name | bytes | what it says |
//! | --- | --- | --- | --- |
//! | 1 | DeclareExchange | name `text`, exchange kind `u8` (0 direct, 1 fanout, 2 topic, 3 headers), flags `u8` (1 auto-delete, 2 internal), arguments *table* | the exchange is there |
//! | 2 | DeleteExchange | name `text` | it is gone, with every binding at either end of it |
//! | 3 | Bind | source `text`, destination kind `u8` (0 queue, 1 exchange), its name `text`, key `text`, arguments *table* in the order of their names | the binding is there |
//! | 4 | Unbind | the same | it is gone |
//!
//! `text` is UTF-8 behind a length of one byte; a *table* is laid out in [`codec`](super::codec). Only what is durable is
//! written, and a binding is where both its ends are. That a queue is gone is said by its own record: whoever reads that
//! one applies [`Change::ReleaseQueue`].

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::message::Headers;
use forebay_core::queue::QueueName;

use super::binding::{Binding, Destination};
use super::codec::{self, Reader};
use super::exchange::{Exchange, ExchangeKind, ExchangeName};

/// One change, decided and still to be applied.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The exchange is there.
    DeclareExchange(Exchange),
    /// It is gone, with every binding at either end of it.
    DeleteExchange {
        /// Its name.
        name: ExchangeName,
        /// Whether it would have survived a restart.
        durable: bool,
    },
    /// The binding is there.
    Bind(Binding),
    /// It is gone.
    Unbind(Binding),
    /// No binding leads to the queue any more, because it is gone.
    ReleaseQueue(QueueName),
}

const AUTO_DELETE: u8 = 1;
const INTERNAL: u8 = 2;

impl Change {
    /// The bytes for the log; `None` where a restart forgets the change.
    pub fn encode(&self, vhost: &str) -> Option<Vec<u8>> {
        let kind = match self {
            Self::DeclareExchange(Exchange { durable: true, .. }) => 1,
            Self::DeleteExchange { durable: true, .. } => 2,
            Self::Bind(binding) if binding.is_durable() => 3,
            Self::Unbind(binding) if binding.is_durable() => 4,
            _ => return None,
        };
        let mut bytes = vec![kind];
        codec::write_text(&mut bytes, vhost)?;
        match self {
            Self::DeclareExchange(exchange) => {
                codec::write_text(&mut bytes, exchange.name.as_str())?;
                bytes.push(match exchange.kind {
                    ExchangeKind::Direct => 0,
                    ExchangeKind::Fanout => 1,
                    ExchangeKind::Topic => 2,
                    ExchangeKind::Headers => 3,
                });
                let named = |flag: u8, present: bool| if present { flag } else { 0 };
                bytes.push(named(AUTO_DELETE, exchange.auto_delete) | named(INTERNAL, exchange.internal));
                bytes.extend(codec::table(&exchange.arguments)?);
            }
            Self::DeleteExchange { name, .. } => codec::write_text(&mut bytes, name.as_str())?,
            Self::Bind(binding) | Self::Unbind(binding) => {
                codec::write_text(&mut bytes, binding.source().as_str())?;
                let (kind, name) = match binding.destination() {
                    Destination::Queue(name) => (0, name.as_str()),
                    Destination::Exchange(name) => (1, name.as_str()),
                };
                bytes.push(kind);
                codec::write_text(&mut bytes, name)?;
                codec::write_text(&mut bytes, binding.key())?;
                bytes.extend(codec::table(binding.arguments())?);
            }
            Self::ReleaseQueue(_) => return None,
        }
        Some(bytes)
    }

    /// The virtual host and the change that these bytes tell of, or `Damaged`.
    pub fn decode(bytes: &[u8]) -> Result<(&str, Self)> {
        read(bytes).ok_or_else(|| Error::new(Kind::Damaged, "decode routing change", "its bytes make none"))
    }
}

fn read(bytes: &[u8]) -> Option<(&str, Change)> {
    if bytes.len() > limits::ROUTING_CHANGE_BYTES_MAX {
        return None;
    }
    let mut reader = Reader(bytes);
    let kind = reader.u8()?;
    let vhost = reader.text()?;
    let change = match kind {
        1 => Change::DeclareExchange(read_exchange(&mut reader)?),
        2 => Change::DeleteExchange { name: ExchangeName::new(reader.text()?)?, durable: true },
        3 => Change::Bind(read_binding(&mut reader)?),
        4 => Change::Unbind(read_binding(&mut reader)?),
        _ => return None,
    };
    reader.0.is_empty().then_some((vhost, change))
}

fn read_exchange(reader: &mut Reader<'_>) -> Option<Exchange> {
    let name = ExchangeName::new(reader.text()?)?;
    let kind = match reader.u8()? {
        0 => ExchangeKind::Direct,
        1 => ExchangeKind::Fanout,
        2 => ExchangeKind::Topic,
        3 => ExchangeKind::Headers,
        _ => return None,
    };
    let flags = reader.u8()?;
    if flags & !(AUTO_DELETE | INTERNAL) != 0 {
        return None;
    }
    let arguments: Headers = reader.table()?;
    let (auto_delete, internal) = (flags & AUTO_DELETE != 0, flags & INTERNAL != 0);
    Some(Exchange { name, kind, durable: true, auto_delete, internal, arguments })
}

fn read_binding(reader: &mut Reader<'_>) -> Option<Binding> {
    let source = ExchangeName::new(reader.text()?)?;
    let destination = match (reader.u8()?, reader.text()?) {
        (0, name) => Destination::Queue(QueueName::new(name).ok()?),
        (1, name) => Destination::Exchange(ExchangeName::new(name)?),
        _ => return None,
    };
    let key = reader.text()?;
    Binding::new(source, destination, key, &reader.table()?, true)
}
