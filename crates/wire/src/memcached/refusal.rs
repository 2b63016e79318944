//! Why a command is not carried out, and memcached's own words for it.

/// Why a command is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No such command, or not with so many words.
    Unknown,
    /// A key that is too long, a number that is none, a length below zero.
    BadLine,
    /// `delete` with words it does not know.
    DeleteUsage,
    /// The value does not end where its length says.
    BadDataChunk,
    /// Key and value together are over the limit.
    TooLarge,
    /// There is no memory to take the value in.
    OutOfMemory,
    /// `touch`, `gat` or `flush_all` without a number where the time belongs.
    BadExptime,
    /// `incr` or `decr` without a number where the step belongs.
    BadDelta,
    /// The stored value is not a number.
    NotNumber,
    /// `cache_memlimit` below what can work.
    LimitTooSmall,
    /// `cache_memlimit` that can only be meant in bytes.
    LimitInBytes,
    /// `cache_memlimit` that the store cannot follow.
    LimitFailed,
    /// `shutdown` is not a client's to say.
    ShutdownDisabled,
    /// `stats detail` without what to do.
    DetailUsage,
    /// `stats cachedump` is not offered.
    DumpDisabled,
    /// No such class of items.
    BadClass,
    /// Dumps were turned off.
    CrawlerDisabled,
    /// They are on already.
    CrawlerRuns,
    /// `lru_crawler sleep` for too long.
    SleepTooLong,
    /// As many watch already as may.
    TooManyWatchers,
    /// More flags than a meta get can have.
    FlagsTooManyForGet,
    /// More flags than another meta command can have.
    FlagsTooMany,
    /// The same flag twice.
    DuplicateFlag,
    /// No such flag.
    InvalidFlag,
    /// Meta delete and arithmetic do not tell the two apart, nor any other fault of a flag.
    InvalidOrDuplicateFlag,
    /// A flag that needs a number has none.
    BadToken,
    /// The key is not base64.
    KeyNotDecoded,
    /// The mode is not one letter.
    ModeLength,
    /// No such mode of meta set.
    SetMode,
    /// No such mode of meta arithmetic.
    CountMode,
    /// The first number of a counter is none.
    BadInitial,
    /// The step of a counter is no number.
    BadMetaDelta,
    /// The opaque is too long to be given back.
    OpaqueTooLong,
    /// Who asks has not said who it is.
    Unauthenticated,
    /// What should be a name and a password is not.
    BadCredentials,
    /// A name and a password do not end where their length says.
    BadTermination,
    /// No such name, or not with this password.
    WrongCredentials,
}

impl Refusal {
    /// The answer without its line end.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Unknown => "ERROR",
            Self::BadLine => "CLIENT_ERROR bad command line format",
            Self::DeleteUsage => "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]",
            Self::BadDataChunk => "CLIENT_ERROR bad data chunk",
            Self::TooLarge => "SERVER_ERROR object too large for cache",
            Self::OutOfMemory => "SERVER_ERROR out of memory storing object",
            Self::BadExptime => "CLIENT_ERROR invalid exptime argument",
            Self::BadDelta => "CLIENT_ERROR invalid numeric delta argument",
            Self::NotNumber => "CLIENT_ERROR cannot increment or decrement non-numeric value",
            Self::LimitTooSmall => "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m",
            Self::LimitInBytes => "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes",
            Self::LimitFailed => "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust",
            Self::ShutdownDisabled => "ERROR: shutdown not enabled",
            Self::DetailUsage => "CLIENT_ERROR usage: stats detail on|off|dump",
            Self::DumpDisabled => "CLIENT_ERROR stats cachedump not allowed",
            Self::BadClass => "BADCLASS invalid class id",
            Self::CrawlerDisabled => "CLIENT_ERROR lru crawler disabled",
            Self::CrawlerRuns => "ERROR failed to start lru crawler thread",
            Self::SleepTooLong => "CLIENT_ERROR sleep must be one second or less",
            Self::TooManyWatchers => "WATCHER_TOO_MANY log watcher limit reached",
            Self::FlagsTooManyForGet => "CLIENT_ERROR options flags are too long",
            Self::FlagsTooMany => "CLIENT_ERROR options flags too long",
            Self::DuplicateFlag => "CLIENT_ERROR duplicate flag",
            Self::InvalidFlag => "CLIENT_ERROR invalid flag",
            Self::InvalidOrDuplicateFlag => "CLIENT_ERROR invalid or duplicate flag",
            Self::BadToken => "CLIENT_ERROR bad token in command line format",
            Self::KeyNotDecoded => "CLIENT_ERROR error decoding key",
            Self::ModeLength => "CLIENT_ERROR incorrect length for M token",
            Self::SetMode => "CLIENT_ERROR invalid mode for ms M token",
            Self::CountMode => "CLIENT_ERROR invalid mode for ma M token",
            Self::BadInitial => "CLIENT_ERROR invalid numeric initial value",
            Self::BadMetaDelta => "CLIENT_ERROR invalid numeric delta value",
            Self::OpaqueTooLong => "CLIENT_ERROR opaque token too long",
            Self::Unauthenticated => "CLIENT_ERROR unauthenticated",
            Self::BadCredentials => "CLIENT_ERROR bad authentication token format",
            Self::BadTermination => "CLIENT_ERROR bad command line termination",
            Self::WrongCredentials => "CLIENT_ERROR authentication failure",
        }
    }
}
