//! Why something received cannot be read, with the code and words that the connection is closed with.
//!
//! Code and words are RabbitMQ's, but for two things. Where it prints octets of the frame we say how many there are:
//! they may be part of a message, and what is sent is also logged. And where it crashes (an unknown method, a table or
//! properties that cannot be read), so that the peer sees its socket reset or `INTERNAL_ERROR`, we name the fault.

use std::fmt;

use super::methods::MethodId;
use super::reply::ReplyCode;
use super::table::DEPTH_MAX;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The frame is announced larger than was agreed. Said before any of it is awaited.
    FrameTooLarge {
        /// The frame's type.
        kind: u8,
        /// The size of its payload.
        payload_bytes: u32,
        /// What was agreed, for payload and all.
        frame_bytes_max: u32,
    },
    /// Where the frame's end had to be, there is something else.
    FrameEnd {
        /// The frame's type.
        kind: u8,
        /// The size of its payload.
        payload_bytes: u32,
        /// What is there.
        marker: u8,
    },
    /// No such type of frame, or not with a payload of this size.
    UnknownFrame {
        /// The frame's type.
        kind: u8,
        /// The size of its payload.
        payload_bytes: u32,
    },
    /// A heartbeat on a channel.
    HeartbeatOnChannel,
    /// No such method.
    UnknownMethod,
    /// The arguments end too early or too late.
    Arguments,
    /// A short string of a method is not text.
    NotUtf8,
    /// A table has a field of no known type, or one that runs over its end.
    Table,
    /// Tables and arrays within each other beyond [`DEPTH_MAX`].
    TableDepth,
    /// A message's properties end too early or too late, or there are more than the class has.
    Properties,
}

/// What is wrong, and in which method. `Display` is the reply text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fault {
    /// What is wrong.
    pub reason: Reason,
    /// Which method could not be read; zeros where it is not about one. A close repeats it.
    pub method: MethodId,
}

impl Fault {
    pub(super) const fn of_frame(reason: Reason) -> Self {
        Self { reason, method: MethodId::NONE }
    }

    pub(super) const fn of_method(reason: Reason, method: MethodId) -> Self {
        Self { reason, method }
    }

    /// The code of the close.
    pub const fn code(self) -> ReplyCode {
        match self.reason {
            Reason::FrameTooLarge { .. }
            | Reason::FrameEnd { .. }
            | Reason::UnknownFrame { .. }
            | Reason::Arguments
            | Reason::NotUtf8 => ReplyCode::FrameError,
            Reason::HeartbeatOnChannel => ReplyCode::UnexpectedFrame,
            Reason::UnknownMethod => ReplyCode::CommandInvalid,
            Reason::Table | Reason::TableDepth | Reason::Properties => ReplyCode::SyntaxError,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} - ", self.code().name())?;
        match self.reason {
            Reason::FrameTooLarge { kind, payload_bytes, frame_bytes_max } => {
                let payload_max = frame_bytes_max.saturating_sub(super::frame::OVERHEAD_BYTES);
                write!(
                    formatter,
                    "type {kind}, all octets = <<>>: {{frame_too_large,{payload_bytes},{payload_max}}}"
                )
            }
            Reason::FrameEnd { kind, payload_bytes, marker } => {
                write!(
                    formatter,
                    "type {kind}, {payload_bytes} octets: {{invalid_frame_end_marker,{marker}}}"
                )
            }
            Reason::UnknownFrame { kind, payload_bytes } => {
                write!(formatter, "type {kind}, {payload_bytes} octets: unknown_frame")
            }
            Reason::HeartbeatOnChannel => formatter.write_str("type 8, all octets = <<>>"),
            Reason::UnknownMethod => formatter.write_str("unimplemented method"),
            Reason::Arguments => {
                write!(formatter, "cannot decode arguments of {}", self.method.name().unwrap_or("method"))
            }
            Reason::NotUtf8 => formatter.write_str("Malformed UTF-8 in shortstr"),
            Reason::Table => formatter.write_str("malformed table"),
            Reason::TableDepth => write!(formatter, "table nested deeper than {DEPTH_MAX}"),
            Reason::Properties => formatter.write_str("malformed properties"),
        }
    }
}

impl std::error::Error for Fault {}
