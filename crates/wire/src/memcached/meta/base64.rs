//! Binary keys as meta commands carry them. Decoding is as lenient as memcached's: bytes outside the alphabet are
//! passed over, but what remains must be whole groups of four.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const PADDING: u8 = b'=';

/// The most bytes a key of 250 characters decodes to.
const DECODED_BYTES_MAX: usize = 186;

/// A key decoded from base64.
#[derive(Clone, Copy)]
pub struct Decoded {
    bytes: [u8; DECODED_BYTES_MAX],
    length: u8,
}

impl Decoded {
    /// The bytes of the key.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    fn push(&mut self, byte: u8) -> Option<()> {
        *self.bytes.get_mut(usize::from(self.length))? = byte;
        self.length += 1;
        Some(())
    }
}

impl std::fmt::Debug for Decoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Decoded").field(&self.as_slice()).finish()
    }
}

/// The bytes that `text` stands for, or `None` where it is not base64 or too long.
pub(super) fn decode(text: &[u8]) -> Option<Decoded> {
    let meaningful = || text.iter().copied().filter(|byte| *byte == PADDING || value(*byte).is_some());
    let count = meaningful().count();
    if count == 0 || !count.is_multiple_of(4) {
        return None;
    }
    let mut decoded = Decoded { bytes: [0; DECODED_BYTES_MAX], length: 0 };
    let mut characters = meaningful();
    while let Some(first) = characters.next() {
        let group = [first, characters.next()?, characters.next()?, characters.next()?];
        let padding = group.iter().filter(|byte| **byte == PADDING).count();
        let bits = group.iter().fold(0u32, |bits, byte| bits << 6 | u32::from(value(*byte).unwrap_or(0)));
        let [_, bytes @ ..] = bits.to_be_bytes();
        let kept = match padding {
            0..=2 => bytes.get(..3 - padding)?,
            _ => return None,
        };
        for byte in kept {
            decoded.push(*byte)?;
        }
        if padding > 0 {
            break;
        }
    }
    Some(decoded)
}

fn value(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

/// Writes the text form of `bytes` with padding.
pub(super) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    for group in bytes.chunks(3) {
        let at = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let index = (bits >> (18 - 6 * place)) as usize & 63;
            out.push(if place > group.len() {
                PADDING
            } else {
                ALPHABET.get(index).copied().unwrap_or(PADDING)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &str) -> Option<Vec<u8>> {
        decode(text.as_bytes()).map(|decoded| decoded.as_slice().to_vec())
    }

    #[test]
    fn keys_are_decoded_as_memcached_does() {
        assert_eq!(decoded("Zm9v").as_deref(), Some(&b"foo"[..]));
        assert_eq!(decoded("Zg==").as_deref(), Some(&b"f"[..]));
        assert_eq!(decoded("Zm8=").as_deref(), Some(&b"fo"[..]));
        assert_eq!(decoded("Z*g-==").as_deref(), Some(&b"f"[..]));
        assert_eq!(decoded("Zg==Zm9v").as_deref(), Some(&b"f"[..]));
        for broken in ["", "Zm9", "Zm9v=", "A===", "====", "****"] {
            assert_eq!(decoded(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn the_longest_key_still_decodes() {
        assert_eq!(decoded(&"A".repeat(248)).map(|key| key.len()), Some(DECODED_BYTES_MAX));
        assert_eq!(decoded(&"A".repeat(252)), None);
    }

    #[test]
    fn what_is_encoded_decodes_to_itself() {
        for length in 1..DECODED_BYTES_MAX {
            let bytes: Vec<u8> = (0..length).map(|index| (index * 37) as u8).collect();
            let mut text = Vec::new();
            encode(&bytes, &mut text);
            assert_eq!(decode(&text).map(|decoded| decoded.as_slice().to_vec()), Some(bytes));
        }
    }
}
