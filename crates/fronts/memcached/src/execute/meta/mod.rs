//! The meta commands: `mg`, `ms`, `md`, `ma`, `me`.

pub(super) mod count;
pub(super) mod delete;
pub(crate) mod get;
pub(crate) mod set;
pub(crate) mod text;
