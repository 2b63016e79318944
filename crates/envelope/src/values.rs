//! Header values as a flat list of tokens: reading it back never goes deeper than values may lie inside each other, whoever
//! wrote it.

use forebay_core::limits;
use forebay_core::message::{Headers, Value};
use forebay_core::time::Instant;
use serde::{Deserialize, Serialize};

/// A value, or the beginning of one that has others inside.
#[derive(Serialize, Deserialize)]
pub(crate) enum Token {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(f64),
    Time(u64),
    Text(String),
    Bytes(Vec<u8>),
    /// So many values follow.
    List(u32),
    /// So many names with a value each follow.
    Table(u32),
    Name(String),
}

/// All pairs in order, the table itself first.
pub(crate) fn flatten(headers: &Headers) -> Vec<Token> {
    let mut tokens = Vec::new();
    add_table(headers, &mut tokens);
    tokens
}

fn add_table(headers: &Headers, tokens: &mut Vec<Token>) {
    tokens.push(Token::Table(headers.iter().len() as u32));
    for (name, value) in headers.iter() {
        tokens.push(Token::Name(name.to_owned()));
        add(value, tokens);
    }
}

fn add(value: &Value, tokens: &mut Vec<Token>) {
    tokens.push(match value {
        Value::Null => Token::Null,
        Value::Bool(value) => Token::Bool(*value),
        Value::Int(number) => Token::Int(*number),
        Value::UInt(number) => Token::UInt(*number),
        Value::Float(number) => Token::Float(*number),
        Value::Time(at) => Token::Time(at.as_ms()),
        Value::Text(text) => Token::Text(text.clone()),
        Value::Bytes(bytes) => Token::Bytes(bytes.clone()),
        Value::List(values) => {
            tokens.push(Token::List(values.len() as u32));
            values.iter().for_each(|value| add(value, tokens));
            return;
        }
        Value::Table(headers) => return add_table(headers, tokens),
    });
}

/// What was flattened; `None` if it never was headers.
pub(crate) fn unflatten(tokens: Vec<Token>) -> Option<Headers> {
    let mut tokens = tokens.into_iter();
    let Value::Table(headers) = read(&mut tokens, limits::HEADERS_DEPTH_MAX)? else { return None };
    tokens.next().is_none().then_some(headers)
}

fn read(tokens: &mut std::vec::IntoIter<Token>, depth: usize) -> Option<Value> {
    Some(match tokens.next()? {
        Token::Null => Value::Null,
        Token::Bool(value) => Value::Bool(value),
        Token::Int(number) => Value::Int(number),
        Token::UInt(number) => Value::UInt(number),
        Token::Float(number) => Value::Float(number),
        Token::Time(ms) => Value::Time(Instant::from_ms(ms)),
        Token::Text(text) => Value::Text(text),
        Token::Bytes(bytes) => Value::Bytes(bytes),
        Token::List(count) => {
            let depth = depth.checked_sub(1)?;
            Value::List((0..count).map(|_| read(tokens, depth)).collect::<Option<_>>()?)
        }
        Token::Table(count) => {
            let depth = depth.checked_sub(1)?;
            let mut pair = || {
                let Token::Name(name) = tokens.next()? else { return None };
                Some((name, read(tokens, depth)?))
            };
            Value::Table((0..count).map(|_| pair()).collect::<Option<_>>()?)
        }
        Token::Name(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_inside_each_other_come_back_in_order() {
        let mut inner = Headers::new();
        inner.set("z", Value::List(vec![Value::Null, Value::UInt(u64::MAX)]));
        inner.set("a", Value::Bytes(vec![0]));
        let mut headers = Headers::new();
        headers.set("table", Value::Table(inner));
        headers.set("empty", Value::List(Vec::new()));
        assert_eq!(unflatten(flatten(&headers)), Some(headers));
    }

    #[test]
    fn what_goes_too_deep_or_is_cut_off_is_refused() {
        let mut deep = vec![Token::Table(1), Token::Name("a".into())];
        deep.extend((0..100_000).map(|_| Token::List(1)));
        assert_eq!(unflatten(deep), None);
        assert_eq!(unflatten(vec![Token::Table(4_000_000_000)]), None);
        assert_eq!(unflatten(vec![Token::Table(0), Token::Null]), None);
        assert_eq!(unflatten(vec![Token::Int(1)]), None);
    }
}
