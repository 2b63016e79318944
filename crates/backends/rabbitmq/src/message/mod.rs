//! A message as it travels: its payload is the AMQP body, everything else is in one header.

pub(crate) mod envelope;
