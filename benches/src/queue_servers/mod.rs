//! Queues on servers: each starts its server and speaks its protocol with buffers that are built once.

pub mod amqp;
pub mod forebay;
pub mod nats;
pub mod peer;
pub mod rabbitmq;
pub mod redis;
