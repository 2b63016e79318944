//! Why the command ends without success, and how the caller learns of it.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

/// Why the command ends without success.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    /// It was called in a wrong way: exit code 2, as clap has it.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self { code: 2, text: text.into() }
    }

    /// It could not do what it was called for: exit code 1.
    pub(crate) fn new(text: impl fmt::Display) -> Self {
        Self { code: 1, text: text.to_string() }
    }

    /// Says so on standard error and gives the exit code.
    pub(crate) fn tell(self) -> ExitCode {
        // Nobody can be told that telling failed.
        let _told = writeln!(io::stderr(), "forebay: {}", self.text.trim_end());
        ExitCode::from(self.code)
    }
}
