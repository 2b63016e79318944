//! Who may come in: `users` are those that are known, `gate` is what everybody has to pass where there are any.

pub(crate) mod gate;
pub mod users;
