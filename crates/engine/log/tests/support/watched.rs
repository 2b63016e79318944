//! The saboteur's disk with somebody who looks at every step and can leave it out.

use std::sync::Arc;

use forebay_contract::files::Saboteur;
use forebay_core::error::Result;
use forebay_core::ports::files::{File, Files};

/// What a disk is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Read,
    Sync,
    SyncNames,
}

/// Says whether the step is taken; one that is left out is answered as if it had been.
type Look = dyn Fn(Step) -> bool + Send + Sync;

/// The files of a saboteur, watched.
pub(crate) struct Watched {
    files: Saboteur,
    look: Arc<Look>,
}

struct WatchedFile {
    file: Box<dyn File>,
    look: Arc<Look>,
}

impl Watched {
    pub(crate) fn new(files: Saboteur, look: impl Fn(Step) -> bool + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { files, look: Arc::new(look) })
    }

    fn wrap(&self, file: Box<dyn File>) -> Box<dyn File> {
        Box::new(WatchedFile { file, look: self.look.clone() })
    }
}

impl Files for Watched {
    fn list(&self) -> Result<Vec<String>> {
        self.files.list()
    }

    fn create(&self, name: &str, bytes: u64) -> Result<Box<dyn File>> {
        self.files.create(name, bytes).map(|file| self.wrap(file))
    }

    fn open(&self, name: &str) -> Result<Box<dyn File>> {
        self.files.open(name).map(|file| self.wrap(file))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.files.rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.files.remove(name)
    }

    fn sync_names(&self) -> Result<()> {
        if (self.look)(Step::SyncNames) { self.files.sync_names() } else { Ok(()) }
    }
}

impl File for WatchedFile {
    fn len(&self) -> Result<u64> {
        self.file.len()
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file.write_at(bytes, offset)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<()> {
        if (self.look)(Step::Read) { self.file.read_at(bytes, offset) } else { Ok(()) }
    }

    fn sync(&self) -> Result<()> {
        if (self.look)(Step::Sync) { self.file.sync() } else { Ok(()) }
    }
}
