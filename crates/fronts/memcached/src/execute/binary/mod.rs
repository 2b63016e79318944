//! The requests of the binary protocol. `run` says which function carries out which; `answer` what the store's words are in
//! statuses; the others are the requests themselves.

pub(crate) mod answer;
mod count;
mod read;
mod run;
mod write;

pub(crate) use run::{refuse, run, run_without_key};
