//! The front before a near cache: what has a copy is answered in the turn, everything else is asked of the shared store.
//!
//! `front` is what connections share, and a turn's part; `batch` carries out what a turn could not, many commands at one time
//! and answered in order; `binary` is the requests of the binary protocol; `read`, `write` and `change` are the commands themselves; `grants` remembers who may fill; `sizes` what
//! room is held for values that are not there yet; `words` has what is refused and why.

mod batch;
mod binary;
mod change;
pub(crate) mod front;
mod grants;
mod read;
mod sizes;
#[cfg(test)]
mod tests;
mod words;
mod write;
