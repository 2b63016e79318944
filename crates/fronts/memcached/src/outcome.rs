//! What the store says, in memcached's words: one for the classic verbs, two letters for the meta commands.

use forebay_core::entry::{Deleted, Written};
use forebay_wire::memcached::refusal::Refusal;

/// The answer to a classic write.
pub(crate) const fn written(outcome: Written) -> &'static str {
    match outcome {
        Written::Stored(_) => "STORED",
        Written::NotStored => "NOT_STORED",
        Written::Exists => "EXISTS",
        Written::NotFound => "NOT_FOUND",
        Written::TooLarge => Refusal::TooLarge.text(),
        Written::NoRoom => Refusal::OutOfMemory.text(),
    }
}

/// The answer to a meta write; a refusal has words instead of two letters.
pub(crate) const fn meta_written(outcome: Written) -> Result<&'static str, Refusal> {
    match outcome {
        Written::Stored(_) => Ok("HD"),
        Written::NotStored => Ok("NS"),
        Written::Exists => Ok("EX"),
        Written::NotFound => Ok("NF"),
        Written::TooLarge => Err(Refusal::TooLarge),
        Written::NoRoom => Err(Refusal::OutOfMemory),
    }
}

/// The answer to a classic deletion. It is unconditional, so no other version can be in its way.
pub(crate) const fn deleted(outcome: Deleted) -> &'static str {
    match outcome {
        Deleted::Done => "DELETED",
        Deleted::NotFound | Deleted::Exists => "NOT_FOUND",
    }
}

/// The answer to a meta deletion.
pub(crate) const fn meta_deleted(outcome: Deleted) -> &'static str {
    match outcome {
        Deleted::Done => "HD",
        Deleted::NotFound => "NF",
        Deleted::Exists => "EX",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_without_room_is_out_of_memory_in_both_languages() {
        let words = "SERVER_ERROR out of memory storing object";
        assert_eq!(written(Written::NoRoom), words);
        assert_eq!(meta_written(Written::NoRoom).map_err(Refusal::text), Err(words));
    }
}
