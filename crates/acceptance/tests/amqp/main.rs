//! The AMQP front of the real daemon: its answers beside RabbitMQ's, kills under load, crowds, malformed bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod answers;
mod crowds;
mod durable;
mod kill;
mod malformed;
