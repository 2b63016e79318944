//! A codec around another that makes large values smaller.

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::VALUE_BYTES_MAX_CEILING;
use forebay_core::payload::Payload;

use crate::codec::Codec;

/// What another codec writes, compressed (LZ4) where it is longer than a number of bytes and becomes shorter by it. One byte
/// before tells which.
///
/// ```
/// use forebay::{Compressed, Json};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
/// let pages = forebay.cache().coded::<String>(Compressed::above(1024, Json));
/// pages.set("home", &"tea ".repeat(10_000), None)?;
/// assert_eq!(pages.get("home"), Some("tea ".repeat(10_000)));
/// assert!(forebay.cache().read("home", <[u8]>::len) < Some(1_000));
/// # forebay.close().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Compressed<C> {
    inner: C,
    above: usize,
}

const PLAIN: u8 = 0;
const LZ4: u8 = 1;
/// The mark, and for what is compressed the length that it had.
const HEAD_BYTES: usize = 5;
/// LZ4 cannot make anything smaller than by this factor: more is not a length but damage.
const FACTOR_MAX: usize = 256;

impl<C> Compressed<C> {
    /// Compresses what `inner` writes where it is longer than so many bytes.
    ///
    /// ```
    /// use forebay::{Compressed, Json};
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let pages = forebay.cache().coded::<String>(Compressed::above(1024, Json));
    /// pages.set("home", &"short".to_owned(), None)?; // as it is
    /// # assert!(pages.get("home").is_some());
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn above(bytes: usize, inner: C) -> Self {
        Self { inner, above: bytes }
    }
}

impl<T, C: Codec<T>> Codec<T> for Compressed<C> {
    fn encode(&self, value: &T) -> Result<Payload> {
        let plain = self.inner.encode(value)?;
        if plain.len() > self.above
            && let Ok(length) = u32::try_from(plain.len())
        {
            let compressed = lz4_flex::block::compress(&plain);
            if compressed.len() + HEAD_BYTES <= plain.len() {
                return Ok([&[LZ4][..], &length.to_le_bytes(), &compressed].concat().into());
            }
        }
        Ok([&[PLAIN], &*plain].concat().into())
    }

    fn decode(&self, bytes: &Payload) -> Result<T> {
        let refuse = |what: &str| Error::new(Kind::Invalid, "decompress", what);
        match bytes.split_first() {
            Some((&PLAIN, _)) => self.inner.decode(&bytes.slice(1, bytes.len()).unwrap_or_default()),
            Some((&LZ4, rest)) => {
                let (length, compressed) =
                    rest.split_first_chunk().ok_or_else(|| refuse("bytes that break off"))?;
                let length = u32::from_le_bytes(*length) as usize;
                // Before anything is allocated for it.
                if length > VALUE_BYTES_MAX_CEILING || length / FACTOR_MAX > compressed.len() {
                    return Err(refuse("a length that cannot be"));
                }
                let plain = lz4_flex::block::decompress(compressed, length)
                    .map_err(|error| refuse("LZ4").because(error))?;
                if plain.len() != length {
                    return Err(refuse("another length than was said"));
                }
                self.inner.decode(&plain.into())
            }
            _ => Err(refuse("no mark that is known")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Raw;

    fn through(bytes: &[u8]) -> (u8, usize) {
        let codec = Compressed::above(100, Raw);
        let encoded = codec.encode(&bytes.into()).unwrap();
        assert_eq!(&*codec.decode(&encoded).unwrap(), bytes);
        (encoded[0], encoded.len())
    }

    #[test]
    fn what_is_long_and_becomes_shorter_is_compressed_and_nothing_else() {
        assert_eq!(through(b""), (PLAIN, 1));
        assert_eq!(through(&[7; 100]), (PLAIN, 101));
        let (mark, length) = through(&[7; 101]);
        assert!(mark == LZ4 && length < 30, "{length}");
        // Bytes without a pattern: a simple generator's.
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let noise: Vec<u8> = (0..1_000).map(|_| next()).collect();
        assert_eq!(through(&noise), (PLAIN, 1_001));
    }

    #[test]
    fn bytes_of_something_else_are_refused_and_no_length_is_believed() {
        let codec = Compressed::above(100, Raw);
        let huge = [&[LZ4][..], &u32::MAX.to_le_bytes(), &[0; 9]].concat();
        let much = [&[LZ4][..], &100_000_u32.to_le_bytes(), &[0; 9]].concat();
        for bad in [&b""[..], &[9, 1, 2], &[LZ4], &[LZ4, 1, 0, 0], &[LZ4, 9, 0, 0, 0, 0xff], &huge, &much] {
            assert_eq!(codec.decode(&bad.into()).unwrap_err().kind(), Kind::Invalid, "{bad:?}");
        }
        let good = codec.encode(&vec![7; 1_000].into()).unwrap();
        for cut in 0..good.len() {
            assert!(codec.decode(&good[..cut].into()).is_err(), "{cut}");
        }
    }
}
