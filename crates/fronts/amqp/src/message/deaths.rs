//! What a dead letter says of its way, as headers: `x-death` with a line for each queue and reason, and the first and last of
//! them by themselves.

use forebay_broker::virtual_hosts::names;
use forebay_core::delivery::{History, Reason};
use forebay_wire::amqp::table::{ArrayBuf, TableBuf, Value as Field};
use forebay_wire::amqp::text::ShortBytes;

/// The header with all of it.
const DEATH: &str = "x-death";
/// The headers of the first death: of the queue, the reason and the exchange.
const FIRST: [&str; 3] = ["x-first-death-queue", "x-first-death-reason", "x-first-death-exchange"];
/// The same of the last one.
const LAST: [&str; 3] = ["x-last-death-queue", "x-last-death-reason", "x-last-death-exchange"];

/// Whether the header is one that is written here.
pub(super) fn is_of_death(name: &[u8]) -> bool {
    [DEATH].iter().chain(&FIRST).chain(&LAST).any(|own| own.as_bytes() == name)
}

/// Adds the headers of a message that was first published to `exchange` with `key`.
pub(super) fn write(table: &mut TableBuf, history: &[History], exchange: &str, key: &str) {
    let mut deaths = ArrayBuf::new();
    // The newest comes first.
    history.iter().rev().for_each(|line| {
        deaths.push(Field::Table(death(line).as_table()));
    });
    push(table, DEATH, Field::Array(deaths.as_array()));
    // Who has gone round in a circle died first where it was published to.
    let is_first = |line: &&History| {
        line.exchange.as_deref().unwrap_or_default() == exchange
            && line.routing_keys.first().is_some_and(|first| first == key)
    };
    let first = history.iter().find(is_first).or(history.first());
    for (line, names) in [(first, FIRST), (history.last(), LAST)] {
        let Some(line) = line else { continue };
        let told = [queue(line), reason(line.reason), line.exchange.as_deref().unwrap_or_default()];
        for (name, text) in names.into_iter().zip(told) {
            push(table, name, Field::Text(text.as_bytes()));
        }
    }
}

fn death(line: &History) -> TableBuf {
    let mut death = TableBuf::new();
    let count = i64::try_from(line.count).unwrap_or(i64::MAX);
    push(&mut death, "count", Field::I64(count));
    push(&mut death, "reason", Field::Text(reason(line.reason).as_bytes()));
    push(&mut death, "queue", Field::Text(queue(line).as_bytes()));
    push(&mut death, "time", Field::Timestamp(line.at.as_ms() / 1000));
    push(&mut death, "exchange", Field::Text(line.exchange.as_deref().unwrap_or_default().as_bytes()));
    let mut keys = ArrayBuf::new();
    line.routing_keys.iter().for_each(|key| {
        keys.push(Field::Text(key.as_bytes()));
    });
    push(&mut death, "routing-keys", Field::Array(keys.as_array()));
    if let Some(time) = line.time_to_live {
        push(&mut death, "original-expiration", Field::Text(time.as_millis().to_string().as_bytes()));
    }
    death
}

/// The queue by the name that it has in its virtual host.
fn queue(line: &History) -> &str {
    names::place(&line.queue).1
}

/// RabbitMQ's word for the reason.
fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Rejected => "rejected",
        Reason::Expired => "expired",
        Reason::Overflow => "maxlen",
        Reason::DeliveryLimit | Reason::AttemptsSpent => "delivery_limit",
    }
}

fn push(table: &mut TableBuf, name: &'static str, value: Field<'_>) {
    table.push(ShortBytes::new(name.as_bytes()).unwrap_or_default(), value);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use forebay_core::queue::QueueName;
    use forebay_core::time::Instant;

    use super::*;

    fn line(queue: &str, reason: Reason, exchange: &str, key: &str) -> History {
        let queue = QueueName::new(queue).unwrap();
        let mut line = History::new(queue, reason, Instant::from_ms(5000), 1);
        line.exchange = Some(exchange.to_owned());
        line.routing_keys = vec![key.to_owned()];
        line
    }

    fn text(table: &TableBuf, name: &str) -> String {
        match table.as_table().get(name.as_bytes()) {
            Some(Field::Text(text)) => String::from_utf8(text.to_vec()).unwrap(),
            other => panic!("{name}: {other:?}"),
        }
    }

    #[test]
    fn who_has_gone_round_in_a_circle_died_first_where_it_was_published_to() {
        let history =
            [line("wait", Reason::Expired, "later", "work"), line("work", Reason::Rejected, "", "work")];
        let mut table = TableBuf::new();
        write(&mut table, &history, "", "work");
        assert_eq!(text(&table, "x-first-death-queue"), "work");
        assert_eq!(text(&table, "x-first-death-reason"), "rejected");
        assert_eq!(text(&table, "x-last-death-queue"), "work");
        let mut table = TableBuf::new();
        write(&mut table, &history[..1], "", "elsewhere");
        assert_eq!(text(&table, "x-first-death-queue"), "wait");
        assert_eq!(text(&table, "x-last-death-exchange"), "later");
        assert!(table.as_table().fields().all(|(name, _)| is_of_death(name.as_bytes())));
    }

    #[test]
    fn a_line_tells_what_rabbitmq_tells() {
        let mut line = line("//shop/work", Reason::Overflow, "e", "k");
        line.count = 3;
        line.time_to_live = Some(Duration::from_millis(1500));
        let death = death(&line);
        assert_eq!(text(&death, "queue"), "work");
        assert_eq!(text(&death, "reason"), "maxlen");
        assert_eq!(text(&death, "original-expiration"), "1500");
        assert_eq!(death.as_table().get(b"count"), Some(Field::I64(3)));
        assert_eq!(death.as_table().get(b"time"), Some(Field::Timestamp(5)));
    }
}
