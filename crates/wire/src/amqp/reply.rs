//! The numbers that a close or a return carries, and the words RabbitMQ puts before its explanations.

/// Why a channel or connection is closed, or a message returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReplyCode {
    /// Closed because it was asked for.
    Success = 200,
    /// The message is larger than the peer takes.
    ContentTooLarge = 311,
    /// A mandatory message reached no queue.
    NoRoute = 312,
    /// An immediate message reached no consumer.
    NoConsumers = 313,
    /// An operator closed the connection.
    ConnectionForced = 320,
    /// No such virtual host.
    InvalidPath = 402,
    /// The user may not do this.
    AccessRefused = 403,
    /// No such exchange, queue or binding.
    NotFound = 404,
    /// Another connection has it for itself.
    ResourceLocked = 405,
    /// It is there, but not as it was said to be.
    PreconditionFailed = 406,
    /// The frame cannot be read.
    FrameError = 501,
    /// A field of the frame cannot be read.
    SyntaxError = 502,
    /// The method cannot be carried out here.
    CommandInvalid = 503,
    /// The channel is not open, or already open.
    ChannelError = 504,
    /// Not the frame that had to come next.
    UnexpectedFrame = 505,
    /// The server has not the means.
    ResourceError = 506,
    /// Forbidden whatever the user's rights.
    NotAllowed = 530,
    /// Known, and not offered.
    NotImplemented = 540,
    /// The server's own fault.
    InternalError = 541,
}

impl ReplyCode {
    /// The number on the wire.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The word that RabbitMQ's reply text begins with, before ` - ` and the explanation.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "REPLY_SUCCESS",
            Self::ContentTooLarge => "CONTENT_TOO_LARGE",
            Self::NoRoute => "NO_ROUTE",
            Self::NoConsumers => "NO_CONSUMERS",
            Self::ConnectionForced => "CONNECTION_FORCED",
            Self::InvalidPath => "INVALID_PATH",
            Self::AccessRefused => "ACCESS_REFUSED",
            Self::NotFound => "NOT_FOUND",
            Self::ResourceLocked => "RESOURCE_LOCKED",
            Self::PreconditionFailed => "PRECONDITION_FAILED",
            Self::FrameError => "FRAME_ERROR",
            Self::SyntaxError => "SYNTAX_ERROR",
            Self::CommandInvalid => "COMMAND_INVALID",
            Self::ChannelError => "CHANNEL_ERROR",
            Self::UnexpectedFrame => "UNEXPECTED_FRAME",
            Self::ResourceError => "RESOURCE_ERROR",
            Self::NotAllowed => "NOT_ALLOWED",
            Self::NotImplemented => "NOT_IMPLEMENTED",
            Self::InternalError => "INTERNAL_ERROR",
        }
    }

    /// Whether it ends the connection; otherwise the channel alone.
    pub const fn closes_connection(self) -> bool {
        matches!(self.number(), 320 | 402 | 501..)
    }
}

#[cfg(test)]
mod tests {
    use super::ReplyCode::{
        self, AccessRefused, ChannelError, CommandInvalid, ConnectionForced, ContentTooLarge, FrameError,
        InternalError, InvalidPath, NoConsumers, NoRoute, NotAllowed, NotFound, NotImplemented,
        PreconditionFailed, ResourceError, ResourceLocked, SyntaxError, UnexpectedFrame,
    };

    #[test]
    fn soft_errors_end_the_channel_and_hard_ones_the_connection() {
        let soft = [
            ContentTooLarge,
            NoRoute,
            NoConsumers,
            AccessRefused,
            NotFound,
            ResourceLocked,
            PreconditionFailed,
        ];
        let hard = [
            ConnectionForced,
            InvalidPath,
            FrameError,
            SyntaxError,
            CommandInvalid,
            ChannelError,
            UnexpectedFrame,
            ResourceError,
            NotAllowed,
            NotImplemented,
            InternalError,
        ];
        assert_eq!(soft.map(ReplyCode::number), [311, 312, 313, 403, 404, 405, 406]);
        assert_eq!(hard.map(ReplyCode::number), [320, 402, 501, 502, 503, 504, 505, 506, 530, 540, 541]);
        assert!(!soft.into_iter().any(ReplyCode::closes_connection));
        assert!(hard.into_iter().all(ReplyCode::closes_connection));
    }
}
