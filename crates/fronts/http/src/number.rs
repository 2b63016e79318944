//! Numbers and texts of a request that know their own range, for the reader of JSON and of the document alike.

use std::fmt;

use forebay_core::limits;
use serde::de::{self, Deserializer, Unexpected, Visitor};
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// The greatest whole number that every JSON reader keeps exact.
pub(crate) const EXACT_MAX: u64 = (1 << 53) - 1;

/// A whole number from `MIN` to `MAX`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Whole<const MIN: u64, const MAX: u64>(pub(crate) u64);

/// How long a delivery is held.
pub(crate) type HoldMs = Whole<1, { limits::HOLD_MAX.as_secs() * 1_000 }>;

struct InRange<const MIN: u64, const MAX: u64>;

impl<const MIN: u64, const MAX: u64> Visitor<'_> for InRange<MIN, MAX> {
    type Value = Whole<MIN, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {MIN} to {MAX}")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        if (MIN..=MAX).contains(&number) {
            Ok(Whole(number))
        } else {
            Err(E::invalid_value(Unexpected::Unsigned(number), &self))
        }
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(number), &self)),
        }
    }

    /// To JSON, `1.0` is the whole number 1.
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be exact")]
        if number.fract() == 0.0 && (0.0..=EXACT_MAX as f64).contains(&number) {
            self.visit_u64(number as u64)
        } else {
            Err(E::invalid_value(Unexpected::Float(number), &self))
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Err(E::invalid_type(Unexpected::Str(text), &self))
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Whole<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(InRange)
    }
}

/// Reads an optional number of a query string.
pub(crate) fn in_query<'de, D, const MIN: u64, const MAX: u64>(
    deserializer: D,
) -> Result<Option<Whole<MIN, MAX>>, D::Error>
where
    D: Deserializer<'de>,
{
    struct Digits<const MIN: u64, const MAX: u64>;

    impl<const MIN: u64, const MAX: u64> Visitor<'_> for Digits<MIN, MAX> {
        type Value = Whole<MIN, MAX>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            InRange::<MIN, MAX>.expecting(f)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            match text.parse() {
                Ok(number) if digits => InRange.visit_u64(number),
                _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
            }
        }
    }

    deserializer.deserialize_str(Digits).map(Some)
}

impl<const MIN: u64, const MAX: u64> PartialSchema for Whole<MIN, MAX> {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::Integer))
            .minimum(Some(MIN))
            .maximum(Some(MAX))
            .into()
    }
}

impl<const MIN: u64, const MAX: u64> ToSchema for Whole<MIN, MAX> {}

/// A text of 1 to `MAX` bytes without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text<const MAX: usize>(pub(crate) String);

/// The name of a queue.
pub(crate) type QueueText = Text<{ limits::QUEUE_NAME_BYTES_MAX }>;

struct OfLength<const MAX: usize>;

impl<const MAX: usize> Visitor<'_> for OfLength<MAX> {
    type Value = Text<MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a text of 1 to {MAX} bytes without control characters")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        if text.is_empty() || text.len() > MAX || text.chars().any(char::is_control) {
            return Err(E::invalid_value(Unexpected::Str(text), &self));
        }
        Ok(Text(text.to_owned()))
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Text<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(OfLength)
    }
}

/// What [`Text`] matches, but for its length in bytes, which JSON Schema cannot say.
pub(crate) const TEXT_PATTERN: &str = r"^[^\u0000-\u001F\u007F-\u009F]+$";

impl<const MAX: usize> PartialSchema for Text<MAX> {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .min_length(Some(1))
            .max_length(Some(MAX))
            .pattern(Some(TEXT_PATTERN))
            .description(Some(format!("At most {MAX} bytes in UTF-8, without control characters.")))
            .into()
    }
}

impl<const MAX: usize> ToSchema for Text<MAX> {}

/// A name or key as AMQP has them: any text of at most 255 bytes, and the empty one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShortText(pub(crate) String);

/// As many bytes as AMQP's short strings have.
const SHORT_TEXT_BYTES_MAX: usize = {
    assert!(limits::EXCHANGE_NAME_BYTES_MAX == limits::ROUTING_KEY_BYTES_MAX);
    limits::EXCHANGE_NAME_BYTES_MAX
};

impl<'de> Deserialize<'de> for ShortText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() > SHORT_TEXT_BYTES_MAX {
            let expected = format!("a text of at most {SHORT_TEXT_BYTES_MAX} bytes");
            return Err(de::Error::invalid_length(text.len(), &expected.as_str()));
        }
        Ok(Self(text))
    }
}

impl PartialSchema for ShortText {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .max_length(Some(SHORT_TEXT_BYTES_MAX))
            .description(Some(format!("At most {SHORT_TEXT_BYTES_MAX} bytes in UTF-8.")))
            .into()
    }
}

impl ToSchema for ShortText {}

#[cfg(test)]
mod tests {
    use super::*;

    type Count = Whole<1, 1_000>;

    #[test]
    fn a_number_at_either_end_is_taken_and_beyond_it_refused() {
        for good in ["1", "1000", "7.0", "1e3"] {
            assert!(serde_json::from_str::<Count>(good).is_ok(), "{good}");
        }
        for bad in ["0", "1001", "-1", "1.5", "1e30", "\"1\"", "null", "true", "[1]"] {
            let refused = serde_json::from_str::<Count>(bad).unwrap_err().to_string();
            assert!(refused.contains("a whole number from 1 to 1000"), "{bad}: {refused}");
        }
    }

    #[test]
    fn a_short_text_may_be_empty_and_is_refused_beyond_its_length() {
        let text = |length| serde_json::from_str::<ShortText>(&format!("\"{}\"", "k".repeat(length)));
        assert!(text(0).is_ok() && text(SHORT_TEXT_BYTES_MAX).is_ok());
        assert!(text(SHORT_TEXT_BYTES_MAX + 1).unwrap_err().to_string().contains("at most 255 bytes"));
    }

    #[test]
    fn a_text_at_its_length_is_taken_and_beyond_it_refused() {
        assert!(serde_json::from_str::<Text<4>>("\"äö\"").is_ok());
        for bad in ["\"\"", "\"äöu\"", "\"a\\nb\"", "1"] {
            assert!(serde_json::from_str::<Text<4>>(bad).is_err(), "{bad}");
        }
    }
}
