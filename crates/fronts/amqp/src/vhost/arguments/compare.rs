//! Whether two queues are declared with the same arguments.

use forebay_wire::amqp::table::{Table, Value};

use super::words::{shown, type_name, whole};
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

#[cfg(test)]
mod tests {
    use forebay_wire::amqp::table::TableBuf;
    use forebay_wire::amqp::text::ShortBytes;

    use super::*;

    const PLACE: &str = "queue 'q' in vhost '/'";

    fn table(name: &'static str, value: Value<'_>) -> TableBuf {
        let mut table = TableBuf::new();
        table.push(ShortBytes::new(name.as_bytes()).unwrap(), value);
        table
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
