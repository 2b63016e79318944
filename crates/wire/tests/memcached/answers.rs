//! A connection to a memcached without a socket: bytes come in pieces, replies come out.

use forebay_wire::memcached::reply::{Answer, ReplyLimits, read};

const LIMITS: ReplyLimits = ReplyLimits { line_bytes_max: 256, value_bytes_max: 4096 };

/// The first byte says how long the pieces are, the rest is a stream: it means the same in pieces and as a whole.
pub(crate) fn assert_same_in_pieces(input: &[u8]) {
    let Some((length, stream)) = input.split_first() else { return };
    let pieces: Vec<&[u8]> = stream.chunks(usize::from(*length) + 1).collect();
    assert_eq!(replies(&[stream]), replies(&pieces));
}

/// Every reply of the stream as text, as it arrives in these pieces, until one is broken.
pub(crate) fn replies(pieces: &[&[u8]]) -> Vec<String> {
    let (mut input, mut all, mut needed) = (Vec::new(), Vec::new(), 0);
    for piece in pieces {
        input.extend_from_slice(piece);
        while input.len() >= needed {
            match read(&input, &LIMITS) {
                Answer::Complete { reply, consumed } => {
                    assert!(consumed > 0 && consumed <= input.len(), "it takes what there is");
                    all.push(format!("{reply:?}"));
                    input.drain(..consumed);
                    needed = 1;
                }
                Answer::Incomplete { needed: more } => {
                    assert!(more > input.len(), "it asks for something");
                    assert!(
                        more <= LIMITS.line_bytes_max + LIMITS.value_bytes_max + 2,
                        "it asks for too much"
                    );
                    needed = more;
                }
                Answer::Broken => {
                    all.push("broken".to_owned());
                    return all;
                }
            }
        }
    }
    all
}
