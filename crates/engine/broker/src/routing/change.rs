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
//! | 5 | ReleaseQueue | name `text` | no binding leads to the queue, which is gone, any more |
//!
//! `text` is UTF-8 behind a length of one byte; a *table* is laid out in `codec`. Only what is durable is
//! written, and a binding is where both its ends are.

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
    /// Something is there that was not: no end of anything.
    pub(crate) fn brings(&self) -> bool {
        matches!(self, Self::DeclareExchange(_) | Self::Bind(_))
    }

    /// The bytes for the log; `None` where a restart forgets the change.
    pub fn encode(&self, vhost: &str) -> Option<Vec<u8>> {
        let kind = match self {
            Self::DeclareExchange(Exchange { durable: true, .. }) => 1,
            Self::DeleteExchange { durable: true, .. } => 2,
            Self::Bind(binding) if binding.is_durable() => 3,
            Self::Unbind(binding) if binding.is_durable() => 4,
            Self::ReleaseQueue(_) => 5,
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
            Self::ReleaseQueue(queue) => codec::write_text(&mut bytes, queue.as_str())?,
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
        5 => Change::ReleaseQueue(QueueName::new(reader.text()?).ok()?),
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

#[cfg(test)]
mod tests {
    use forebay_core::message::Value;
    use forebay_core::time::Instant;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            any::<u64>().prop_map(Value::UInt),
            (-1e300..1e300_f64).prop_map(Value::Float),
            any::<u64>().prop_map(|ms| Value::Time(Instant::from_ms(ms))),
            ".{0,20}".prop_map(Value::Text),
            vec(any::<u8>(), 0..20).prop_map(Value::Bytes),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..4).prop_map(Value::List),
                vec((".{0,8}", inner), 0..4).prop_map(|pairs| Value::Table(pairs.into_iter().collect())),
            ]
        })
    }

    fn arguments() -> impl Strategy<Value = Headers> {
        vec((".{0,12}", value()), 0..4).prop_map(|pairs| pairs.into_iter().collect())
    }

    fn name() -> impl Strategy<Value = ExchangeName> {
        "[a-zé.]{1,120}".prop_map(|name| ExchangeName::new(&name).unwrap())
    }

    prop_compose! {
        fn binding(durable: bool)(
            source in name(), to_queue: bool, target in name(), key in ".{0,60}", arguments in arguments(),
        ) -> Binding {
            let queue = || Destination::Queue(QueueName::new(target.as_str()).unwrap());
            let target = if to_queue { queue() } else { Destination::Exchange(target.clone()) };
            Binding::new(source, target, &key, &arguments, durable).unwrap()
        }
    }

    prop_compose! {
        fn exchange(durable: bool)(
            name in name(), kind in 0..4_usize, auto_delete: bool, internal: bool, arguments in arguments(),
        ) -> Exchange {
            let kinds = [ExchangeKind::Direct, ExchangeKind::Fanout, ExchangeKind::Topic, ExchangeKind::Headers];
            Exchange { name, kind: kinds[kind], durable, auto_delete, internal, arguments }
        }
    }

    fn change(durable: bool) -> impl Strategy<Value = Change> {
        prop_oneof![
            exchange(durable).prop_map(Change::DeclareExchange),
            name().prop_map(move |name| Change::DeleteExchange { name, durable }),
            binding(durable).prop_map(Change::Bind),
            binding(durable).prop_map(Change::Unbind),
        ]
    }

    fn released() -> impl Strategy<Value = Change> {
        name().prop_map(|name| Change::ReleaseQueue(QueueName::new(name.as_str()).unwrap()))
    }

    proptest! {
        #[test]
        fn every_durable_change_reads_back(written in prop_oneof![change(true), released()], vhost in ".{0,60}") {
            let bytes = written.encode(&vhost).unwrap();
            let (read_vhost, read) = Change::decode(&bytes).unwrap();
            prop_assert_eq!((read_vhost, &read), (vhost.as_str(), &written));
            if let (Change::Bind(read), Change::Bind(written)) = (&read, &written) {
                prop_assert_eq!(read.arguments(), written.arguments());
                prop_assert!(read.is_durable());
            }
        }

        #[test]
        fn no_other_change_has_bytes(written in change(false)) {
            prop_assert_eq!(written.encode("/"), None);
        }

        #[test]
        fn garbage_gives_a_change_or_damaged(kind in 0_u8..7, rest in vec(any::<u8>(), 0..200)) {
            let bytes: Vec<_> = [kind].into_iter().chain(rest).collect();
            if let Err(error) = Change::decode(&bytes) {
                prop_assert_eq!(error.kind(), Kind::Damaged);
            }
        }

        #[test]
        fn a_changed_or_cut_change_gives_a_change_or_damaged(
            written in change(true), place: prop::sample::Index, byte: u8, cut: prop::sample::Index,
        ) {
            let mut bytes = written.encode("/").unwrap();
            let place = place.index(bytes.len());
            bytes[place] = byte;
            let end = cut.index(bytes.len() + 1);
            if let Err(error) = Change::decode(&bytes[..end]) {
                prop_assert_eq!(error.kind(), Kind::Damaged);
            }
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_table_above() {
        let source = ExchangeName::new("x").unwrap();
        let arguments: Headers =
            [("b".to_owned(), Value::Bool(true)), ("a".to_owned(), Value::from("t"))].into_iter().collect();
        let queue = Destination::Queue(QueueName::new("q").unwrap());
        let binding = Binding::new(source.clone(), queue, "k", &arguments, true).unwrap();
        let table = b"\x02\0\0\0\x01\0a\x07\x01\0\0\0t\x01\0b\x02";
        let bound: Vec<_> = [b"\x01/\x01x\0\x01q\x01k".as_slice(), table].concat();
        let after = |kind: u8, rest: &[u8]| Some([&[kind], rest].concat());
        assert_eq!(Change::Bind(binding.clone()).encode("/"), after(3, &bound));
        assert_eq!(Change::Unbind(binding).encode("/"), after(4, &bound));
        let deleted = Change::DeleteExchange { name: source.clone(), durable: true };
        assert_eq!(deleted.encode("/"), after(2, b"\x01/\x01x"));
        let (kind, arguments) = (ExchangeKind::Headers, Headers::new());
        let (durable, auto_delete, internal) = (true, false, true);
        let exchange = Exchange { name: source, kind, durable, auto_delete, internal, arguments };
        assert_eq!(Change::DeclareExchange(exchange).encode("/"), after(1, b"\x01/\x01x\x03\x02\0\0\0\0"));
        let released = Change::ReleaseQueue(QueueName::new("q").unwrap());
        assert_eq!(released.encode("/"), after(5, b"\x01/\x01q"));
    }

    #[test]
    fn the_largest_change_that_can_be_decided_reads_back() {
        let name = ExchangeName::new(&"x".repeat(limits::EXCHANGE_NAME_BYTES_MAX)).unwrap();
        let text = Value::from("v".repeat(limits::HEADERS_BYTES_MAX - 12));
        let arguments = [("a".to_owned(), text)].into_iter().collect();
        let key = "k".repeat(limits::ROUTING_KEY_BYTES_MAX);
        let binding =
            Binding::new(name.clone(), Destination::Exchange(name), &key, &arguments, true).unwrap();
        let written = Change::Bind(binding);
        let mut bytes = written.encode(&"v".repeat(255)).unwrap();
        assert_eq!(Change::decode(&bytes).unwrap().1, written);
        bytes.resize(limits::ROUTING_CHANGE_BYTES_MAX + 1, 0);
        assert_eq!(Change::decode(&bytes).unwrap_err().kind(), Kind::Damaged);
    }
}
