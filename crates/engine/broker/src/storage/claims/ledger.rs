//! The account of claimed files: which message has which, what all take, and which are to go.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use forebay_core::error::Result;
use forebay_core::ports::files::Files;
use forebay_log::{Beside, Log};
use parking_lot::Mutex;

use super::file;
use crate::records::message::Claim;

/// Claims of all queues. A message has its claim under its position, which no other message ever has: a position is a
/// sequence of the log. Moving hands it on; copies of a message share one, and the file goes with the last of them.
pub(crate) struct Ledger {
    pub(crate) files: Arc<dyn Files>,
    log: Log,
    /// Longer payloads are claimed.
    pub(crate) above_bytes: usize,
    next_file: AtomicU64,
    /// What all files take: those being written, those claimed, and those that are to go.
    bytes: AtomicU64,
    accounts: Mutex<Accounts>,
}

#[derive(Debug, Default)]
struct Accounts {
    by_position: HashMap<u64, Claim>,
    /// How many have a file, by its number: messages, those that have left and wait to let go of it, and whoever is about to
    /// bring it to several queues.
    holders: HashMap<u64, u32>,
    leaving: Vec<Leaving>,
    /// Files that were found damaged.
    damaged: HashSet<u64>,
}

/// A file that is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leaving {
    pub(crate) claim: Claim,
    pub(crate) after: After,
}

/// What a file that is to go waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// For nothing: no record ever named it.
    Nothing,
    /// For this sequence to be durable, with which its message has left.
    Durable(u64),
    /// For a record that says so: the message was finished, and is given up without one.
    Record { queue: u64, position: u64 },
}

impl Accounts {
    fn keep(&mut self, position: u64, claim: Claim) {
        if self.by_position.insert(position, claim).is_none() {
            self.hold(claim.file);
        }
    }

    fn hold(&mut self, file: u64) {
        *self.holders.entry(file).or_default() += 1;
    }

    fn let_go(&mut self, file: u64) -> bool {
        match self.holders.get_mut(&file) {
            Some(holders) if *holders > 1 => {
                *holders -= 1;
                true
            }
            _ => {
                self.holders.remove(&file);
                false
            }
        }
    }
}

impl Ledger {
    pub(crate) fn new(files: Arc<dyn Files>, log: Log, above_bytes: usize) -> Self {
        let (next_file, bytes) = (AtomicU64::new(1), AtomicU64::new(0));
        Self { files, log, above_bytes, next_file, bytes, accounts: Mutex::default() }
    }

    /// A file number that none was given before.
    pub(crate) fn new_file(&self) -> u64 {
        self.next_file.fetch_add(1, Relaxed)
    }

    /// No number up to this one is given out any more.
    pub(crate) fn skip_to(&self, file: u64) {
        self.next_file.fetch_max(file.saturating_add(1), Relaxed);
    }

    /// What all files take.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// What the account itself takes in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        let accounts = self.accounts.lock();
        accounts.by_position.capacity() * size_of::<(u64, Claim)>()
            + accounts.holders.capacity() * size_of::<(u64, u32)>()
    }

    /// So many bytes are about to be written.
    pub(crate) fn reserve(&self, bytes: u64) {
        self.change(|_| bytes.cast_signed());
    }

    /// So many bytes are not written after all.
    pub(crate) fn unreserve(&self, bytes: u64) {
        self.change(|_| -bytes.cast_signed());
    }

    /// The file now is the message's.
    pub(crate) fn keep(&self, position: u64, claim: Claim) {
        self.accounts.lock().keep(position, claim);
    }

    /// One more has the file, until it lets go of it or abandons it.
    pub(crate) fn hold(&self, file: u64) {
        self.accounts.lock().hold(file);
    }

    /// One of those who have the file lets go of it; true if there are others.
    pub(crate) fn let_go(&self, file: u64) -> bool {
        self.accounts.lock().let_go(file)
    }

    pub(crate) fn get(&self, position: u64) -> Option<Claim> {
        self.accounts.lock().by_position.get(&position).copied()
    }

    /// The message is under another position from now on.
    pub(crate) fn moved(&self, from: u64, to: u64) {
        let mut accounts = self.accounts.lock();
        if let Some(claim) = accounts.by_position.remove(&from) {
            accounts.by_position.insert(to, claim);
        }
    }

    /// The message has left its queue. False if its claim was handed on.
    pub(crate) fn leave(&self, position: u64, after: After) -> bool {
        let mut accounts = self.accounts.lock();
        let Some(claim) = accounts.by_position.remove(&position) else { return false };
        accounts.leaving.push(Leaving { claim, after });
        true
    }

    /// The message is given up for damage: its file is kept under another name.
    pub(crate) fn set_aside(&self, position: u64) -> Result<()> {
        let Some(claim) = self.get(position) else { return Ok(()) };
        if self.let_go(claim.file) {
            // The last one that has it does so.
            self.accounts.lock().by_position.remove(&position);
            return Ok(());
        }
        file::set_aside(&*self.files, claim.file)?;
        // Before anything says that the message is given up: opening removes what nobody claims.
        self.files.sync_names()?;
        self.accounts.lock().by_position.remove(&position);
        self.gone(claim);
        Ok(())
    }

    /// A file that was written, or begun, for nothing.
    pub(crate) fn abandon(&self, claim: Claim) {
        self.accounts.lock().leaving.push(Leaving { claim, after: After::Nothing });
    }

    /// Takes up to `count_max` of the files that are to go.
    pub(crate) fn take_leaving(&self, count_max: usize) -> Vec<Leaving> {
        let mut accounts = self.accounts.lock();
        let count = accounts.leaving.len().min(count_max);
        accounts.leaving.drain(..count).collect()
    }

    /// They are to go later.
    pub(crate) fn leave_later(&self, leaving: Vec<Leaving>) {
        self.accounts.lock().leaving.extend(leaving);
    }

    /// The file is there no more.
    pub(crate) fn gone(&self, claim: Claim) {
        self.change(|accounts| {
            accounts.damaged.remove(&claim.file);
            -i64::from(claim.length)
        });
    }

    /// Whether some message has the file.
    pub(crate) fn is_claimed(&self, file: u64) -> bool {
        self.accounts.lock().holders.contains_key(&file)
    }

    /// The file is not what was written. Told once.
    pub(crate) fn note_damaged(&self, number: u64) {
        self.change(|accounts| {
            if accounts.damaged.insert(number) {
                tracing::error!(file = file::name(number), "payload file is damaged");
            }
            0
        });
    }

    /// The numbers of all files that must not be swept away.
    pub(crate) fn known(&self) -> BTreeSet<u64> {
        let accounts = self.accounts.lock();
        let leaving = accounts.leaving.iter().map(|leaving| &leaving.claim);
        accounts.by_position.values().chain(leaving).map(|claim| claim.file).collect()
    }

    /// Changes the accounts, and by what is returned the bytes. The log is told under the lock, so that what it was told
    /// last is so.
    fn change(&self, change: impl FnOnce(&mut Accounts) -> i64) {
        let mut accounts = self.accounts.lock();
        let by = change(&mut accounts);
        let bytes = self.bytes.load(Relaxed).saturating_add_signed(by);
        self.bytes.store(bytes, Relaxed);
        self.log.tell_beside(Beside { bytes, damaged: accounts.damaged.len() as u64 });
    }

    /// Claims by position, and how many files are still to go.
    #[cfg(test)]
    pub(crate) fn audit(&self) -> (HashMap<u64, Claim>, usize) {
        let accounts = self.accounts.lock();
        let leaving = accounts.leaving.iter().map(|leaving| leaving.claim);
        let all = accounts.by_position.values().copied().chain(leaving);
        let files: HashMap<_, _> = all.map(|claim| (claim.file, u64::from(claim.length))).collect();
        assert_eq!(self.bytes(), files.values().sum::<u64>());
        (accounts.by_position.clone(), accounts.leaving.len())
    }
}
