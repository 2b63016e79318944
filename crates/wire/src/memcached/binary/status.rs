//! How a request ended, and memcached's own words for it.

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Well.
    Success,
    /// There is no such key.
    NotFound,
    /// The key is there, or with another version.
    Exists,
    /// Key and value together are over the limit.
    TooLarge,
    /// What came with the request does not fit it. The connection ends.
    Invalid,
    /// The mode did not fit what is there.
    NotStored,
    /// The stored value is not a number.
    NotNumber,
    /// Who asks is not known, or its password is wrong.
    Unauthenticated,
    /// No such opcode.
    Unknown,
    /// There is no memory to take the value in.
    OutOfMemory,
    /// It cannot be done here.
    Unsupported,
    /// It failed.
    Failed,
    /// It cannot be done now.
    Unavailable,
}

impl Status {
    /// The number in a response.
    pub const fn code(self) -> u16 {
        match self {
            Self::Success => 0x00,
            Self::NotFound => 0x01,
            Self::Exists => 0x02,
            Self::TooLarge => 0x03,
            Self::Invalid => 0x04,
            Self::NotStored => 0x05,
            Self::NotNumber => 0x06,
            Self::Unauthenticated => 0x20,
            Self::Unknown => 0x81,
            Self::OutOfMemory => 0x82,
            Self::Unsupported => 0x83,
            Self::Failed => 0x84,
            Self::Unavailable => 0x86,
        }
    }

    /// The words that go with it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Success => "",
            Self::NotFound => "Not found",
            Self::Exists => "Data exists for key.",
            Self::TooLarge => "Too large.",
            Self::Invalid => "Invalid arguments",
            Self::NotStored => "Not stored.",
            Self::NotNumber => "Non-numeric server-side value for incr or decr",
            Self::Unauthenticated => "Auth failure.",
            Self::Unknown => "Unknown command",
            Self::OutOfMemory => "Out of memory",
            Self::Unsupported => "Not supported",
            Self::Failed => "Internal error",
            Self::Unavailable => "Temporary failure",
        }
    }
}
