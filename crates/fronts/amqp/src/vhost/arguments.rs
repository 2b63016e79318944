//! The arguments of a queue: what they may be, whether two are the same, and what the broker makes of them.

use std::time::Duration;

use forebay_core::limits;
use forebay_core::queue::{Backoff, Overflow, QueueName, QueueSettings, RetryPolicy};
use forebay_wire::amqp::table::{Table, Value};

use crate::exception::{Exception, Result};

/// Arguments that change what a queue does, in the order in which RabbitMQ compares them.
const COMPARED: [&str; 14] = [
    "x-expires",
    "x-message-ttl",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-overflow",
    "x-queue-mode",
    "x-single-active-consumer",
    "x-queue-type",
    "x-delivery-limit",
    "x-consumer-timeout",
];
/// Arguments whose effect is not there yet: better no queue than one that does not do what it was told.
const MISSING: [&str; 8] = [
    "x-expires",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-max-length-bytes",
    "x-single-active-consumer",
    "x-delivery-limit",
    "x-consumer-timeout",
];

/// What a queue's arguments ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Messages live so long in it at most.
    pub(crate) ttl: Option<Duration>,
    length_max: Option<u64>,
    /// A message that does not fit is refused; otherwise the oldest goes.
    pub(crate) rejects: bool,
    priority_max: u8,
}

/// Reads the arguments. `place` is the queue in words, as `queue 'q' in vhost '/'`.
pub(crate) fn read(arguments: Table<'_>, place: &str) -> Result<Asked> {
    let refuse =
        |name: &str, why: String| Exception::precondition(format!("invalid arg '{name}' for {place}: {why}"));
    let number = |name: &str| match arguments.get(name.as_bytes()) {
        None => Ok(None),
        Some(value) => match whole(value) {
            None => Err(refuse(name, format!("\"expected integer, got {}\"", type_name(value)))),
            Some(number) if number < 0 => Err(refuse(name, format!("{{value_negative,{number}}}"))),
            Some(number) => Ok(Some(number.unsigned_abs())),
        },
    };
    let text = |name: &str| match arguments.get(name.as_bytes()) {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text)),
        Some(value) => Err(refuse(name, format!("{{unacceptable_type,{}}}", type_name(value)))),
    };
    let ttl = number("x-message-ttl")?.map(Duration::from_millis);
    let length_max = number("x-max-length")?;
    let priority_max = match number("x-max-priority")? {
        None => 0,
        Some(number) => u8::try_from(number)
            .map_err(|_| refuse("x-max-priority", format!("{{max_value_exceeded,{number}}}")))?,
    };
    let rejects = match text("x-overflow")? {
        None | Some(b"drop-head") => false,
        Some(b"reject-publish") => true,
        Some(b"reject-publish-dlx") => {
            return Err(Exception::not_implemented(format!("x-overflow=reject-publish-dlx for {place}")));
        }
        Some(_) => return Err(refuse("x-overflow", "invalid_overflow".to_owned())),
    };
    match text("x-queue-type")? {
        None | Some(b"classic" | b"quorum") => {}
        Some(other) => {
            let other = String::from_utf8_lossy(other);
            return Err(Exception::not_implemented(format!("x-queue-type={other} for {place}")));
        }
    }
    if let Some(missing) = MISSING.iter().find(|name| arguments.get(name.as_bytes()).is_some()) {
        return Err(Exception::not_implemented(format!("{missing} for {place}")));
    }
    if length_max == Some(0) {
        return Err(Exception::not_implemented(format!("x-max-length=0 for {place}")));
    }
    Ok(Asked { ttl, length_max, rejects, priority_max })
}

impl Asked {
    /// What the broker is to keep. A consumer of AMQP holds what it has for as long as it is there, and gives back as
    /// often as it likes.
    pub(crate) fn settings(self, name: QueueName) -> QueueSettings {
        let backoff = Backoff { first: Duration::ZERO, longest: Duration::ZERO, jitter: 0.0 };
        let overflow =
            if self.length_max.is_none() || self.rejects { Overflow::Reject } else { Overflow::DropHead };
        QueueSettings {
            retry: RetryPolicy { attempt_max: limits::ATTEMPTS_MAX, backoff },
            hold: limits::HOLD_MAX,
            length_max: self.length_max.unwrap_or(limits::QUEUE_LENGTH_DEFAULT),
            overflow,
            priority_max: self.priority_max,
            dedup_window: Duration::ZERO,
            ..QueueSettings::new(name)
        }
    }
}

/// Whether a queue that is there was declared with the same arguments.
pub(crate) fn check_same(current: Table<'_>, received: Table<'_>, place: &str) -> Result<()> {
    for name in COMPARED {
        let (current, received) = (current.get(name.as_bytes()), received.get(name.as_bytes()));
        let differ = |received: String, current: String| {
            Err(Exception::precondition(format!(
                "inequivalent arg '{name}' for {place}: received {received} but current is {current}"
            )))
        };
        match (current, received) {
            (None, None) => {}
            (Some(current), Some(received)) if same(current, received) => {}
            (Some(current), Some(received)) => {
                return differ(format!("'{}'", shown(received)), format!("'{}'", shown(current)));
            }
            (current, received) => return differ(described(received), described(current)),
        }
    }
    Ok(())
}

/// Numbers are the same whatever their width.
fn same(one: Value<'_>, other: Value<'_>) -> bool {
    match (whole(one), whole(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

fn described(value: Option<Value<'_>>) -> String {
    match value {
        None => "none".to_owned(),
        Some(value) => format!("the value '{}' of type '{}'", shown(value), type_name(value)),
    }
}

fn shown(value: Value<'_>) -> String {
    match value {
        Value::Text(bytes) | Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Bool(value) => value.to_string(),
        Value::F32(number) => number.to_string(),
        Value::F64(number) => number.to_string(),
        other => whole(other).map_or_else(|| type_name(other).to_owned(), |number| number.to_string()),
    }
}

fn whole(value: Value<'_>) -> Option<i64> {
    match value {
        Value::I8(number) => Some(number.into()),
        Value::U8(number) => Some(number.into()),
        Value::I16(number) => Some(number.into()),
        Value::U16(number) => Some(number.into()),
        Value::I32(number) => Some(number.into()),
        Value::U32(number) => Some(number.into()),
        Value::I64(number) => Some(number),
        _ => None,
    }
}

/// RabbitMQ's name for the type.
fn type_name(value: Value<'_>) -> &'static str {
    match value {
        Value::Bool(_) => "bool",
        Value::I8(_) => "byte",
        Value::U8(_) => "unsignedbyte",
        Value::I16(_) => "short",
        Value::U16(_) => "unsignedshort",
        Value::I32(_) => "signedint",
        Value::U32(_) => "unsignedint",
        Value::I64(_) => "long",
        Value::F32(_) => "float",
        Value::F64(_) => "double",
        Value::Decimal { .. } => "decimal",
        Value::Timestamp(_) => "timestamp",
        Value::Text(_) => "longstr",
        Value::Bytes(_) => "binary",
        Value::Array(_) => "array",
        Value::Table(_) => "table",
        Value::Void => "void",
    }
}

#[cfg(test)]
mod tests {
    use forebay_wire::amqp::reply::ReplyCode;
    use forebay_wire::amqp::table::TableBuf;
    use forebay_wire::amqp::text::ShortBytes;

    use super::*;

    const PLACE: &str = "queue 'q' in vhost '/'";

    fn table(name: &'static str, value: Value<'_>) -> TableBuf {
        let mut table = TableBuf::new();
        table.push(ShortBytes::new(name.as_bytes()).unwrap(), value);
        table
    }

    fn refused(name: &'static str, value: Value<'_>) -> Exception {
        read(table(name, value).as_table(), PLACE).unwrap_err()
    }

    #[test]
    fn a_wrong_type_or_value_is_refused_in_rabbitmqs_words() {
        assert_eq!(
            refused("x-message-ttl", Value::Text(b"soon")).to_string(),
            "PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue 'q' in vhost '/': \"expected integer, got longstr\""
        );
        assert!(refused("x-max-length", Value::I32(-1)).to_string().ends_with("{value_negative,-1}"));
        assert!(refused("x-max-priority", Value::I32(256)).to_string().ends_with("{max_value_exceeded,256}"));
        assert!(refused("x-overflow", Value::Text(b"explode")).to_string().ends_with("invalid_overflow"));
    }

    #[test]
    fn what_is_not_there_yet_is_refused_and_not_passed_over() {
        for name in MISSING {
            assert_eq!(refused(name, Value::I32(1)).code, ReplyCode::NotImplemented, "{name}");
        }
        assert_eq!(refused("x-queue-type", Value::Text(b"stream")).code, ReplyCode::NotImplemented);
    }

    #[test]
    fn what_is_asked_for_reaches_the_broker() {
        let mut arguments = table("x-message-ttl", Value::I64(1 << 40));
        let name = |name: &'static str| ShortBytes::new(name.as_bytes()).unwrap();
        arguments.push(name("x-max-length"), Value::U8(9)).push(name("x-max-priority"), Value::I32(255));
        arguments.push(name("x-queue-mode"), Value::Text(b"lazy"));
        let asked = read(arguments.as_table(), PLACE).unwrap();
        assert_eq!(asked.ttl, Some(Duration::from_millis(1 << 40)));
        let settings = asked.settings(QueueName::new("q").unwrap());
        assert!(settings.check().is_ok());
        assert_eq!((settings.length_max, settings.priority_max), (9, 255));
        assert_eq!(settings.overflow, Overflow::DropHead);
    }

    #[test]
    fn arguments_are_compared_by_value_and_differences_told_in_rabbitmqs_words() {
        let of = |value| table("x-message-ttl", value);
        let check = |current: &TableBuf, received: &TableBuf| {
            let checked = check_same(current.as_table(), received.as_table(), PLACE);
            checked.map_err(|refused| refused.to_string().split(": ").nth(1).unwrap().to_owned())
        };
        assert_eq!(check(&of(Value::I64(5)), &of(Value::U8(5))), Ok(()));
        assert_eq!(
            check(&of(Value::I64(6)), &of(Value::U8(5))),
            Err("received '5' but current is '6'".into())
        );
        assert_eq!(
            check(&TableBuf::new(), &of(Value::I32(5))),
            Err("received the value '5' of type 'signedint' but current is none".into())
        );
        assert_eq!(check(&table("x-unknown", Value::Void), &TableBuf::new()), Ok(()));
    }
}
