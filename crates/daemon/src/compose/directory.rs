//! The directory of what this process keeps: made and locked when the first part asks for it, and not at all if none does.

use std::path::Path;
use std::sync::Arc;

use forebay_core::error::Result;
use forebay_log::Disk;

/// The directory.
pub(super) struct Directory<'a> {
    path: &'a Path,
    disk: Option<Arc<Disk>>,
}

impl<'a> Directory<'a> {
    pub(super) fn new(path: &'a Path) -> Self {
        Self { path, disk: None }
    }

    /// Its files, for this process alone.
    pub(super) fn open(&mut self) -> Result<Arc<Disk>> {
        let disk = match self.disk.take() {
            Some(disk) => disk,
            None => Arc::new(Disk::open(self.path)?),
        };
        self.disk = Some(Arc::clone(&disk));
        Ok(disk)
    }
}
