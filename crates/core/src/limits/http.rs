//! The bounds of the HTTP front, its pages and metrics.

use std::time::Duration;

/// Body of one HTTP request.
pub const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Request bodies of all HTTP connections together; beyond it requests are refused as full.
pub const BODIES_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How long an HTTP client may take to send a request's head, and how long a connection may stay idle.
pub const HEAD_WAIT_MAX: Duration = Duration::from_secs(30);
/// How long an HTTP client may take to send a request's body.
pub const BODY_WAIT_MAX: Duration = Duration::from_secs(60);
/// A longer HTTP body is read aside, so that the other requests of its thread need not wait.
pub const BODY_READ_AT_ONCE_BYTES_MAX: usize = 1024 * 1024;
/// One message's headers as JSON, which escapes and spaces make longer than the headers are.
pub const HEADERS_JSON_BYTES_MAX: usize = 8 * super::HEADERS_BYTES_MAX;
/// Values in the headers of all messages of one HTTP request: two bytes of JSON make one.
pub const HEADER_VALUES_MAX: usize = 256 * 1024;
/// How long an HTTP client may take none of an answer that waits for it.
pub const WRITE_WAIT_MAX: Duration = Duration::from_secs(30);
/// Messages of one HTTP look into a queue.
pub const PEEK_MAX: usize = 100;
/// Queues that the metrics name; the rest are summed up under one label.
pub const METRICS_QUEUES_MAX: usize = 1_000;
/// How long the metrics wait for a broker to list its queues; then they are shown without.
pub const METRICS_QUEUES_WAIT_MAX: Duration = Duration::from_secs(2);
/// Failures that the health page remembers.
pub const HEALTH_FAILURES_MAX: usize = 16;
/// The longest life that can be asked for a cached value over HTTP.
pub const TTL_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 3600);
