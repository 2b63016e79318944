//! Of one name there is one write-behind at a time: two would each know only a half of what the source has not yet.

use std::collections::HashSet;
use std::sync::Arc;

use forebay_core::error::{Error, Kind, Result};
use parking_lot::Mutex;

/// The names that are in use in one process.
#[derive(Debug, Default)]
pub struct Names {
    taken: Mutex<HashSet<Box<str>>>,
}

/// A name in use; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    names: Arc<Names>,
    name: Box<str>,
}

impl Names {
    /// Takes the name, or says that somebody has it.
    pub(super) fn claim(self: &Arc<Self>, name: &str) -> Result<Claim> {
        if !self.taken.lock().insert(name.into()) {
            return Err(Error::new(
                Kind::Conflict,
                "open write-behind",
                format!("{name}: it is open already"),
            ));
        }
        Ok(Claim { names: Arc::clone(self), name: name.into() })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.names.taken.lock().remove(&self.name);
    }
}
