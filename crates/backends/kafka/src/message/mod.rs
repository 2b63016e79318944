//! Messages as Kafka keeps them.

pub(crate) mod envelope;
