//! Frames into bytes.
//!
//! A method or a content header is written whole: it cannot be split, so that one that is larger than the agreed
//! frame goes out as it is, as it does from RabbitMQ.

use super::frame::{BODY, END, FRAME_BYTES_MIN, Frame, HEADER, HEARTBEAT, METHOD, OVERHEAD_BYTES, Payload};
use super::methods::{Arguments, MethodId};
use super::properties::{CLASS_ID, ContentHeader};

/// What stands between two pieces of a body: the end of a frame and the head of the next.
const SEAM_BYTES: usize = OVERHEAD_BYTES as usize;

/// Writes a method's frame.
pub fn method<'a>(out: &mut Vec<u8>, channel: u16, method: &impl Arguments<'a>) {
    framed(out, METHOD, channel, |out| arguments(out, method));
}

/// Writes a heartbeat's frame.
pub fn heartbeat(out: &mut Vec<u8>) {
    framed(out, HEARTBEAT, 0, |_| {});
}

/// Writes any frame as it was read.
pub fn frame(out: &mut Vec<u8>, frame: &Frame<'_>) {
    match &frame.payload {
        Payload::Method(method) => framed(out, METHOD, frame.channel, |out| {
            put_id(out, method.id());
            method.encode(out);
        }),
        Payload::Header(header) => framed(out, HEADER, frame.channel, |out| header.encode(out)),
        Payload::Body(body) => framed(out, BODY, frame.channel, |out| out.extend_from_slice(body)),
        Payload::Heartbeat => framed(out, HEARTBEAT, frame.channel, |_| {}),
    }
}

/// Writes a method with its content, the body copied: best for small ones.
pub fn content<'a>(
    out: &mut Vec<u8>,
    channel: u16,
    method: &impl Arguments<'a>,
    properties: &[u8],
    body: &[u8],
    frame_bytes_max: u32,
) {
    lead(out, channel, method, properties, body.len());
    for piece in body.chunks(piece_bytes(frame_bytes_max)) {
        framed(out, BODY, channel, |out| out.extend_from_slice(piece));
    }
}

/// Writes all of a method with its content but the body itself, and says where that belongs: best for large ones,
/// which then go from where they lie to the socket. `properties` are as in [`ContentHeader::properties`].
pub fn around_body<'a>(
    out: &mut Vec<u8>,
    channel: u16,
    method: &impl Arguments<'a>,
    properties: &[u8],
    body_bytes: usize,
    frame_bytes_max: u32,
) -> Around {
    let start = out.len();
    lead(out, channel, method, properties, body_bytes);
    let piece_bytes = piece_bytes(frame_bytes_max);
    let mut left = body_bytes;
    let mut lead_end = out.len();
    while left > 0 {
        let piece = left.min(piece_bytes);
        put_head(out, BODY, channel, piece);
        if left == body_bytes {
            lead_end = out.len();
        }
        out.push(END);
        left -= piece;
    }
    Around { start, lead_end, end: out.len(), piece_bytes }
}

/// Where in the output a content without its body lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Around {
    start: usize,
    lead_end: usize,
    end: usize,
    piece_bytes: usize,
}

impl Around {
    /// All of the content in the order it is to be sent: pieces of `out`, into which it was written, and of `body` in
    /// turn. `body` is as long as was said.
    pub fn pieces<'o>(self, out: &'o [u8], body: &'o [u8]) -> impl Iterator<Item = &'o [u8]> {
        let lead = out.get(self.start..self.lead_end).unwrap_or_default();
        let seams = out.get(self.lead_end..self.end).unwrap_or_default().chunks(SEAM_BYTES);
        let turns = body.chunks(self.piece_bytes).zip(seams);
        std::iter::once(lead).chain(turns.flat_map(|(piece, seam)| [piece, seam]))
    }
}

/// How much of a body one frame takes.
fn piece_bytes(frame_bytes_max: u32) -> usize {
    (frame_bytes_max.max(FRAME_BYTES_MIN) - OVERHEAD_BYTES) as usize
}

/// The method and the header of a content.
fn lead<'a>(
    out: &mut Vec<u8>,
    channel: u16,
    method: &impl Arguments<'a>,
    properties: &[u8],
    body_bytes: usize,
) {
    framed(out, METHOD, channel, |out| arguments(out, method));
    let header = ContentHeader { class_id: CLASS_ID, weight: 0, body_bytes: body_bytes as u64, properties };
    framed(out, HEADER, channel, |out| header.encode(out));
}

fn arguments<'a, M: Arguments<'a>>(out: &mut Vec<u8>, method: &M) {
    put_id(out, M::ID);
    method.encode(out);
}

fn put_id(out: &mut Vec<u8>, id: MethodId) {
    out.extend_from_slice(&id.class.to_be_bytes());
    out.extend_from_slice(&id.method.to_be_bytes());
}

/// Writes the head, the payload, and then the length that it turned out to have into the head.
fn framed(out: &mut Vec<u8>, kind: u8, channel: u16, payload: impl FnOnce(&mut Vec<u8>)) {
    put_head(out, kind, channel, 0);
    let start = out.len();
    payload(out);
    let length = (out.len() - start) as u32;
    if let Some(place) = out.get_mut(start - size_of::<u32>()..start) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    out.push(END);
}

fn put_head(out: &mut Vec<u8>, kind: u8, channel: u16, payload_bytes: usize) {
    out.push(kind);
    out.extend_from_slice(&channel.to_be_bytes());
    out.extend_from_slice(&(payload_bytes as u32).to_be_bytes());
}
