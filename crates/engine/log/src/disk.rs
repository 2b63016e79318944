//! `Files` on a real directory, owned by one process at a time.

use std::fs::{self, DirBuilder, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
#[cfg(target_os = "linux")]
use std::num::NonZeroU64;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use forebay_core::error::{Error, Kind, Result};
use forebay_core::ports::files::{File, Files};

/// The file whose lock says that a process owns the directory. Not listed.
const LOCK: &str = "lock";

/// A directory on disk. While it is open no other process, and no other `Disk`, can open it.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    directory: fs::File,
    _lock: fs::File,
}

impl Disk {
    /// Opens the directory, makes it if it is not there (for its owner only), and locks it. `Conflict` if another
    /// process has it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let shown = path.display().to_string();
        let failed = |error: io::Error| refusal("open data directory", &shown, error);
        if !path.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                fs::File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed)?;
            }
        }
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(Kind::Conflict, "open data directory", shown)
                    .because("in use by another process"));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let directory = fs::File::open(&path).map_err(failed)?;
        Ok(Self { path, directory, _lock: lock })
    }

    /// The file's path, if `name` is a plain file name that is not the lock's.
    fn at(&self, operation: &'static str, name: &str) -> Result<PathBuf> {
        let plain = Path::new(name).file_name().is_some_and(|file| file == name);
        if !plain || name == LOCK {
            return Err(Error::new(Kind::Invalid, operation, name));
        }
        Ok(self.path.join(name))
    }
}

impl Files for Disk {
    fn list(&self) -> Result<Vec<String>> {
        let failed = |error| refusal("list data directory", &self.path.display().to_string(), error);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().into_string().ok().filter(|name| name != LOCK);
            if let Some(name) = name
                && entry.file_type().map_err(failed)?.is_file()
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create(&self, name: &str, bytes: u64) -> Result<Box<dyn File>> {
        let path = self.at("create file", name)?;
        let failed = |error| refusal("create file", name, error);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match reserve(&file, bytes) {
            Ok(()) => Ok(Box::new(DiskFile { file, name: name.into() })),
            Err(error) => {
                // What is left behind is at worst an empty file that the next opening removes.
                drop(fs::remove_file(&path));
                Err(failed(error))
            }
        }
    }

    fn open(&self, name: &str) -> Result<Box<dyn File>> {
        let path = self.at("open file", name)?;
        let file = OpenOptions::new().read(true).write(true).open(path);
        Ok(Box::new(DiskFile {
            file: file.map_err(|error| refusal("open file", name, error))?,
            name: name.into(),
        }))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (old, new) = (self.at("rename file", from)?, self.at("rename file", to)?);
        fs::rename(old, new).map_err(|error| refusal("rename file", from, error))
    }

    fn remove(&self, name: &str) -> Result<()> {
        fs::remove_file(self.at("remove file", name)?).map_err(|error| refusal("remove file", name, error))
    }

    fn sync_names(&self) -> Result<()> {
        let shown = || self.path.display().to_string();
        self.directory.sync_all().map_err(|error| refusal("sync data directory", &shown(), error))
    }
}

/// A file in the directory.
#[derive(Debug)]
struct DiskFile {
    file: fs::File,
    name: String,
}

impl File for DiskFile {
    fn len(&self) -> Result<u64> {
        Ok(self.file.metadata().map_err(|error| refusal("measure file", &self.name, error))?.len())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file.write_all_at(bytes, offset).map_err(|error| refusal("write file", &self.name, error))
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<()> {
        self.file.read_exact_at(bytes, offset).map_err(|error| refusal("read file", &self.name, error))
    }

    #[cfg(target_os = "linux")]
    fn will_read(&self, offset: u64, bytes: u64) {
        // Without a length it would be the whole rest of the file.
        if let Some(bytes) = NonZeroU64::new(bytes) {
            // Only a hint: a system that does not take it reads when it is asked to.
            let _ = rustix::fs::fadvise(&self.file, offset, Some(bytes), rustix::fs::Advice::WillNeed);
        }
    }

    fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|error| refusal("sync file", &self.name, error))
    }
}

/// Gives the file its length and the space for it. Where the file system cannot reserve, zeros are written.
fn reserve(file: &fs::File, bytes: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;
        match fallocate(file, FallocateFlags::empty(), 0, bytes) {
            Ok(()) => return Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let zeros = vec![0; 1024 * 1024];
    let mut offset = 0;
    while offset < bytes {
        let count = (bytes - offset).min(zeros.len() as u64);
        file.write_all_at(zeros.get(..count as usize).unwrap_or(&zeros), offset)?;
        offset += count;
    }
    Ok(())
}

/// The error of a refused file operation.
fn refusal(operation: &'static str, name: &str, error: io::Error) -> Error {
    let kind = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Kind::Full,
        ErrorKind::NotFound => Kind::NotFound,
        ErrorKind::AlreadyExists => Kind::Conflict,
        _ => Kind::Io,
    };
    Error::new(kind, operation, name).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk whose directory goes when it does.
    struct Scratch(Disk, tempfile::TempDir);

    impl Files for Scratch {
        fn list(&self) -> Result<Vec<String>> {
            self.0.list()
        }

        fn create(&self, name: &str, bytes: u64) -> Result<Box<dyn File>> {
            self.0.create(name, bytes)
        }

        fn open(&self, name: &str) -> Result<Box<dyn File>> {
            self.0.open(name)
        }

        fn rename(&self, from: &str, to: &str) -> Result<()> {
            self.0.rename(from, to)
        }

        fn remove(&self, name: &str) -> Result<()> {
            self.0.remove(name)
        }

        fn sync_names(&self) -> Result<()> {
            self.0.sync_names()
        }
    }

    fn scratch() -> Scratch {
        let directory = tempfile::tempdir().unwrap();
        Scratch(Disk::open(directory.path().join("data")).unwrap(), directory)
    }

    forebay_contract::files!(scratch);

    #[test]
    fn the_directory_is_for_its_owner_only_and_has_one() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/data");
        let first = Disk::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        let refused = Disk::open(&path).unwrap_err();
        assert_eq!(refused.kind(), Kind::Conflict);
        assert!(refused.to_string().contains("another process"), "{refused}");
        drop(first);
        assert!(Disk::open(&path).is_ok());
    }

    #[test]
    fn names_that_lead_elsewhere_and_the_lock_are_refused() {
        let Scratch(disk, _directory) = scratch();
        for name in ["", ".", "..", "a/b", "/a", "../a", LOCK] {
            assert_eq!(disk.create(name, 8).err().map(|error| error.kind()), Some(Kind::Invalid), "{name}");
            assert_eq!(disk.remove(name).err().map(|error| error.kind()), Some(Kind::Invalid), "{name}");
        }
        assert!(disk.list().unwrap().is_empty());
    }

    #[test]
    fn a_file_that_the_system_refuses_leaves_nothing_behind() {
        let Scratch(disk, _directory) = scratch();
        assert!(disk.create("a", i64::MAX as u64).is_err());
        assert!(disk.list().unwrap().is_empty());
    }

    #[test]
    fn only_want_of_space_is_called_full() {
        let kind = |kind: ErrorKind| refusal("create file", "a", kind.into()).kind();
        assert_eq!(kind(ErrorKind::StorageFull), Kind::Full);
        assert_eq!(kind(ErrorKind::QuotaExceeded), Kind::Full);
        assert_eq!(kind(ErrorKind::PermissionDenied), Kind::Io);
    }
}
