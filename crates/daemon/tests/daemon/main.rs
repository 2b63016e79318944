//! The command as its users run it: the real program, real sockets, real signals.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod commands;
mod durable;
mod process;
mod settings;
mod start;
mod stop;
