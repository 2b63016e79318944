//! How much longer a suite runs when it is asked to.

/// What a case repeats so often in every test run, and fifty times as often under `FOREBAY_TORTURE`.
pub fn rounds(usual: u64) -> u64 {
    if std::env::var_os("FOREBAY_TORTURE").is_some() { usual * 50 } else { usual }
}
