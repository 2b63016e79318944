//! What `stats` shows, under memcached's names.

pub(crate) mod connections;
pub(crate) mod counters;
pub(crate) mod general;
pub(crate) mod settings;
pub(crate) mod sheet;
pub(crate) mod slabs;
