//! What can be set when a log is opened.

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;

use crate::format;

/// What opening does with a damaged record inside the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Damaged {
    /// Fails, naming file, offset and sequence. Nothing is changed.
    #[default]
    Refuse,
    /// Copies the damaged bytes to `damaged-<segment>-<offset>.bin`, says so, and goes on behind them. What they held
    /// is lost to the log; later openings accept the gap.
    SetAside,
}

/// The settings of a log.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Size of one segment file. Also bounds a record. A multiple of 8.
    pub segment_bytes: u32,
    /// Appended and not yet written bytes; beyond it appends are refused as full. At least one segment.
    pub pending_bytes_max: usize,
    /// Disk for all files together. At least four segments: one in use, one next, and two that
    /// are left to records that free space and to the steps towards them.
    pub disk_bytes_max: u64,
    /// What to do with damage.
    pub damaged: Damaged,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_bytes: limits::log::SEGMENT_BYTES_DEFAULT,
            pending_bytes_max: limits::log::PENDING_BYTES_MAX,
            disk_bytes_max: limits::log::DISK_BYTES_DEFAULT,
            damaged: Damaged::default(),
        }
    }
}

impl LogOptions {
    /// Says which setting is outside its range, if one is.
    pub fn check(&self) -> Result<()> {
        let refuse = |what: &str| Err(Error::new(Kind::Invalid, "open log", what));
        if !(limits::log::SEGMENT_BYTES_MIN..=limits::log::SEGMENT_BYTES_MAX).contains(&self.segment_bytes)
            || !self.segment_bytes.is_multiple_of(8)
        {
            return refuse("segment_bytes must be a multiple of 8 from 512 B to 1 GiB");
        }
        if (self.pending_bytes_max as u64) < u64::from(self.segment_bytes) {
            return refuse("pending_bytes_max must be at least segment_bytes");
        }
        if self.disk_bytes_max < 4 * u64::from(self.segment_bytes) {
            return refuse("disk_bytes_max must be at least four times segment_bytes");
        }
        Ok(())
    }

    /// Largest body that one record can carry.
    pub fn body_bytes_max(&self) -> usize {
        (self.segment_bytes - format::SEGMENT_HEADER_BYTES - format::RECORD_HEADER_BYTES) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let refused = |change: fn(&mut LogOptions)| {
            let mut options = LogOptions::default();
            change(&mut options);
            options.check().unwrap_err().to_string()
        };
        assert!(LogOptions::default().check().is_ok());
        assert!(refused(|o| o.segment_bytes = 100).contains("segment_bytes"));
        assert!(refused(|o| o.segment_bytes += 4).contains("segment_bytes"));
        assert!(refused(|o| o.pending_bytes_max = 10).contains("pending_bytes_max"));
        assert!(refused(|o| o.disk_bytes_max = 3 * u64::from(o.segment_bytes)).contains("disk_bytes_max"));
    }
}
