//! The AMQP front of the real daemon: its answers beside RabbitMQ's, kills under load, crowds, malformed bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answers;
mod crowds;
mod kill;
mod malformed;
