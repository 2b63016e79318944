//! What the measurements share. Each `src/bin` is one subject.

pub mod amqp;
pub mod load;
pub mod plot;
pub mod policies;
pub mod queue;
pub mod rabbitmq;
pub mod server;
pub mod trace;
