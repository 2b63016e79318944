//! A connection without a socket: bytes go in as they come, what they mean comes out.

use forebay_wire::amqp::frame::{Broken, Decoded, Decoder, FRAME_BYTES_MIN, Frame, OVERHEAD_BYTES};

/// A decoder to which `frame_max` was agreed.
pub(crate) fn agreed(frame_max: u32) -> Decoder {
    let mut decoder = Decoder::default();
    decoder.set_frame_max(frame_max);
    decoder
}

/// The first byte says how long the pieces are, the rest is a stream: it means the same in pieces and as a whole.
pub(crate) fn assert_same_in_pieces(input: &[u8]) {
    let Some((length, stream)) = input.split_first() else { return };
    let pieces: Vec<&[u8]> = stream.chunks(usize::from(*length) + 1).collect();
    assert_eq!(read(&[stream]), read(&pieces));
}

/// Reads `pieces` one after another as a connection would and returns what they meant, and what was left over.
pub(crate) fn read(pieces: &[&[u8]]) -> (Vec<String>, Vec<u8>) {
    let decoder = Decoder::default();
    let (mut meant, mut buffer) = (Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while !buffer.is_empty() {
            let consumed = match decoder.decode(&buffer) {
                Ok(Decoded::Incomplete { needed }) => {
                    let most = (FRAME_BYTES_MIN + OVERHEAD_BYTES) as usize;
                    assert!(needed > buffer.len() && needed <= most, "{needed} of {}", buffer.len());
                    break;
                }
                Ok(Decoded::Complete { frame, consumed }) => {
                    meant.push(format!("{frame:?}"));
                    consumed
                }
                Err(Broken { fault, channel, consumed }) => {
                    meant.push(format!("{channel}: {fault}"));
                    match consumed {
                        Some(consumed) => consumed,
                        None => return (meant, Vec::new()),
                    }
                }
            };
            assert!(
                (OVERHEAD_BYTES as usize..=buffer.len()).contains(&consumed),
                "{consumed} of {}",
                buffer.len()
            );
            buffer.drain(..consumed);
        }
    }
    (meant, buffer)
}

/// The only frame in `input`, which is no more than that.
pub(crate) fn only(input: &[u8]) -> Frame<'_> {
    match agreed(131_072).decode(input) {
        Ok(Decoded::Complete { frame, consumed }) if consumed == input.len() => frame,
        other => panic!("{other:?}"),
    }
}

/// Why the frame in `input` cannot be read.
pub(crate) fn broken(input: &[u8]) -> Broken {
    Decoder::default().decode(input).expect_err("it cannot be read")
}

/// A frame around a payload.
pub(crate) fn framed(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend_from_slice(&channel.to_be_bytes());
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    out.extend_from_slice(payload);
    out.push(0xce);
    out
}
