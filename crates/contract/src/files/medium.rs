//! What is on the medium and what is only seen: how syncs move the one to the other, and what a crash leaves.

use std::collections::BTreeMap;

use crate::random::Random;

const SECTOR_BYTES: u64 = 512;

#[derive(Clone, Default)]
pub(super) struct Inode {
    pub(super) seen: Vec<u8>,
    pub(super) on_medium: Vec<u8>,
    pub(super) unsynced: Vec<Write>,
}

#[derive(Clone)]
pub(super) struct Write {
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
    /// A sync of it failed: the system believes it clean and never writes it again.
    pub(super) abandoned: bool,
}

#[derive(Clone)]
pub(super) enum Naming {
    Create(String, u64),
    Rename(String, String),
    Remove(String),
}

impl Naming {
    pub(super) fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Create(name, id) => drop(names.insert(name.clone(), *id)),
            Self::Remove(name) => drop(names.remove(name)),
            Self::Rename(from, to) => {
                if let Some(id) = names.remove(from) {
                    names.insert(to.clone(), id);
                }
            }
        }
    }
}

impl Inode {
    /// Everything but abandoned writes reaches the medium. Of those only what nothing newer covers is still undecided.
    pub(super) fn sync(&mut self) {
        let length = self.seen.len();
        if self.on_medium.len() < length {
            self.on_medium.resize(length, 0);
        }
        let mut undecided: Vec<Write> = Vec::new();
        for write in std::mem::take(&mut self.unsynced) {
            let (from, to) = (write.offset, write.offset + write.bytes.len() as u64);
            undecided = undecided.into_iter().flat_map(|older| older.without(from, to)).collect();
            if write.abandoned {
                undecided.push(write);
            } else {
                overlay(&mut self.on_medium, &write.bytes, write.offset);
            }
        }
        self.unsynced = undecided;
    }
}

impl Write {
    /// What is left of it outside the range.
    fn without(self, from: u64, to: u64) -> Vec<Self> {
        let end = self.offset + self.bytes.len() as u64;
        let part = |from: u64, to: u64| {
            let range = (from - self.offset) as usize..(to - self.offset) as usize;
            (from < to).then(|| Self { offset: from, bytes: self.bytes[range].to_vec(), abandoned: true })
        };
        let before = (self.offset < from).then(|| part(self.offset, from.min(end))).flatten();
        let after = (to < end).then(|| part(to.max(self.offset), end)).flatten();
        before.into_iter().chain(after).collect()
    }
}

/// The directory after a crash: what was synced, and any of the rest in any order.
pub(super) fn surviving_names(
    on_medium: &BTreeMap<String, u64>,
    unsynced: &[Naming],
    random: &mut Random,
) -> BTreeMap<String, u64> {
    let mut names = on_medium.clone();
    let mut rest = unsynced.to_vec();
    match random.below(4) {
        0 => return names,
        1 => {}
        2 => rest.truncate(random.below(rest.len() as u64 + 1) as usize),
        _ => {
            rest.retain(|_| random.one_in(2));
            shuffle(&mut rest, random);
        }
    }
    rest.iter().for_each(|naming| naming.apply(&mut names));
    names
}

/// A file after a crash: what was synced, and any part of the rest in any order.
pub(super) fn surviving_bytes(inode: &Inode, random: &mut Random) -> Vec<u8> {
    let mut bytes = inode.on_medium.clone();
    let growth = inode.seen.len().saturating_sub(bytes.len()) as u64;
    let grown = match random.below(3) {
        0 => 0,
        1 => growth,
        _ => random.below(growth + 1),
    };
    bytes.resize(bytes.len() + grown as usize, 0);
    let mut rest = inode.unsynced.clone();
    match random.below(5) {
        0 => return bytes,
        1 => {}
        2 => {
            rest.truncate(random.below(rest.len() as u64 + 1) as usize);
            if let Some(last) = rest.pop() {
                tear(&mut bytes, &last, random);
            }
        }
        _ => {
            rest.retain(|_| !random.one_in(3));
            shuffle(&mut rest, random);
            rest.iter().for_each(|write| tear(&mut bytes, write, random));
            return bytes;
        }
    }
    rest.iter().for_each(|write| overlay(&mut bytes, &write.bytes, write.offset));
    bytes
}

/// Applies a part of a write: some of its sectors, or all up to or from some byte.
fn tear(bytes: &mut Vec<u8>, write: &Write, random: &mut Random) {
    let length = write.bytes.len();
    let cut = random.below(length as u64 + 1) as usize;
    match random.below(4) {
        0 => overlay(bytes, &write.bytes, write.offset),
        1 => overlay(bytes, &write.bytes[..cut], write.offset),
        2 => overlay(bytes, &write.bytes[cut..], write.offset + cut as u64),
        _ => {
            let mut at = 0;
            while at < length {
                let sector_end = ((write.offset + at as u64) / SECTOR_BYTES + 1) * SECTOR_BYTES;
                let end = length.min((sector_end - write.offset) as usize);
                if random.one_in(2) {
                    overlay(bytes, &write.bytes[at..end], write.offset + at as u64);
                }
                at = end;
            }
        }
    }
}

/// Puts `part` at `offset`, growing `bytes` with zeros where it must.
pub(super) fn overlay(bytes: &mut Vec<u8>, part: &[u8], offset: u64) {
    let (from, to) = (offset as usize, offset as usize + part.len());
    if part.is_empty() {
        return;
    }
    if bytes.len() < to {
        bytes.resize(to, 0);
    }
    bytes[from..to].copy_from_slice(part);
}

fn shuffle<T>(list: &mut [T], random: &mut Random) {
    for at in (1..list.len()).rev() {
        list.swap(at, random.below(at as u64 + 1) as usize);
    }
}
