//! What the demo can be asked for.

use std::path::PathBuf;

use forebay_core::error::{Error, Kind, Result};

use super::limits;

/// How to run the demo.
#[derive(Clone)]
pub struct DemoOptions {
    /// An `.xz` file of big-endian 32-bit keys to replay; `None` is the trace that comes with Forebay.
    pub trace: Option<PathBuf>,
    /// How long the replay takes. Starting before it and working off the last orders after it come on top.
    pub seconds: u64,
    /// The `forebay` program, started as `forebay serve`.
    pub daemon: PathBuf,
    /// The URL of a shared store, which the daemon then is a near cache of.
    pub store: Option<String>,
    /// The URL of a broker, on which the orders then go through HTTP.
    pub broker: Option<String>,
}

impl DemoOptions {
    /// The defaults, with the program at `daemon`.
    pub fn new(daemon: PathBuf) -> Self {
        Self { trace: None, seconds: limits::SECONDS_DEFAULT, daemon, store: None, broker: None }
    }

    /// Says which option is outside its range, if one is.
    pub(super) fn check(&self) -> Result<()> {
        if !(limits::SECONDS_MIN..=limits::SECONDS_MAX).contains(&self.seconds) {
            let range = format!("seconds must be {} to {}", limits::SECONDS_MIN, limits::SECONDS_MAX);
            return Err(Error::new(Kind::Invalid, "run demo", range));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_too_short_for_a_crash_or_too_long_to_bound_is_refused() {
        let mut options = DemoOptions::new(PathBuf::from("forebay"));
        assert!(options.check().is_ok());
        for seconds in [0, limits::SECONDS_MIN - 1, limits::SECONDS_MAX + 1] {
            options.seconds = seconds;
            assert!(options.check().is_err(), "{seconds}");
        }
        for seconds in [limits::SECONDS_MIN, limits::SECONDS_MAX] {
            options.seconds = seconds;
            assert!(options.check().is_ok(), "{seconds}");
        }
    }
}
