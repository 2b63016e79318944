//! The class basic: publishing, consuming, asking for one message, settling.

mod consume;
mod get;
mod publish;
mod reply;
mod settle;
