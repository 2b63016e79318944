//! Clients that people already have, unchanged, against the real daemon.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod amqp;
mod api;
mod celery;
mod examples;
mod lapin;
mod memcached;
