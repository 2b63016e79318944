//! Values as bytes behind the version of their form.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Room for most values from the beginning.
const BYTES_USUAL: usize = 96;

/// The version, then the value.
pub(crate) fn encode<T: Serialize>(version: u8, value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BYTES_USUAL);
    bytes.push(version);
    // All that is written here can be written: texts, numbers, lists of them.
    postcard::to_extend(value, bytes).unwrap_or_default()
}

/// The value; `None` if these are not all the bytes of one in this version.
pub(crate) fn decode<T: DeserializeOwned>(version: u8, bytes: &[u8]) -> Option<T> {
    let (first, rest) = bytes.split_first()?;
    if *first != version {
        return None;
    }
    let (value, left) = postcard::take_from_bytes(rest).ok()?;
    left.is_empty().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_from_exactly_its_bytes() {
        let bytes = encode(3, &("text", 300_u64));
        assert_eq!(decode(3, &bytes), Some(("text".to_owned(), 300_u64)));
        assert_eq!(decode::<(String, u64)>(4, &bytes), None);
        assert_eq!(decode::<(String, u64)>(3, &[&bytes[..], &[0]].concat()), None);
        for end in 0..bytes.len() {
            assert_eq!(decode::<(String, u64)>(3, &bytes[..end]), None);
        }
    }
}
