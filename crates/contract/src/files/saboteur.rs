//! The saboteur itself: an unreliable directory, its handles, and what can be made to fail.

use std::collections::BTreeMap;
use std::sync::Arc;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::ports::files::{File, Files};
use parking_lot::Mutex;

use super::medium::{self, Inode, Naming, Write};
use crate::random::Random;

/// What can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Making a file.
    Create,
    /// Writing to one. A part of it is written all the same.
    Write,
    /// Syncing one. What it should have covered is never made durable by a later sync.
    Sync,
    /// Giving a file another name.
    Rename,
    /// Removing one.
    Remove,
    /// Syncing names.
    SyncNames,
}

/// An unreliable directory in memory. Clones are the same directory in the hands of the same process.
#[derive(Clone)]
pub struct Saboteur {
    world: Arc<Mutex<World>>,
    life: u64,
}

#[derive(Default)]
struct World {
    /// Handles of an earlier life are refused.
    life: u64,
    inodes: BTreeMap<u64, Inode>,
    names: BTreeMap<String, u64>,
    names_on_medium: BTreeMap<String, u64>,
    unsynced_names: Vec<Naming>,
    bytes_max: Option<u64>,
    faults: Vec<(Operation, u64, Kind)>,
    effects_left: Option<u64>,
    counts: BTreeMap<Operation, u64>,
}

impl Saboteur {
    /// An empty directory without sabotage.
    pub fn new() -> Self {
        Self { world: Arc::default(), life: 0 }
    }

    /// Power is lost and returns. Equal seeds lose equal parts. Handles from before are of no use any more.
    pub fn crash(&self, seed: u64) -> Self {
        let mut old = self.world.lock();
        old.life += 1;
        let mut random = Random::new(seed);
        let names = medium::surviving_names(&old.names_on_medium, &old.unsynced_names, &mut random);
        let mut new = World { bytes_max: old.bytes_max, ..World::default() };
        for (name, id) in names {
            let Some(inode) = old.inodes.get(&id) else { continue };
            let bytes = medium::surviving_bytes(inode, &mut random);
            new.inodes.insert(id, Inode { seen: bytes.clone(), on_medium: bytes, unsynced: Vec::new() });
            new.names.insert(name.clone(), id);
            new.names_on_medium.insert(name, id);
        }
        Self { world: Arc::new(Mutex::new(new)), life: 0 }
    }

    /// The process is killed and started again: nothing is lost yet, and nothing is safer than before. Faults that were
    /// set and have not struck are gone.
    pub fn restart(&self) -> Self {
        let mut world = self.world.lock();
        world.life += 1;
        world.faults.clear();
        world.effects_left = None;
        Self { world: self.world.clone(), life: world.life }
    }

    /// Lets the `nth` operation of this kind from now fail, 1 being the next.
    pub fn fail(&self, operation: Operation, nth: u64, kind: Kind) {
        self.world.lock().faults.push((operation, nth, kind));
    }

    /// Power goes off after `count` more operations that change something: all further ones fail.
    pub fn power_off_after(&self, count: u64) {
        self.world.lock().effects_left = Some(count);
    }

    /// True once `power_off_after` has struck.
    pub fn is_off(&self) -> bool {
        self.world.lock().effects_left == Some(0)
    }

    /// Files may take so many bytes together; `None` is no limit.
    pub fn limit_bytes(&self, bytes_max: Option<u64>) {
        self.world.lock().bytes_max = bytes_max;
    }

    /// Bytes that all files take.
    pub fn used_bytes(&self) -> u64 {
        self.world.lock().used_bytes()
    }

    /// How often an operation was asked for.
    pub fn count(&self, operation: Operation) -> u64 {
        self.world.lock().counts.get(&operation).copied().unwrap_or(0)
    }

    /// Flips one bit of a file, on the medium too. False if the file has no such byte.
    pub fn flip_bit(&self, name: &str, offset: u64, bit: u32) -> bool {
        self.change(name, |bytes| {
            let byte = usize::try_from(offset).ok().and_then(|offset| bytes.get_mut(offset));
            byte.map(|byte| *byte ^= 1 << (bit % 8)).is_some()
        })
    }

    /// Cuts a file short, on the medium too. False if there is no such file.
    pub fn truncate(&self, name: &str, bytes_max: u64) -> bool {
        self.change(name, |bytes| {
            bytes.truncate(usize::try_from(bytes_max).unwrap_or(usize::MAX));
            true
        })
    }

    fn change(&self, name: &str, change: impl Fn(&mut Vec<u8>) -> bool) -> bool {
        let mut world = self.world.lock();
        let Some(id) = world.names.get(name).copied() else { return false };
        world.inodes.get_mut(&id).is_some_and(|inode| change(&mut inode.seen) && change(&mut inode.on_medium))
    }

    /// Runs one changing operation: refuses it if the process is gone, the power is off, or a fault is due. `did` is
    /// then told whether it failed.
    fn effect<T>(
        &self,
        operation: Operation,
        name: &str,
        did: impl FnOnce(&mut World, bool) -> Result<T>,
    ) -> Result<T> {
        let mut world = self.world.lock();
        world.check_life(self.life, name)?;
        *world.counts.entry(operation).or_default() += 1;
        let off = match &mut world.effects_left {
            Some(0) => return Err(Error::new(Kind::Io, "use file", name).because("no power")),
            Some(left) => {
                *left -= 1;
                *left == 0
            }
            None => false,
        };
        let mut failed = off.then_some(Kind::Io);
        world.faults.retain_mut(|(faulty, nth, kind)| {
            if *faulty == operation {
                *nth = nth.saturating_sub(1);
                if *nth == 0 {
                    failed = Some(*kind);
                    return false;
                }
            }
            true
        });
        let done = did(&mut world, failed.is_some());
        match failed {
            Some(kind) => Err(Error::new(kind, "use file", name).because("sabotaged")),
            None => done,
        }
    }
}

impl Default for Saboteur {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    fn check_life(&self, life: u64, name: &str) -> Result<()> {
        if self.life == life {
            return Ok(());
        }
        Err(Error::new(Kind::Io, "use file", name).because("the process that opened it is gone"))
    }

    fn used_bytes(&self) -> u64 {
        self.names.values().filter_map(|id| self.inodes.get(id)).map(|inode| inode.seen.len() as u64).sum()
    }

    fn id(&self, name: &str) -> Result<u64> {
        self.names.get(name).copied().ok_or_else(|| Error::new(Kind::NotFound, "find file", name))
    }

    fn apply(&mut self, naming: Naming) {
        naming.apply(&mut self.names);
        self.unsynced_names.push(naming);
    }
}

impl Files for Saboteur {
    fn list(&self) -> Result<Vec<String>> {
        let world = self.world.lock();
        world.check_life(self.life, "directory")?;
        Ok(world.names.keys().cloned().collect())
    }

    fn create(&self, name: &str, bytes: u64) -> Result<Box<dyn File>> {
        let id = self.effect(Operation::Create, name, |world, failed| {
            if failed {
                return Ok(0);
            }
            if world.names.contains_key(name) {
                return Err(Error::new(Kind::Conflict, "create file", name));
            }
            if world.bytes_max.is_some_and(|bytes_max| world.used_bytes() + bytes > bytes_max) {
                return Err(Error::new(Kind::Full, "create file", name));
            }
            let id = world.inodes.last_key_value().map_or(1, |(id, _)| id + 1);
            world.inodes.insert(id, Inode { seen: vec![0; bytes as usize], ..Inode::default() });
            world.apply(Naming::Create(name.into(), id));
            Ok(id)
        })?;
        Ok(Box::new(Handle { files: self.clone(), id, name: name.into() }))
    }

    fn open(&self, name: &str) -> Result<Box<dyn File>> {
        let world = self.world.lock();
        world.check_life(self.life, name)?;
        let id = world.id(name)?;
        Ok(Box::new(Handle { files: self.clone(), id, name: name.into() }))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.effect(Operation::Rename, from, |world, failed| {
            world.id(from)?;
            if !failed {
                world.apply(Naming::Rename(from.into(), to.into()));
            }
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.effect(Operation::Remove, name, |world, failed| {
            world.id(name)?;
            if !failed {
                world.apply(Naming::Remove(name.into()));
            }
            Ok(())
        })
    }

    fn sync_names(&self) -> Result<()> {
        self.effect(Operation::SyncNames, "directory", |world, failed| {
            if !failed {
                for naming in std::mem::take(&mut world.unsynced_names) {
                    naming.apply(&mut world.names_on_medium);
                }
            }
            Ok(())
        })
    }
}

struct Handle {
    files: Saboteur,
    id: u64,
    name: String,
}

impl File for Handle {
    fn len(&self) -> Result<u64> {
        let world = self.files.world.lock();
        world.check_life(self.files.life, &self.name)?;
        Ok(world.inodes.get(&self.id).map_or(0, |inode| inode.seen.len() as u64))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.files.effect(Operation::Write, &self.name, |world, failed| {
            let part = if failed { &bytes[..bytes.len() / 2] } else { bytes };
            if let Some(inode) = world.inodes.get_mut(&self.id) {
                medium::overlay(&mut inode.seen, part, offset);
                inode.unsynced.push(Write { offset, bytes: part.to_vec(), abandoned: false });
            }
            Ok(())
        })
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<()> {
        let world = self.files.world.lock();
        world.check_life(self.files.life, &self.name)?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let inode = world.inodes.get(&self.id);
        let part = inode.and_then(|inode| inode.seen.get(from..)?.get(..bytes.len()));
        match part {
            Some(part) => bytes.copy_from_slice(part),
            None => return Err(Error::new(Kind::Io, "read file", &*self.name).because("past the end")),
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.files.effect(Operation::Sync, &self.name, |world, failed| {
            let Some(inode) = world.inodes.get_mut(&self.id) else { return Ok(()) };
            if failed {
                inode.unsynced.iter_mut().for_each(|write| write.abandoned = true);
            } else {
                inode.sync();
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &Saboteur, name: &str) -> Vec<u8> {
        let file = files.open(name).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(&mut bytes, 0).unwrap();
        bytes
    }

    /// A directory with one durable file of `bytes` zeros.
    fn prepared(bytes: u64) -> (Saboteur, Box<dyn File>) {
        let files = Saboteur::new();
        let file = files.create("a", bytes).unwrap();
        file.sync().unwrap();
        files.sync_names().unwrap();
        (files, file)
    }

    #[test]
    fn what_was_synced_survives_every_crash() {
        for seed in 0..500 {
            let (files, file) = prepared(64);
            file.write_at(b"safe", 8).unwrap();
            file.sync().unwrap();
            file.write_at(b"lost?", 32).unwrap();
            assert_eq!(&read(&files.crash(seed), "a")[8..12], b"safe", "seed {seed}");
        }
    }

    #[test]
    fn what_was_not_synced_is_lost_kept_and_torn_in_turn() {
        let (mut lost, mut kept, mut torn) = (0, 0, 0);
        for seed in 0..500 {
            let (files, file) = prepared(4096);
            file.write_at(&[7; 2000], 100).unwrap();
            let bytes = read(&files.crash(seed), "a");
            match bytes[100..2100].iter().filter(|byte| **byte == 7).count() {
                0 => lost += 1,
                2000 => kept += 1,
                _ => torn += 1,
            }
            assert!(bytes[..100].iter().chain(&bytes[2100..]).all(|byte| *byte == 0));
        }
        assert!(lost > 50 && kept > 50 && torn > 50, "{lost} {kept} {torn}");
    }

    #[test]
    fn two_unsynced_writes_reach_the_medium_in_either_order() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..500 {
            let (files, file) = prepared(8);
            file.write_at(b"1", 0).unwrap();
            file.write_at(b"2", 0).unwrap();
            seen.insert(read(&files.crash(seed), "a")[0]);
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, b'1', b'2']);
    }

    #[test]
    fn names_are_safe_only_once_they_are_synced() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..500 {
            let (files, _) = prepared(8);
            files.rename("a", "b").unwrap();
            files.create("c", 8).unwrap();
            seen.insert(files.crash(seed).list().unwrap().concat());
            files.restart().sync_names().unwrap();
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["a", "ac", "b", "bc"]);
        let (files, _) = prepared(8);
        files.rename("a", "b").unwrap();
        files.sync_names().unwrap();
        assert!((0..100).all(|seed| files.restart().crash(seed).list().unwrap() == ["b"]));
    }

    #[test]
    fn a_failed_sync_is_not_mended_by_another_one() {
        let mut lost = 0;
        for seed in 0..200 {
            let (files, file) = prepared(64);
            file.write_at(b"gone", 0).unwrap();
            files.fail(Operation::Sync, 1, Kind::Io);
            assert!(file.sync().is_err());
            file.sync().unwrap();
            assert_eq!(&read(&files, "a")[..4], b"gone");
            lost += u32::from(&read(&files.crash(seed), "a")[..4] != b"gone");
        }
        assert!(lost > 20, "{lost}");
    }

    #[test]
    fn a_write_after_a_failed_sync_is_mended_by_writing_again() {
        for seed in 0..200 {
            let (files, file) = prepared(64);
            file.write_at(b"older", 0).unwrap();
            files.fail(Operation::Sync, 1, Kind::Io);
            assert!(file.sync().is_err());
            file.write_at(b"newer", 0).unwrap();
            file.sync().unwrap();
            assert_eq!(&read(&files.crash(seed), "a")[..5], b"newer", "seed {seed}");
        }
    }

    #[test]
    fn a_restart_keeps_what_was_written_and_makes_nothing_safer() {
        let (files, file) = prepared(64);
        file.write_at(b"data", 0).unwrap();
        let restarted = files.restart();
        assert_eq!(&read(&restarted, "a")[..4], b"data");
        assert!(file.write_at(b"ghost", 0).is_err());
        assert!((0..100).any(|seed| &read(&restarted.restart().crash(seed), "a")[..4] != b"data"));
    }

    #[test]
    fn the_nth_operation_fails_and_power_stays_off() {
        let (files, file) = prepared(64);
        files.fail(Operation::Write, 2, Kind::Io);
        file.write_at(b"1", 0).unwrap();
        assert!(file.write_at(b"2", 0).is_err());
        file.write_at(b"3", 0).unwrap();
        files.power_off_after(2);
        file.write_at(b"4", 0).unwrap();
        assert!(file.sync().is_err());
        assert!(files.is_off() && file.sync().is_err() && files.sync_names().is_err());
    }

    #[test]
    fn a_full_disk_leaves_nothing_behind_and_a_removal_makes_room() {
        let (files, _) = prepared(64);
        files.limit_bytes(Some(100));
        assert_eq!(files.create("b", 64).err().unwrap().kind(), Kind::Full);
        assert_eq!(files.list().unwrap(), ["a"]);
        files.remove("a").unwrap();
        assert!(files.create("b", 64).is_ok());
    }
}
