//! The bounds of the RabbitMQ backend's bus.

use std::time::Duration;

/// Bytes of notices that the server keeps for processes that are away for a while.
pub const BUS_STREAM_BYTES: u64 = 64 * 1024 * 1024;
/// What the server lets go of at once.
pub const BUS_SEGMENT_BYTES: u64 = 8 * 1024 * 1024;
/// Notices that are on their way to this process without having been acknowledged.
pub const BUS_PREFETCH: u16 = 1_024;
/// Notices that are acknowledged at once.
pub const BUS_ACK_EVERY: u64 = 256;
/// A bus that has heard nothing for so long asks whether it still would.
pub const BUS_SILENCE: Duration = Duration::from_secs(10);
/// Publishes and questions for the head of one bus that wait at a time; further ones wait for their turn.
pub const BUS_CALLS_MAX: usize = 4_096;
