//! One connection, from its first octet to its last.

pub(crate) mod blocked;
pub(crate) mod end;
pub(crate) mod gate;
pub(crate) mod output;
pub(crate) mod overdue;
pub(crate) mod phase;
pub(crate) mod pump;
mod rights;
pub(crate) mod serve;
pub(crate) mod session;
pub(crate) mod start;
