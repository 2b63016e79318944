//! What the measurements share. Each `src/bin` is one subject.

pub mod policies;
pub mod trace;
