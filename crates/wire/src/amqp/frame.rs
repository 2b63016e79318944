//! Bytes into frames. What is announced is judged before it is awaited.

use super::fault::{Fault, Reason};
use super::methods::{Method, MethodId};
use super::properties::ContentHeader;

/// The smallest limit that may be agreed for a frame, and what holds until one is.
pub const FRAME_BYTES_MIN: u32 = 4096;
/// What a frame has around its payload: type, channel and length before, one octet after.
pub const OVERHEAD_BYTES: u32 = 8;

pub(super) const METHOD: u8 = 1;
pub(super) const HEADER: u8 = 2;
pub(super) const BODY: u8 = 3;
pub(super) const HEARTBEAT: u8 = 8;
/// The octet after the payload.
pub(super) const END: u8 = 0xce;
/// Type, channel and length.
const HEAD_BYTES: usize = 7;

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The channel; 0 is the connection itself.
    pub channel: u16,
    /// What it brings.
    pub payload: Payload<'a>,
}

/// What a frame brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// A method.
    Method(Method<'a>),
    /// The header of a content.
    Header(ContentHeader<'a>),
    /// A piece of a content's body, which may be empty.
    Body(&'a [u8]),
    /// A sign of life. Only on channel 0.
    Heartbeat,
}

/// What the head of the input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// Not yet a frame. Asking again with fewer than `needed` bytes is no use. Before the head of the frame is there,
    /// that is the head alone.
    Incomplete {
        /// How many bytes of input there must be, those already there included. Never more than the limit
        /// of a frame and [`OVERHEAD_BYTES`].
        needed: usize,
    },
    /// A frame.
    Complete {
        /// The frame.
        frame: Frame<'a>,
        /// How many bytes of the input it took.
        consumed: usize,
    },
}

/// A frame that cannot be read. The connection is to be closed with the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// What is wrong.
    pub fault: Fault,
    /// The channel of the frame.
    pub channel: u16,
    /// How many bytes the frame took, where the next one can be found: the answer to the close may still be read.
    /// `None`: whatever follows cannot be understood any more.
    pub consumed: Option<usize>,
}

/// Reads frames up to a size.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    frame_bytes_max: u32,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { frame_bytes_max: FRAME_BYTES_MIN }
    }
}

impl Decoder {
    /// Sets the limit that was agreed; one below [`FRAME_BYTES_MIN`] cannot be.
    pub fn set_frame_max(&mut self, frame_bytes_max: u32) {
        self.frame_bytes_max = frame_bytes_max.max(FRAME_BYTES_MIN);
    }

    /// Reads the head of `input`. Allocates nothing.
    ///
    /// A payload may be as large as the whole frame was agreed to be: RabbitMQ allows for clients that forget the
    /// octets around it.
    ///
    /// # Errors
    /// The head is no frame, or none that is known.
    pub fn decode<'a>(&self, input: &'a [u8]) -> Result<Decoded<'a>, Broken> {
        let Some((head, rest)) = input.split_first_chunk::<HEAD_BYTES>() else {
            return Ok(Decoded::Incomplete { needed: HEAD_BYTES });
        };
        let [kind, c0, c1, length @ ..] = *head;
        let channel = u16::from_be_bytes([c0, c1]);
        let payload_bytes = u32::from_be_bytes(length);
        let broken = |fault, consumed| Broken { fault, channel, consumed };
        if payload_bytes > self.frame_bytes_max {
            let frame_bytes_max = self.frame_bytes_max;
            let reason = Reason::FrameTooLarge { kind, payload_bytes, frame_bytes_max };
            return Err(broken(Fault::of_frame(reason), None));
        }
        let length = payload_bytes as usize;
        let consumed = HEAD_BYTES + length + 1;
        let (Some(payload), Some(marker)) = (rest.get(..length), rest.get(length)) else {
            return Ok(Decoded::Incomplete { needed: consumed });
        };
        if *marker != END {
            let reason = Reason::FrameEnd { kind, payload_bytes, marker: *marker };
            return Err(broken(Fault::of_frame(reason), None));
        }
        match decode_payload(kind, channel, payload, payload_bytes) {
            Ok(payload) => Ok(Decoded::Complete { frame: Frame { channel, payload }, consumed }),
            Err(fault) => Err(broken(fault, Some(consumed))),
        }
    }
}

fn decode_payload(kind: u8, channel: u16, payload: &[u8], payload_bytes: u32) -> Result<Payload<'_>, Fault> {
    let unknown = Fault::of_frame(Reason::UnknownFrame { kind, payload_bytes });
    match kind {
        METHOD => {
            let (head, arguments) = payload.split_first_chunk().ok_or(unknown)?;
            let [c0, c1, m0, m1] = *head;
            let id = MethodId { class: u16::from_be_bytes([c0, c1]), method: u16::from_be_bytes([m0, m1]) };
            Method::decode(id, arguments).map(Payload::Method)
        }
        HEADER => ContentHeader::read(payload).map(Payload::Header).ok_or(unknown),
        BODY => Ok(Payload::Body(payload)),
        HEARTBEAT if !payload.is_empty() => Err(unknown),
        HEARTBEAT if channel != 0 => Err(Fault::of_frame(Reason::HeartbeatOnChannel)),
        HEARTBEAT => Ok(Payload::Heartbeat),
        _ => Err(unknown),
    }
}
