//! Opening a directory with claimed files: what is claimed must be there, and what nobody claims goes.

use forebay_core::error::Result;
use forebay_log::Damaged;

use super::file;
use super::ledger::Ledger;
use crate::records::message::Claim;

impl Ledger {
    /// A message that recovery has found has this claim.
    pub(crate) fn found(&self, position: u64, claim: Claim) {
        if !self.is_claimed(claim.file) {
            self.reserve(claim.length.into());
        }
        self.keep(position, claim);
        self.skip_to(claim.file);
    }

    /// Whether the claimed file can be what was written. Where damage is to be set aside it is read for that, because this is
    /// the time at which what is damaged is given up; else its length must do.
    pub(crate) fn verify(&self, claim: Claim, damaged: Damaged) -> Result<()> {
        match damaged {
            Damaged::Refuse => file::look(&*self.files, claim),
            Damaged::SetAside => file::read(&*self.files, claim).map(drop),
        }
    }

    /// Removes the files that no message claims: a crash came between the file and its record, or between the end of a
    /// message and the removal of its file. Where records were lost to damage the claims may have been in them, and the
    /// files are kept under another name.
    pub(crate) fn sweep(&self, lost_records: bool) -> Result<u64> {
        let known = self.known();
        let mut swept = 0;
        for number in self.files.list()?.iter().filter_map(|name| file::parse(name)) {
            self.skip_to(number);
            if known.contains(&number) {
                continue;
            }
            if lost_records {
                file::set_aside(&*self.files, number)?;
            } else {
                file::remove(&*self.files, number)?;
            }
            swept += 1;
        }
        if swept > 0 {
            self.files.sync_names()?;
        }
        Ok(swept)
    }
}
