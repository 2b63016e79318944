//! The cache by key, in the memory of this process or in a store that many share, and its state.

pub(crate) mod conditions;
pub(crate) mod local;
pub(crate) mod shared;
pub(crate) mod state;
pub(crate) mod values;
