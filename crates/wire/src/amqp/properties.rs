//! The header of a content, and the fourteen properties of a message.

use super::fault::{Fault, Reason};
use super::octets::{Argument, Reader, Writer};
use super::table::Table;
use super::text::ShortBytes;

/// The class of all contents.
pub const CLASS_ID: u16 = 60;

/// What comes between a method with content and its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentHeader<'a> {
    /// The class it says it belongs to; [`CLASS_ID`] in all that is right.
    pub class_id: u16,
    /// Zero in all that is right.
    pub weight: u16,
    /// The size of the body, in all its frames.
    pub body_bytes: u64,
    /// The properties as they came, to be kept and sent on unchanged. [`Properties::parse`] reads them.
    pub properties: &'a [u8],
}

/// Set where another word of flags follows. No property has its flag there, so that it cannot be.
const CONTINUED: u16 = 1;

macro_rules! properties {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $bit:literal),* $(,)?) => {
        /// What a message says of itself. None is asked for.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Properties<'a> {
            $($(#[$doc])* pub $name: Option<$type>,)*
        }

        impl<'a> Properties<'a> {
            fn read(octets: &'a [u8]) -> Result<Self, Reason> {
                let mut reader = Reader::new(octets);
                let flags = u16::read(&mut reader)?;
                if flags & CONTINUED != 0 {
                    return Err(Reason::Properties);
                }
                let properties = Self {
                    $($name: if flags & (1 << $bit) == 0 { None } else { Some(Argument::read(&mut reader)?) },)*
                };
                if reader.is_done() { Ok(properties) } else { Err(Reason::Properties) }
            }

            /// Writes the properties as they stand in a content header.
            pub fn encode(&self, out: &mut Vec<u8>) {
                let mut writer = Writer::new(out);
                let flags: u16 = 0 $(| u16::from(self.$name.is_some()) << $bit)*;
                flags.write(&mut writer);
                $(if let Some(value) = &self.$name {
                    value.write(&mut writer);
                })*
            }
        }
    };
}

// Each with the place of its flag, counted from the lowest. They follow each other in this order.
properties! {
    /// As in MIME.
    content_type: ShortBytes<'a> = 15,
    /// As in MIME.
    content_encoding: ShortBytes<'a> = 14,
    /// What the application adds, and what headers exchanges go by.
    headers: Table<'a> = 13,
    /// 2: survives a restart in a durable queue.
    delivery_mode: u8 = 12,
    /// 0 to 9, or to what the queue allows.
    priority: u8 = 11,
    /// Which request it answers.
    correlation_id: ShortBytes<'a> = 10,
    /// The queue for the answer.
    reply_to: ShortBytes<'a> = 9,
    /// Its time to live: milliseconds, as text.
    expiration: ShortBytes<'a> = 8,
    /// The application's name for it.
    message_id: ShortBytes<'a> = 7,
    /// In seconds since 1970.
    timestamp: u64 = 6,
    /// The application's kind of message.
    r#type: ShortBytes<'a> = 5,
    /// Who published it; the server checks.
    user_id: ShortBytes<'a> = 4,
    /// Which application published it.
    app_id: ShortBytes<'a> = 3,
    /// Deprecated, and still passed on.
    cluster_id: ShortBytes<'a> = 2,
}

impl<'a> Properties<'a> {
    /// Reads properties as they came in a [`ContentHeader`] or were kept.
    ///
    /// # Errors
    /// [`Reason::Properties`], or a reason about the table of headers.
    pub fn parse(octets: &'a [u8]) -> Result<Self, Fault> {
        Self::read(octets).map_err(|reason| {
            Fault::of_frame(if reason == Reason::Arguments { Reason::Properties } else { reason })
        })
    }
}

impl<'a> ContentHeader<'a> {
    /// `None` where the frame's payload is too short for one.
    pub(super) fn read(payload: &'a [u8]) -> Option<Self> {
        let (class_id, rest) = payload.split_first_chunk()?;
        let (weight, rest) = rest.split_first_chunk()?;
        let (body_bytes, properties) = rest.split_first_chunk()?;
        Some(Self {
            class_id: u16::from_be_bytes(*class_id),
            weight: u16::from_be_bytes(*weight),
            body_bytes: u64::from_be_bytes(*body_bytes),
            properties,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.class_id.to_be_bytes());
        out.extend_from_slice(&self.weight.to_be_bytes());
        out.extend_from_slice(&self.body_bytes.to_be_bytes());
        out.extend_from_slice(self.properties);
    }
}
