//! A message as bytes, beside its id: what a script need not know of it.
//!
//! Version `u8` (1), flags `u8` (1 content type, 2 key, 4 not before, 8 expires at, 16 dedup id, 32 exchange, 64 routing key,
//! 128 time to live), priority `u8`, then what the flags name in their order, headers, and the payload to the end. A text is
//! its length `u32` and its bytes, a moment `u64` milliseconds, a time to live `u64` nanoseconds. Headers are a count `u32` of
//! names and values; a value is a tag `u8` and what belongs to it. All numbers begin with their greatest byte.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::limits;
use forebay_core::message::{Headers, Message, MessageId, Value};
use forebay_core::payload::Payload;
use forebay_core::time::Instant;

const VERSION: u8 = 1;

/// The bytes of a message.
pub(crate) fn write(message: &Message) -> Vec<u8> {
    let texts = [&message.content_type, &message.key];
    let moments = [message.not_before, message.expires_at];
    let more_texts = [&message.dedup_id, &message.exchange, &message.routing_key];
    let named = texts.iter().map(|text| text.is_some());
    let named =
        named.chain(moments.iter().map(Option::is_some)).chain(more_texts.iter().map(|text| text.is_some()));
    let named = named.chain([message.time_to_live.is_some()]);
    let flags = named.enumerate().fold(0, |flags, (bit, is)| flags | (u8::from(is) << bit));
    let mut bytes = Vec::with_capacity(message.payload.len() + 64);
    bytes.extend([VERSION, flags, message.priority]);
    texts.into_iter().flatten().for_each(|text| write_bytes(&mut bytes, text.as_bytes()));
    moments.into_iter().flatten().for_each(|at| bytes.extend(at.as_ms().to_be_bytes()));
    more_texts.into_iter().flatten().for_each(|text| write_bytes(&mut bytes, text.as_bytes()));
    if let Some(time) = message.time_to_live {
        bytes.extend(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).to_be_bytes());
    }
    write_headers(&mut bytes, &message.headers);
    bytes.extend_from_slice(&message.payload);
    bytes
}

/// The message; `None` where the bytes are not one's.
pub(crate) fn read(id: &[u8], bytes: Vec<u8>) -> Option<Arc<Message>> {
    let mut rest = Rest(&bytes);
    let [version, flags, priority] = rest.array()?;
    if version != VERSION {
        return None;
    }
    let has = |bit: u8| flags & (1 << bit) != 0;
    let content_type = rest.maybe(has(0), Rest::text)?;
    let key = rest.maybe(has(1), Rest::text)?;
    let not_before = rest.maybe(has(2), Rest::moment)?;
    let expires_at = rest.maybe(has(3), Rest::moment)?;
    let dedup_id = rest.maybe(has(4), Rest::text)?;
    let exchange = rest.maybe(has(5), Rest::text)?;
    let routing_key = rest.maybe(has(6), Rest::text)?;
    let time_to_live = rest.maybe(has(7), |rest| Some(Duration::from_nanos(rest.u64()?)))?;
    let headers = rest.headers(limits::HEADERS_DEPTH_MAX)?;
    let at = bytes.len() - rest.0.len();
    let all = Payload::from(bytes);
    Some(Arc::new(Message {
        id: MessageId::given(std::str::from_utf8(id).ok()?).ok()?,
        payload: all.slice(at, all.len())?,
        content_type,
        headers,
        key,
        not_before,
        expires_at,
        priority,
        dedup_id,
        exchange,
        routing_key,
        time_to_live,
    }))
}

fn write_count(bytes: &mut Vec<u8>, count: usize) {
    // A message was checked to be far smaller than this can tell.
    bytes.extend(u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
}

fn write_bytes(bytes: &mut Vec<u8>, text: &[u8]) {
    write_count(bytes, text.len());
    bytes.extend_from_slice(text);
}

fn write_headers(bytes: &mut Vec<u8>, headers: &Headers) {
    write_count(bytes, headers.iter().len());
    for (name, value) in headers.iter() {
        write_bytes(bytes, name.as_bytes());
        write_value(bytes, value);
    }
}

fn write_value(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => bytes.push(0),
        Value::Bool(value) => bytes.extend([1, u8::from(*value)]),
        Value::Int(number) => write_number(bytes, 2, number.to_be_bytes()),
        Value::UInt(number) => write_number(bytes, 3, number.to_be_bytes()),
        Value::Float(number) => write_number(bytes, 4, number.to_bits().to_be_bytes()),
        Value::Time(at) => write_number(bytes, 5, at.as_ms().to_be_bytes()),
        Value::Text(text) => {
            bytes.push(6);
            write_bytes(bytes, text.as_bytes());
        }
        Value::Bytes(value) => {
            bytes.push(7);
            write_bytes(bytes, value);
        }
        Value::List(values) => {
            bytes.push(8);
            write_count(bytes, values.len());
            values.iter().for_each(|value| write_value(bytes, value));
        }
        Value::Table(headers) => {
            bytes.push(9);
            write_headers(bytes, headers);
        }
    }
}

fn write_number(bytes: &mut Vec<u8>, tag: u8, number: [u8; 8]) {
    bytes.push(tag);
    bytes.extend(number);
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.array()?))
    }

    fn count(&mut self) -> Option<usize> {
        usize::try_from(u32::from_be_bytes(self.array()?)).ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = self.count()?;
        self.take(count)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    fn moment(&mut self) -> Option<Instant> {
        Some(Instant::from_ms(self.u64()?))
    }

    /// The outer `None` is a fault, the inner one says that it is not there.
    fn maybe<T>(&mut self, is: bool, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if is { read(self).map(Some) } else { Some(None) }
    }

    fn headers(&mut self, depth: usize) -> Option<Headers> {
        let depth = depth.checked_sub(1)?;
        // Each takes bytes: a count that lies comes to the end of them.
        (0..self.count()?).map(|_| Some((self.text()?, self.value(depth)?))).collect()
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        let [tag] = self.array()?;
        Some(match tag {
            0 => Value::Null,
            1 => Value::Bool(self.array::<1>()? != [0]),
            2 => Value::Int(i64::from_be_bytes(self.array()?)),
            3 => Value::UInt(self.u64()?),
            4 => Value::Float(f64::from_bits(self.u64()?)),
            5 => Value::Time(self.moment()?),
            6 => Value::Text(self.text()?),
            7 => Value::Bytes(self.bytes()?.to_vec()),
            8 => {
                let depth = depth.checked_sub(1)?;
                Value::List((0..self.count()?).map(|_| self.value(depth)).collect::<Option<_>>()?)
            }
            9 => Value::Table(self.headers(depth)?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            any::<u64>().prop_map(Value::UInt),
            (-1e9..1e9).prop_map(Value::Float),
            any::<u64>().prop_map(|ms| Value::Time(Instant::from_ms(ms))),
            ".{0,9}".prop_map(Value::Text),
            vec(any::<u8>(), 0..9).prop_map(Value::Bytes),
        ];
        leaf.prop_recursive(4, 20, 4, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..4).prop_map(Value::List),
                vec((".{0,5}", inner), 0..4).prop_map(|pairs| Value::Table(pairs.into_iter().collect())),
            ]
        })
    }

    prop_compose! {
        fn message()(
            id in ".{1,9}",
            payload in vec(any::<u8>(), 0..40),
            texts in vec(proptest::option::of(".{0,9}"), 5),
            moments in vec(proptest::option::of(any::<u64>()), 3),
            headers in vec((".{0,5}", value()), 0..5),
            priority: u8,
        ) -> Message {
            let at = |place: usize| moments[place].map(Instant::from_ms);
            Message {
                content_type: texts[0].clone(),
                key: texts[1].clone(),
                dedup_id: texts[2].clone(),
                exchange: texts[3].clone(),
                routing_key: texts[4].clone(),
                not_before: at(0),
                expires_at: at(1),
                time_to_live: moments[2].map(Duration::from_nanos),
                headers: headers.into_iter().collect(),
                priority,
                ..Message::new(MessageId::given(&id).unwrap(), payload.into())
            }
        }
    }

    proptest! {
        #[test]
        fn a_message_reads_back_as_it_was(message in message()) {
            let read = read(message.id.as_str().as_bytes(), write(&message));
            prop_assert_eq!(read.as_deref(), Some(&message));
        }

        #[test]
        fn any_bytes_are_a_message_or_none(bytes in vec(any::<u8>(), 0..200)) {
            let _ = read(b"id", [&[VERSION], &bytes[..]].concat());
        }
    }

    #[test]
    fn headers_deeper_than_the_limit_end_the_reading() {
        let mut bytes = vec![VERSION, 0, 0];
        for _ in 0..100_000 {
            bytes.extend([0, 0, 0, 1, 0, 0, 0, 0, 9]);
        }
        assert!(read(b"id", bytes).is_none());
    }
}
