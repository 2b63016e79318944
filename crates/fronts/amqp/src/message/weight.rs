//! How much memory a message takes on its way to many queues.

use forebay_core::message::Message;

/// Bytes of the message on its way to so many queues: it is there once, but each writes down all that is around its payload.
pub(crate) fn weight_for(message: &Message, queues: usize) -> usize {
    let payload = message.payload.len();
    payload + (message.weight() - payload) * queues.max(1)
}

#[cfg(test)]
mod tests {
    use forebay_core::message::MessageId;

    use super::*;

    #[test]
    fn the_payload_counts_once_and_what_is_around_it_for_each_queue() {
        let message = Message::new(MessageId::given("m").unwrap(), vec![0; 100].into());
        let around = message.weight() - 100;
        let weights = [0, 1, 3].map(|queues| weight_for(&message, queues));
        assert_eq!(weights, [100 + around, 100 + around, 100 + 3 * around]);
    }
}
