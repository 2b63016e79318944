//! How a program's values become bytes and back.

use forebay_core::error::{Error, Kind, Result};
use forebay_core::payload::Payload;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

/// Turns values of one type into bytes and back: what one `encode` made, every later `decode` must read, also after an
/// update of the program, because messages outlive it.
///
/// [`Json`], [`Postcard`] and [`Raw`] are at hand; any other is an `impl` away:
///
/// ```
/// use forebay::{Codec, Error, Kind, Payload, Result};
///
/// /// Numbers as eight bytes.
/// struct BigEndian;
///
/// impl Codec<u64> for BigEndian {
///     fn encode(&self, value: &u64) -> Result<Payload> {
///         Ok(value.to_be_bytes().to_vec().into())
///     }
///
///     fn decode(&self, bytes: &Payload) -> Result<u64> {
///         let bytes = (&**bytes).try_into().map_err(|_| Error::new(Kind::Invalid, "decode number", "not 8 bytes"))?;
///         Ok(u64::from_be_bytes(bytes))
///     }
/// }
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
/// let numbers = forebay.queue("numbers").await?.coded(BigEndian);
/// numbers.publish(7).await?;
/// assert_eq!(*numbers.receive().await?.expect("a number").value(), 7);
/// # forebay.close().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub trait Codec<T>: Send + Sync {
    /// The value's bytes. `Err`: it cannot be written down this way.
    fn encode(&self, value: &T) -> Result<Payload>;

    /// The value. `Err`: these bytes are not one; the text says why without repeating what is in them, because it is
    /// kept with the dead letter and shown to operators.
    fn decode(&self, bytes: &Payload) -> Result<T>;

    /// What the bytes are, for messages that do not say it themselves.
    fn content_type(&self) -> Option<&'static str> {
        None
    }
}

/// JSON through serde: readable everywhere, and forgiving when fields are added.
///
/// ```
/// use forebay::{Codec, Json};
///
/// let bytes = Json.encode(&vec![3, 4])?;
/// assert_eq!(&*bytes, b"[3,4]");
/// let back: Vec<u32> = Json.decode(&bytes)?;
/// assert_eq!(back, vec![3, 4]);
/// # Ok::<(), forebay::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

/// The postcard format through serde: small and fast. It does not describe itself: both sides need the same type, so a
/// field can be neither added nor moved while old messages wait.
///
/// ```
/// use forebay::{Codec, Postcard};
///
/// let bytes = Postcard.encode(&(3u8, 4u8))?;
/// assert_eq!(&*bytes, &[3, 4]);
/// let back: (u8, u8) = Postcard.decode(&bytes)?;
/// assert_eq!(back, (3u8, 4u8));
/// # Ok::<(), forebay::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Postcard;

/// Bytes as they are.
///
/// ```
/// use forebay::{Codec, Payload, Raw};
///
/// let bytes = Payload::from("teapot");
/// assert_eq!(Raw.encode(&bytes)?, bytes);
/// # Ok::<(), forebay::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw;

impl<T: Serialize + DeserializeOwned> Codec<T> for Json {
    fn encode(&self, value: &T) -> Result<Payload> {
        let bytes = serde_json::to_vec(value);
        Ok(bytes.map_err(|error| Error::new(Kind::Invalid, "encode", "JSON").because(error))?.into())
    }

    fn decode(&self, bytes: &Payload) -> Result<T> {
        serde_json::from_slice(bytes).map_err(|error| {
            // The error's own text repeats the value that it did not expect.
            let what = match error.classify() {
                Category::Syntax => "not JSON",
                Category::Eof => "JSON that breaks off",
                Category::Data | Category::Io => "JSON of another shape",
            };
            let context = format!("{what} at line {} column {}", error.line(), error.column());
            Error::new(Kind::Invalid, "decode", context)
        })
    }

    fn content_type(&self) -> Option<&'static str> {
        Some("application/json")
    }
}

impl<T: Serialize + DeserializeOwned> Codec<T> for Postcard {
    fn encode(&self, value: &T) -> Result<Payload> {
        let bytes = postcard::to_allocvec(value);
        Ok(bytes.map_err(|error| Error::new(Kind::Invalid, "encode", "postcard").because(error))?.into())
    }

    fn decode(&self, bytes: &Payload) -> Result<T> {
        let (value, rest) = postcard::take_from_bytes(bytes)
            .map_err(|error| Error::new(Kind::Invalid, "decode", "postcard").because(error))?;
        // Bytes that nothing has read mean that another type was written.
        if !rest.is_empty() {
            return Err(Error::new(Kind::Invalid, "decode", "postcard with bytes left over"));
        }
        Ok(value)
    }

    fn content_type(&self) -> Option<&'static str> {
        Some("application/octet-stream")
    }
}

impl Codec<Payload> for Raw {
    fn encode(&self, value: &Payload) -> Result<Payload> {
        Ok(value.clone())
    }

    fn decode(&self, bytes: &Payload) -> Result<Payload> {
        Ok(bytes.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    type Order = BTreeMap<String, u32>;

    fn order() -> Order {
        [("teapot".to_owned(), 7)].into()
    }

    #[test]
    fn every_codec_reads_back_what_it_wrote() {
        let codecs: [&dyn Codec<Order>; 2] = [&Json, &Postcard];
        for codec in codecs {
            assert_eq!(codec.decode(&codec.encode(&order()).unwrap()).unwrap(), order());
        }
        let bytes = Payload::from(&[0, 255][..]);
        assert_eq!(Raw.decode(&Raw.encode(&bytes).unwrap()).unwrap(), bytes);
    }

    #[test]
    fn what_is_something_else_is_refused_without_repeating_it() {
        let refusal =
            |codec: &dyn Codec<Order>, bytes: &[u8]| codec.decode(&bytes.into()).unwrap_err().to_string();
        let other = refusal(&Json, b"\"secret\"");
        assert!(other.contains("another shape at line 1") && !other.contains("secret"), "{other}");
        assert!(refusal(&Json, b"{").contains("breaks off"));
        assert!(refusal(&Json, b"}").contains("not JSON"));
        assert!(refusal(&Postcard, b"\x00\x00").contains("left over"));
        assert!(refusal(&Postcard, b"\x05").contains("postcard"));
    }

    #[test]
    fn what_cannot_be_written_down_is_refused() {
        let odd: BTreeMap<(u8, u8), u8> = [((1, 2), 3)].into();
        assert_eq!(Json.encode(&odd).unwrap_err().kind(), Kind::Invalid);
    }
}
