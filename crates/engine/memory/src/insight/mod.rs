//! What a store tells of itself besides its counts: what it is full of, what is read most, what it pushes out.

pub(crate) mod classes;
pub(crate) mod observers;
pub(crate) mod top;
