//! A cache and a durable queue that know about each other, in process.
