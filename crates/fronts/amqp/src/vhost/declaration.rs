//! How a queue was declared, as the broker keeps it: a version, the flags, and the table of arguments as it came.

use std::sync::Arc;

use forebay_core::payload::Payload;
use forebay_core::queue::{QueueName, QueueSettings};
use forebay_core::time::Instant;
use forebay_wire::amqp::table::{Table, TableBuf};

use super::arguments::read::{Flags, read};
use super::queue::{Declaration, Queue};

/// Of what follows.
const VERSION: u8 = 1;
const DURABLE: u8 = 1;
const AUTO_DELETE: u8 = 2;

/// What the broker is to keep.
pub(super) fn write(flags: Flags, arguments: Table<'_>) -> Payload {
    let octet = |is_set: bool, octet: u8| if is_set { octet } else { 0 };
    let flags = octet(flags.durable, DURABLE) | octet(flags.auto_delete, AUTO_DELETE);
    [&[VERSION, flags], arguments.as_bytes()].concat().into()
}

/// The queue as it was declared; `None` where AMQP did not declare it.
pub(super) fn recall(
    number: u64,
    name: QueueName,
    settings: &QueueSettings,
    now: Instant,
) -> Option<Arc<Queue>> {
    let [VERSION, flags, arguments @ ..] = &*settings.declaration else { return None };
    let (durable, auto_delete) = (flags & DURABLE != 0, flags & AUTO_DELETE != 0);
    let arguments = Table::parse(arguments).ok()?;
    let asked = read(arguments, Flags { durable, exclusive: false, auto_delete }, "").ok()?;
    let arguments = TableBuf::from(arguments);
    let declaration = Declaration { durable, auto_delete, owner: None, arguments, asked };
    Some(Queue::new(number, name, settings.name.clone(), declaration, now))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use forebay_wire::amqp::table::Value;
    use forebay_wire::amqp::text::ShortBytes;

    use super::*;

    #[test]
    fn a_queue_is_recalled_as_it_was_declared_and_only_if_amqp_did() {
        let name = QueueName::new("q").unwrap();
        let mut table = TableBuf::new();
        table.push(ShortBytes::new(b"x-expires").unwrap(), Value::I32(5000));
        let flags = Flags { durable: true, exclusive: false, auto_delete: true };
        let mut settings = QueueSettings::new(name.clone());
        assert!(recall(1, name.clone(), &settings, Instant::from_ms(0)).is_none());
        settings.declaration = write(flags, table.as_table());
        let queue = recall(1, name, &settings, Instant::from_ms(0)).unwrap();
        assert!(queue.durable && queue.auto_delete && queue.is_known);
        assert_eq!(queue.asked.expires, Some(Duration::from_secs(5)));
        assert_eq!(queue.arguments, table);
    }
}
