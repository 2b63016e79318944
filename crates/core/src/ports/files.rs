//! The files of one data directory. The disk fills it in production; the saboteur in tests.

use crate::error::Result;

/// A flat directory of files. Only what a completed `sync` covered survives a crash; before that any part of what was
/// written, created, renamed or removed may be missing, torn or reordered. Names are plain file names.
pub trait Files: Send + Sync {
    /// All names, in order.
    fn list(&self) -> Result<Vec<String>>;

    /// A new file of `bytes` zeros. `Full` if the disk has no room; then nothing is left behind.
    fn create(&self, name: &str, bytes: u64) -> Result<Box<dyn File>>;

    /// An existing file.
    fn open(&self, name: &str) -> Result<Box<dyn File>>;

    /// Gives the file another name, replacing whatever has it.
    fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// Removes the file. Its space may return later.
    fn remove(&self, name: &str) -> Result<()>;

    /// Makes creations, renames and removals up to here durable.
    fn sync_names(&self) -> Result<()>;
}

/// One file, used from any thread.
pub trait File: Send + Sync {
    /// Its length in bytes.
    fn len(&self) -> Result<u64>;

    /// True without bytes.
    fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Writes all of `bytes` at `offset`. `Err`: any part may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()>;

    /// Fills `bytes` from `offset`. Reading past the end is an `Io` error.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<()>;

    /// Says that these bytes will be read soon. A disk may fetch them meanwhile; nothing is promised, and nothing waits.
    fn will_read(&self, _offset: u64, _bytes: u64) {}

    /// Makes everything written to this file durable. After an `Err` nothing can be said of what was written since the
    /// last `Ok`, and calling again proves nothing.
    fn sync(&self) -> Result<()>;
}
