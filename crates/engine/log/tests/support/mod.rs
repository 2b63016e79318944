//! A model of what the log promised, and random histories that hold the log to it.

pub(crate) mod history;
pub(crate) mod model;
