//! Whether a message's headers fit a binding's arguments.
//!
//! As RabbitMQ 3.10 answers: values are compared by what they are and not by the type they came in, so that 1, 1.0 and the
//! timestamp 1 are equal, and text and bytes are; but inside arrays and tables types count, and their order does.
//! An argument without a value asks only that the header is there.

use std::cmp::Ordering;

use forebay_core::message::{Headers, Value};

/// The argument that says how many of the others must fit.
pub(crate) const MATCH: &str = "x-match";

/// How many must fit, and whether those count whose names begin with `x-`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mode {
    any: bool,
    with_x: bool,
}

impl Mode {
    /// The mode that the arguments name; `Err` is the value that names none.
    pub(crate) fn of(arguments: &Headers) -> Result<Self, &Value> {
        let (any, with_x) = match arguments.get(MATCH) {
            None => (false, false),
            Some(Value::Text(name)) if name == "all" => (false, false),
            Some(Value::Text(name)) if name == "any" => (true, false),
            Some(Value::Text(name)) if name == "all-with-x" => (false, true),
            Some(Value::Text(name)) if name == "any-with-x" => (true, true),
            Some(other) => return Err(other),
        };
        Ok(Self { any, with_x })
    }
}

/// What a binding asks of headers.
#[derive(Debug)]
pub(crate) struct Pattern {
    any: bool,
    /// In the order of their names.
    wanted: Vec<(String, Value)>,
}

/// Headers in the order of their names.
pub(crate) fn sorted(headers: &Headers) -> Vec<(&str, &Value)> {
    let mut sorted: Vec<_> = headers.iter().collect();
    sorted.sort_by_key(|(name, _)| *name);
    sorted
}

impl Pattern {
    /// The pattern of a binding whose mode has been looked at: one that names none counts as `all`.
    pub(crate) fn new(arguments: &Headers) -> Self {
        let Mode { any, with_x } = Mode::of(arguments).unwrap_or(Mode { any: false, with_x: false });
        let counts = |name: &str| if with_x { name != MATCH } else { !name.starts_with("x-") };
        let wanted = sorted(arguments).into_iter().filter(|(name, _)| counts(name));
        Self { any, wanted: wanted.map(|(name, value)| (name.to_owned(), value.clone())).collect() }
    }

    /// Both sides are sorted, so one pass over them is enough.
    pub(crate) fn fits(&self, headers: &[(&str, &Value)]) -> bool {
        let mut rest = headers.iter().peekable();
        for (name, wanted) in &self.wanted {
            while rest.next_if(|(header, _)| *header < name.as_str()).is_some() {}
            let header = rest.next_if(|(header, _)| header == name);
            let fits = header.is_some_and(|(_, value)| *wanted == Value::Null || equal(wanted, value));
            if fits == self.any {
                return fits;
            }
        }
        !self.any
    }
}

/// Whether two values are the same to RabbitMQ where their types do not count.
pub(crate) fn equal(one: &Value, other: &Value) -> bool {
    match (bytes(one), bytes(other)) {
        (Some(one), Some(other)) => return one == other,
        (None, None) => {}
        _ => return false,
    }
    match (Number::of(one), Number::of(other)) {
        (Some(one), Some(other)) => return one.equals(other),
        (None, None) => {}
        _ => return false,
    }
    match (one, other) {
        // An empty array and an empty table are the same empty list.
        (Value::List(list), Value::Table(table)) | (Value::Table(table), Value::List(list)) => {
            list.is_empty() && table.is_empty()
        }
        _ => one == other,
    }
}

fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::Text(text) => Some(text.as_bytes()),
        Value::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}

/// A number, whatever its type.
#[derive(Clone, Copy)]
enum Number {
    Whole(i128),
    Broken(f64),
}

impl Number {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Int(number) => Some(Self::Whole((*number).into())),
            Value::UInt(number) => Some(Self::Whole((*number).into())),
            Value::Float(number) => Some(Self::Broken(*number)),
            // AMQP's timestamps are in seconds; a moment between two of them came another way.
            Value::Time(time) if time.as_ms() % 1000 == 0 => Some(Self::Whole((time.as_ms() / 1000).into())),
            Value::Time(time) => Some(Self::Broken(time.as_ms() as f64 / 1000.0)),
            _ => None,
        }
    }

    fn equals(self, other: Self) -> bool {
        match (self, other) {
            (Self::Whole(one), Self::Whole(other)) => one == other,
            (Self::Broken(one), Self::Broken(other)) => one.partial_cmp(&other) == Some(Ordering::Equal),
            // No number of 64 bits is where the conversion saturates.
            (Self::Whole(whole), Self::Broken(broken)) | (Self::Broken(broken), Self::Whole(whole)) => {
                broken.fract() == 0.0 && broken as i128 == whole
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use forebay_core::time::Instant;

    use super::*;

    fn table<const N: usize>(pairs: [(&str, Value); N]) -> Headers {
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn mode(name: &str) -> (&'static str, Value) {
        (MATCH, name.into())
    }

    #[test]
    fn arguments_fit_headers_as_rabbitmq_3_10_answers() {
        let int = Value::Int;
        let cases = [
            ("all, empty", table([mode("all")]), table([]), true),
            ("any, empty", table([mode("any")]), table([("a", int(1))]), false),
            ("no arguments", table([]), table([("a", int(1))]), true),
            ("any, only x-", table([mode("any"), ("x-a", int(1))]), table([("x-a", int(1))]), false),
            ("any with x-", table([mode("any-with-x"), ("x-a", int(1))]), table([("x-a", int(1))]), true),
            ("all, x- ignored", table([mode("all"), ("x-a", int(1))]), table([]), true),
            ("all with x-, missing", table([mode("all-with-x"), ("x-a", int(1))]), table([]), false),
            ("all with x-", table([mode("all-with-x"), ("x-a", int(1))]), table([("x-a", int(1))]), true),
            ("all with x-, only x-match", table([mode("all-with-x")]), table([]), true),
            ("any with x-, only x-match", table([mode("any-with-x")]), table([mode("any-with-x")]), false),
            ("X- counts", table([("X-a", int(1))]), table([]), false),
            ("x- alone is ignored", table([("x-", int(1))]), table([]), true),
            ("x counts", table([("x", int(1))]), table([]), false),
            ("void, present", table([("a", Value::Null)]), table([("a", int(5))]), true),
            ("void, absent", table([("a", Value::Null)]), table([]), false),
            ("any of void", table([mode("any"), ("a", Value::Null)]), table([("a", int(1))]), true),
            ("value, void header", table([("a", int(1))]), table([("a", Value::Null)]), false),
            (
                "all, one differs",
                table([("b", int(1)), ("a", int(1))]),
                table([("a", int(1)), ("b", int(2))]),
                false,
            ),
            (
                "all, others beside",
                table([("b", int(1)), ("d", int(2))]),
                table([("e", int(0)), ("d", int(2)), ("c", int(0)), ("b", int(1)), ("a", int(0))]),
                true,
            ),
            (
                "any, one of two",
                table([mode("any"), ("b", int(1)), ("a", int(1))]),
                table([("a", int(2)), ("b", int(1))]),
                true,
            ),
        ];
        for (case, arguments, headers, fits) in cases {
            assert_eq!(Pattern::new(&arguments).fits(&sorted(&headers)), fits, "{case}");
        }
    }

    #[test]
    fn values_are_equal_as_rabbitmq_3_10_answers() {
        let second = Value::Time(Instant::from_ms(1000));
        let list = |values: &[Value]| Value::List(values.to_vec());
        let (text, bytes) = (Value::from("1"), Value::Bytes(b"1".to_vec()));
        let ones = [Value::Int(1), Value::UInt(1), Value::Float(1.0), second];
        for one in &ones {
            ones.iter().for_each(|other| assert!(equal(one, other), "{one:?} {other:?}"));
            for other in [&text, &bytes, &Value::Bool(true), &Value::Null, &list(&[Value::Int(1)])] {
                assert!(!equal(one, other) && !equal(other, one), "{one:?} {other:?}");
            }
        }
        let nested = |first, second| {
            Value::Table(table([first, second].map(|name| (name, Value::Int(i64::from(name == "p"))))))
        };
        let cases = [
            (text.clone(), bytes.clone(), true),
            (Value::List(vec![text]), list(&[bytes]), false),
            (Value::Float(0.0), Value::Float(-0.0), true),
            (Value::Float(f64::from(0.1_f32)), Value::Float(0.1), false),
            (list(&[Value::Int(1), Value::Int(2)]), list(&[Value::Int(1), Value::Int(2)]), true),
            (list(&[Value::Int(1), Value::Int(2)]), list(&[Value::Int(2), Value::Int(1)]), false),
            (list(&[Value::Int(1)]), list(&[Value::Float(1.0)]), false),
            (nested("p", "q"), nested("p", "q"), true),
            (nested("p", "q"), nested("q", "p"), false),
            (Value::Int(-1), Value::UInt(u64::MAX), false),
            (Value::UInt(u64::MAX), Value::Float(u64::MAX as f64), false),
            (Value::Int(i64::MIN), Value::Float(i64::MIN as f64), true),
            (Value::Bool(true), Value::Null, false),
            (list(&[]), Value::Table(Headers::new()), true),
        ];
        for (one, other, same) in cases {
            assert_eq!(equal(&one, &other), same, "{one:?} {other:?}");
            assert_eq!(equal(&other, &one), same, "{other:?} {one:?}");
        }
    }
}
