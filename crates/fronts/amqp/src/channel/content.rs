//! A content that is coming, frame by frame.

use forebay_core::limits;
use forebay_wire::amqp::methods::basic;
use forebay_wire::amqp::properties::{CLASS_ID, ContentHeader};
use forebay_wire::amqp::reply::ReplyCode;

use std::sync::Arc;

use crate::budget::{Budget, Room};
use crate::exception::{Exception, Result};
use crate::message::incoming::Published;

/// What has come of a content after its method.
#[derive(Debug)]
pub(crate) struct Incoming {
    published: Published,
    /// Bytes of the body that are still to come; `None` before the header.
    left: Option<usize>,
    /// Of the memory for all bodies.
    room: Option<Room>,
}

impl Incoming {
    /// The method came.
    pub(crate) fn new(method: &basic::Publish<'_>) -> Self {
        let published = Published {
            exchange: method.exchange.as_str().to_owned(),
            key: method.routing_key.as_str().to_owned(),
            mandatory: method.mandatory,
            properties: Vec::new(),
            body: Vec::new(),
        };
        Self { published, left: None, room: None }
    }

    /// The header came. `None`: the body is still to come.
    pub(crate) fn header(mut self, header: &ContentHeader<'_>, bodies: &Arc<Budget>) -> Result<Step> {
        if self.left.is_some() {
            return Err(unexpected("expected content body, got non content body frame instead"));
        }
        if header.class_id != CLASS_ID {
            let class = header.class_id;
            let text =
                format!("expected content header for class {CLASS_ID}, got one for class {class} instead");
            return Err(unexpected(&text));
        }
        let bytes_max = limits::MESSAGE_BYTES_MAX;
        let Some(bytes) = usize::try_from(header.body_bytes).ok().filter(|bytes| *bytes <= bytes_max) else {
            let bytes = header.body_bytes;
            let text = format!("message size {bytes} is larger than configured max size {bytes_max}");
            return Err(Exception::precondition(text));
        };
        // Small ones always have room.
        let counted = if bytes > limits::amqp::BODY_BYTES_FREE { bytes } else { 0 };
        let Some(room) = bodies.take(counted) else {
            return Err(Exception::new(
                ReplyCode::ResourceError,
                "too many large messages are coming at once",
            ));
        };
        self.room = Some(room);
        self.published.properties = header.properties.to_vec();
        self.left = Some(bytes);
        Ok(self.step())
    }

    /// A piece of the body came.
    pub(crate) fn body(mut self, piece: &[u8]) -> Result<Step> {
        let Some(left) = self.left else {
            let text =
                format!("expected content header for class {CLASS_ID}, got non content header frame instead");
            return Err(unexpected(&text));
        };
        let Some(left) = left.checked_sub(piece.len()) else {
            return Err(Exception::new(ReplyCode::FrameError, "content body is longer than was announced"));
        };
        // Room grows with what has come, not with what was announced.
        self.published.body.extend_from_slice(piece);
        self.left = Some(left);
        Ok(self.step())
    }

    /// What to say where a method comes instead.
    pub(crate) fn interrupted(&self) -> Exception {
        if self.left.is_some() {
            return unexpected("expected content body, got non content body frame instead");
        }
        let text =
            format!("expected content header for class {CLASS_ID}, got non content header frame instead");
        unexpected(&text)
    }

    fn step(self) -> Step {
        if self.left == Some(0) { Step::Complete(self.published) } else { Step::More(self) }
    }
}

/// How far a content is.
#[derive(Debug)]
pub(crate) enum Step {
    /// More of it must come.
    More(Incoming),
    /// It is whole.
    Complete(Published),
}

/// A frame that had no business there.
pub(crate) fn unexpected(explanation: &str) -> Exception {
    Exception::new(ReplyCode::UnexpectedFrame, explanation)
}

#[cfg(test)]
mod tests {
    use forebay_wire::amqp::text::ShortStr;

    use super::*;

    fn publish() -> Incoming {
        Incoming::new(&basic::Publish {
            ticket: 0,
            exchange: ShortStr::default(),
            routing_key: ShortStr::default(),
            mandatory: false,
            immediate: false,
        })
    }

    fn header(body_bytes: u64) -> ContentHeader<'static> {
        ContentHeader { class_id: CLASS_ID, weight: 0, body_bytes, properties: &[0, 0] }
    }

    fn more(step: Step) -> Incoming {
        match step {
            Step::More(incoming) => incoming,
            Step::Complete(_) => panic!("it is complete"),
        }
    }

    #[test]
    fn a_body_comes_in_pieces_and_an_empty_one_in_none() {
        let bodies = Budget::new(limits::amqp::BODIES_BYTES_MAX);
        let incoming = more(publish().header(&header(3), &bodies).unwrap());
        let incoming = more(incoming.body(b"ab").unwrap());
        let Step::Complete(published) = incoming.body(b"c").unwrap() else { panic!("it is not complete") };
        assert_eq!(published.body, b"abc");
        assert!(matches!(publish().header(&header(0), &bodies), Ok(Step::Complete(_))));
    }

    #[test]
    fn what_does_not_come_next_is_refused_with_its_code() {
        let bodies = Budget::new(limits::amqp::BODIES_BYTES_MAX);
        let code = |step: Result<Step>| step.unwrap_err().code;
        assert_eq!(code(publish().body(b"x")), ReplyCode::UnexpectedFrame);
        let wrong = ContentHeader { class_id: 10, ..header(1) };
        assert_eq!(code(publish().header(&wrong, &bodies)), ReplyCode::UnexpectedFrame);
        let too_large = header(limits::MESSAGE_BYTES_MAX as u64 + 1);
        assert_eq!(code(publish().header(&too_large, &bodies)), ReplyCode::PreconditionFailed);
        let incoming = more(publish().header(&header(1), &bodies).unwrap());
        assert_eq!(incoming.interrupted().code, ReplyCode::UnexpectedFrame);
        assert_eq!(code(incoming.body(b"xy")), ReplyCode::FrameError);
    }
    #[test]
    fn large_bodies_come_up_to_what_all_may_take_and_small_ones_always() {
        let bodies = Budget::new(limits::amqp::BODY_BYTES_FREE + 1);
        let free = limits::amqp::BODY_BYTES_FREE as u64;
        let coming = publish().header(&header(free + 1), &bodies);
        let refused = publish().header(&header(free + 1), &bodies).unwrap_err();
        assert_eq!(refused.code, ReplyCode::ResourceError);
        assert!(publish().header(&header(free), &bodies).is_ok());
        drop(coming);
        assert!(publish().header(&header(free + 1), &bodies).is_ok());
    }
}
