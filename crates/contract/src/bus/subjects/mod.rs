//! One file per subject.

#![expect(missing_docs, reason = "the names are the promises")]

pub mod close;
pub mod gap;
pub mod head;
pub mod late;
pub mod many;
pub mod order;
