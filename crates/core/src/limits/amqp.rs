//! The bounds of the AMQP front.

use std::time::Duration;

/// Largest AMQP frame that is agreed to.
pub const FRAME_BYTES_MAX: u32 = 128 * 1024;
/// Channels of one AMQP connection.
pub const CHANNELS_MAX: u16 = 2047;
/// How often an AMQP peer is to give a sign of life, as the server proposes it.
pub const HEARTBEAT: Duration = Duration::from_secs(60);
/// How long an AMQP client may take to open its connection.
pub const HANDSHAKE_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long a connection or channel that was refused something is kept open for the client's answer to that.
pub const CLOSE_WAIT_MAX: Duration = Duration::from_secs(5);
/// What is read of an AMQP connection at once, beyond the frame that is awaited.
pub const INPUT_BYTES: usize = 16 * 1024;
/// Bodies of all AMQP connections whose frames are still coming, and messages of transactions that are not committed;
/// beyond it they are refused.
pub const BODIES_BYTES_MAX: usize = 512 * 1024 * 1024;
/// A body up to this size is not counted there while it comes.
pub const BODY_BYTES_FREE: usize = 64 * 1024;
/// Bytes of the messages, with properties and headers, and these anew for each queue that a message goes to, that one AMQP
/// connection has published and that are not yet durable, before it stops being read; a batch of one channel ends there, too.
pub const PUBLISHING_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The same in messages.
pub const PUBLISHING_MESSAGES_MAX: usize = 10_000;
/// Queues into which one batch of an AMQP channel goes at once; into more by and by.
pub const PUBLISHING_QUEUES_MAX: usize = 1_000;
/// Frames of one AMQP connection that wait for what their channels published before them, while other channels go on; at
/// it the connection stops being read.
pub const PARKED_FRAMES_MAX: usize = 4096;
/// The same in bytes, beyond a last frame.
pub const PARKED_BYTES_MAX: usize = 1024 * 1024;
/// Deliveries that one AMQP consumer is handed at once, so that others have theirs.
pub const DELIVERIES_AT_ONCE: usize = 64;
/// Deliveries of one AMQP channel that are not settled; its consumers wait beyond it, whatever their prefetch.
pub const UNSETTLED_MAX: usize = 256 * 1024;
/// Acknowledgements of one AMQP connection on their way into the log before it stops being read.
pub const SETTLING_MAX: usize = 64 * 1024;
/// How often a message of a quorum queue may be given back, unless its arguments say otherwise.
pub const DELIVERY_LIMIT_DEFAULT: u64 = 20;
/// How often it is looked for queues that nobody has used for their time.
pub const UNUSED_LOOK: Duration = Duration::from_millis(100);
/// Memory that looking at one password may take, in KiB.
pub const PASSWORD_KIB_MAX: u32 = 256 * 1024;
/// The same over all its passes.
pub const PASSWORD_COST_MAX: u64 = 1024 * 1024;
/// Passwords that are looked at at a time; further ones wait.
pub const PASSWORDS_AT_ONCE: usize = 2;
/// Messages in the transactions of one AMQP connection.
pub const TX_MESSAGES_MAX: usize = 10_000;
/// Their bytes, with properties and headers.
pub const TX_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Replies to one AMQP connection, sent straight to it, that it has not yet passed on; further ones are lost.
pub const REPLIES_MAX: usize = 10_000;
/// Their bytes; the first one has room whatever its size.
pub const REPLIES_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Consumers of one AMQP channel.
pub const CONSUMERS_MAX: usize = 4096;
