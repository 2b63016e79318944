//! `forebay hash-password`: from a password to what the file of settings has of it.

use std::io::{self, Read, Write};
use std::process::ExitCode;

use clap::Command;
use forebay_amqp::access::password::Hashed;

use crate::failure::Failure;

/// Longer ones are refused.
const PASSWORD_BYTES_MAX: usize = 4096;

pub(crate) fn command() -> Command {
    Command::new("hash-password").about(
        "Reads a password from standard input and prints its hash for amqp_users in the file of settings",
    )
}

pub(crate) fn run() -> Result<ExitCode, Failure> {
    let mut password = Vec::new();
    io::stdin()
        .take(PASSWORD_BYTES_MAX as u64 + 2)
        .read_to_end(&mut password)
        .map_err(|reason| Failure::new(format!("read the password: {reason}")))?;
    // The end of the line is the terminal's.
    let password = password.strip_suffix(b"\n").unwrap_or(&password);
    let password = password.strip_suffix(b"\r").unwrap_or(password);
    if password.is_empty() || password.len() > PASSWORD_BYTES_MAX {
        return Err(Failure::usage("expected a password of 1 to 4096 bytes on standard input"));
    }
    let hash = Hashed::of(password).map_err(|reason| Failure::new(format!("hash the password: {reason}")))?;
    writeln!(io::stdout(), "{hash}")
        .map_err(|reason| Failure::new(format!("write to standard output: {reason}")))?;
    Ok(ExitCode::SUCCESS)
}
