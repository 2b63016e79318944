//! What a queue's arguments ask for.

use std::time::Duration;

use forebay_core::limits;
use forebay_core::queue::{Backoff, DeadLetterExchange, Overflow, QueueName, QueueSettings, RetryPolicy};
use forebay_wire::amqp::table::{Table, Value};

use super::words::{type_name, whole};
use crate::exception::{Exception, Result};

/// The longest time that a queue can be told, as RabbitMQ has it: ten years.
const TIME_MS_MAX: u64 = 10 * 365 * 24 * 3600 * 1000;

/// What becomes of a message for which a queue has no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Full {
    /// It comes in, and the oldest goes.
    #[default]
    DropsHead,
    /// Its publisher is refused.
    Rejects,
    /// The same, and it becomes a dead letter.
    RejectsToDeadLetters,
}

/// What a queue's arguments ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Messages live so long in it at most.
    pub(crate) ttl: Option<Duration>,
    /// It goes when it has not been used for so long.
    pub(crate) expires: Option<Duration>,
    /// Only one consumer at a time gets something.
    pub(crate) single_active: bool,
    /// A message that was given back so often, and is given back once more, is a dead letter.
    pub(crate) delivery_limit: Option<u64>,
    /// A delivery that is not settled for so long ends its channel.
    pub(crate) consumer_timeout: Option<Duration>,
    /// It counts on each delivery how often it was delivered before.
    pub(crate) is_quorum: bool,
    pub(crate) length_max: Option<u64>,
    pub(crate) length_bytes_max: Option<u64>,
    /// Where its dead letters go.
    pub(crate) dead_letter: Option<DeadLetterExchange>,
    pub(crate) full: Full,
    pub(crate) priority_max: u8,
}

/// How a queue is declared beside its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags {
    pub(crate) durable: bool,
    pub(crate) exclusive: bool,
    pub(crate) auto_delete: bool,
}

/// The arguments of one queue, to be read.
struct Arguments<'a> {
    table: Table<'a>,
    /// The queue in words, as `queue 'q' in vhost '/'`.
    place: &'a str,
}

/// Reads the arguments. `place` is the queue in words, as `queue 'q' in vhost '/'`.
pub(crate) fn read(table: Table<'_>, flags: Flags, place: &str) -> Result<Asked> {
    let arguments = Arguments { table, place };
    let refuse = |name: &str, why: &str| Err(arguments.refuse(name, why.to_owned()));
    let is_quorum = match arguments.text("x-queue-type")? {
        None | Some(b"classic") => false,
        Some(b"quorum") => true,
        Some(b"stream") => {
            return Err(Exception::not_implemented(format!("x-queue-type=stream for {place}")));
        }
        Some(other) => {
            let other = String::from_utf8_lossy(other);
            return refuse("x-queue-type", &format!("\"unsupported queue type '{other}'\""));
        }
    };
    if is_quorum {
        let improper = [
            ("non-durable", !flags.durable),
            ("auto-delete", flags.auto_delete),
            ("exclusive-owner", flags.exclusive),
        ];
        if let Some((property, _)) = improper.into_iter().find(|(_, is_so)| *is_so) {
            return Err(Exception::precondition(format!("invalid property '{property}' for {place}")));
        }
    }
    let ttl = arguments.time("x-message-ttl")?;
    let expires = arguments.time("x-expires")?;
    if expires == Some(Duration::ZERO) {
        return refuse("x-expires", "{value_zero,0}");
    }
    let length_max = arguments.number("x-max-length")?;
    let priority_max = match arguments.number("x-max-priority")? {
        None => 0,
        Some(number) => u8::try_from(number)
            .map_err(|_| arguments.refuse("x-max-priority", format!("{{max_value_exceeded,{number}}}")))?,
    };
    let full = match arguments.text("x-overflow")? {
        None | Some(b"drop-head") => Full::DropsHead,
        Some(b"reject-publish") => Full::Rejects,
        Some(b"reject-publish-dlx") => Full::RejectsToDeadLetters,
        Some(_) => return refuse("x-overflow", "invalid_overflow"),
    };
    match arguments.text("x-queue-mode")? {
        None | Some(b"default" | b"lazy") => {}
        Some(other) => {
            let other = String::from_utf8_lossy(other);
            return refuse("x-queue-mode", &format!("\"unsupported queue mode '{other}'\""));
        }
    }
    let single_active = match table.get(b"x-single-active-consumer") {
        None => false,
        Some(Value::Bool(single)) => single,
        Some(value) => return Err(arguments.unacceptable("x-single-active-consumer", value)),
    };
    let delivery_limit = match arguments.number("x-delivery-limit")? {
        None if is_quorum => Some(limits::amqp::DELIVERY_LIMIT_DEFAULT),
        limit => limit,
    };
    let consumer_timeout = arguments.time("x-consumer-timeout")?;
    let length_bytes_max = arguments.number("x-max-length-bytes")?;
    let dead_letter = arguments.dead_letter()?;
    match arguments.text("x-dead-letter-strategy")? {
        // Dead letters move in one step, and are never lost on their way.
        None | Some(b"at-most-once" | b"at-least-once") => {}
        Some(_) => return refuse("x-dead-letter-strategy", "invalid_dlx_strategy"),
    }
    Ok(Asked {
        ttl,
        expires,
        single_active,
        delivery_limit,
        consumer_timeout,
        is_quorum,
        length_max,
        length_bytes_max,
        dead_letter,
        full,
        priority_max,
    })
}

/// The priority of a consumer, from the arguments with which it comes.
pub(crate) fn priority(table: Table<'_>, place: &str) -> Result<i64> {
    let Some(value) = table.get(b"x-priority") else { return Ok(0) };
    let why = || format!("\"expected integer, got {}\"", type_name(value));
    whole(value).ok_or_else(|| Arguments { table, place }.refuse("x-priority", why()))
}

impl<'a> Arguments<'a> {
    fn refuse(&self, name: &str, why: String) -> Exception {
        Exception::precondition(format!("invalid arg '{name}' for {}: {why}", self.place))
    }

    fn unacceptable(&self, name: &str, value: Value<'_>) -> Exception {
        self.refuse(name, format!("{{unacceptable_type,{}}}", type_name(value)))
    }

    /// A whole number, not below zero.
    fn number(&self, name: &str) -> Result<Option<u64>> {
        let Some(value) = self.table.get(name.as_bytes()) else { return Ok(None) };
        match whole(value) {
            None => Err(self.refuse(name, format!("\"expected integer, got {}\"", type_name(value)))),
            Some(number) if number < 0 => Err(self.refuse(name, format!("{{value_negative,{number}}}"))),
            Some(number) => Ok(Some(number.unsigned_abs())),
        }
    }

    /// A time in milliseconds.
    fn time(&self, name: &str) -> Result<Option<Duration>> {
        match self.number(name)? {
            Some(ms) if ms > TIME_MS_MAX => Err(self.refuse(name, format!("{{value_too_large,{ms}}}"))),
            ms => Ok(ms.map(Duration::from_millis)),
        }
    }

    /// Where dead letters go, by two arguments.
    fn dead_letter(&self) -> Result<Option<DeadLetterExchange>> {
        let (exchange, key) = ("x-dead-letter-exchange", "x-dead-letter-routing-key");
        let owned = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
        let exchange = match self.table.get(exchange.as_bytes()) {
            None => None,
            Some(Value::Text(name)) => Some(owned(name)),
            Some(value) => {
                let (given, place) = (type_name(value), self.place);
                let text = format!("invalid type '{given}' for arg '{exchange}' in {place}");
                return Err(Exception::precondition(text));
            }
        };
        let given = self.text(key)?.map(owned);
        match (exchange, given) {
            (None, Some(_)) => Err(self.refuse(key, "routing_key_but_no_dlx_defined".to_owned())),
            (None, None) => Ok(None),
            (Some(exchange), key) => Ok(Some(DeadLetterExchange { exchange, key })),
        }
    }

    fn text(&self, name: &str) -> Result<Option<&'a [u8]>> {
        match self.table.get(name.as_bytes()) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(value) => Err(self.unacceptable(name, value)),
        }
    }
}

impl Asked {
    /// A message that does not fit is refused; otherwise the oldest goes.
    pub(crate) fn rejects(&self) -> bool {
        self.full != Full::DropsHead
    }

    /// What the broker is to keep. A consumer of AMQP holds what it has for as long as it is there, and gives back as
    /// often as it likes.
    pub(crate) fn settings(&self, name: QueueName) -> QueueSettings {
        let backoff = Backoff { first: Duration::ZERO, longest: Duration::ZERO, jitter: 0.0 };
        let is_limited = self.length_max.is_some() || self.length_bytes_max.is_some();
        let overflow = match self.full {
            Full::RejectsToDeadLetters => Overflow::RejectDeadLetter,
            Full::DropsHead if is_limited => Overflow::DropHead,
            Full::DropsHead | Full::Rejects => Overflow::Reject,
        };
        // Nothing is dropped for a limit that nobody has set.
        let unlimited = if overflow == Overflow::DropHead { u64::MAX } else { limits::QUEUE_LENGTH_DEFAULT };
        QueueSettings {
            retry: RetryPolicy { attempt_max: limits::ATTEMPTS_MAX, backoff },
            hold: limits::HOLD_MAX,
            length_max: self.length_max.unwrap_or(unlimited),
            length_bytes_max: self.length_bytes_max,
            message_ttl: self.ttl,
            dead_letter_exchange: self.dead_letter.clone(),
            overflow,
            priority_max: self.priority_max,
            dedup_window: Duration::ZERO,
            ..QueueSettings::new(name)
        }
    }
}

#[cfg(test)]
mod tests {
    use forebay_wire::amqp::reply::ReplyCode;
    use forebay_wire::amqp::table::TableBuf;
    use forebay_wire::amqp::text::ShortBytes;

    use super::*;

    const PLACE: &str = "queue 'q' in vhost '/'";
    const FLAGS: Flags = Flags { durable: true, exclusive: false, auto_delete: false };

    fn table(name: &'static str, value: Value<'_>) -> TableBuf {
        let mut table = TableBuf::new();
        table.push(ShortBytes::new(name.as_bytes()).unwrap(), value);
        table
    }

    fn refused(name: &'static str, value: Value<'_>) -> Exception {
        read(table(name, value).as_table(), FLAGS, PLACE).unwrap_err()
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
        assert!(refused("x-expires", Value::I32(0)).to_string().ends_with("{value_zero,0}"));
    }

    #[test]
    fn dead_letters_have_their_exchange_and_a_key_only_with_one() {
        let mut arguments = table("x-dead-letter-exchange", Value::Text(b""));
        let key = ShortBytes::new(b"x-dead-letter-routing-key").unwrap();
        arguments.push(key, Value::Text(b"dead"));
        let asked = read(arguments.as_table(), FLAGS, PLACE).unwrap();
        let expected = DeadLetterExchange { exchange: String::new(), key: Some("dead".into()) };
        assert_eq!(asked.dead_letter, Some(expected));
        let alone = refused("x-dead-letter-routing-key", Value::Text(b"dead")).to_string();
        assert!(alone.ends_with("routing_key_but_no_dlx_defined"), "{alone}");
        assert!(
            refused("x-dead-letter-exchange", Value::I32(1)).to_string().contains("invalid type 'signedint'")
        );
    }

    #[test]
    fn streams_are_refused_and_not_passed_over() {
        assert_eq!(refused("x-queue-type", Value::Text(b"stream")).code, ReplyCode::NotImplemented);
    }

    #[test]
    fn a_quorum_queue_has_a_delivery_limit_and_outlives_its_connection() {
        let quorum = table("x-queue-type", Value::Text(b"quorum"));
        let asked = read(quorum.as_table(), FLAGS, PLACE).unwrap();
        assert_eq!(asked.delivery_limit, Some(20));
        let fleeting = Flags { durable: false, ..FLAGS };
        assert!(read(quorum.as_table(), fleeting, PLACE).unwrap_err().to_string().contains("'non-durable'"));
    }

    #[test]
    fn what_is_asked_for_reaches_the_broker() {
        let mut arguments = table("x-message-ttl", Value::I64(1 << 37));
        let name = |name: &'static str| ShortBytes::new(name.as_bytes()).unwrap();
        arguments.push(name("x-max-length"), Value::U8(9)).push(name("x-max-priority"), Value::I32(255));
        arguments.push(name("x-queue-mode"), Value::Text(b"lazy"));
        let asked = read(arguments.as_table(), FLAGS, PLACE).unwrap();
        assert_eq!(asked.ttl, Some(Duration::from_millis(1 << 37)));
        let settings = asked.settings(QueueName::new("q").unwrap());
        assert!(settings.check().is_ok());
        assert_eq!((settings.length_max, settings.priority_max), (9, 255));
        assert_eq!(settings.overflow, Overflow::DropHead);
    }
}
