//! What `version` answers.

/// The memcached whose behaviour this front has, and who it is.
///
/// Clients read it: libmemcached takes the three numbers and ignores what follows, dalli compares the text with the
/// oldest version it supports, others split at the dots. So there are exactly two dots, and no number that would promise
/// a verb or flag which that memcached does not have.
pub(crate) const VERSION: &str = "1.6.18-forebay";
