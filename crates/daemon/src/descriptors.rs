//! Open files and sockets: as many as the system lets this process have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Raises the soft limit to the hard one. The usual soft limit of 1,024 is less than the connections that the fronts
/// accept, and the log must be able to open its files while all of them are there.
pub(crate) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    if let Err(reason) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        warn!(%reason, limit = ?limit.current, "cannot raise the limit of open files");
    }
}
