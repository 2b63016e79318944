//! The forebay command: `serve` is the daemon, `queue` and `cache` speak to a running one, `demo` shows it at work,
//! `hash-password` makes what the settings have of a password.

mod cli;
mod commands;
mod compose;
mod config;
mod descriptors;
mod failure;
mod serve;

use std::process::ExitCode;

#[cfg(unix)]
use tikv_jemallocator::Jemalloc;

/// Messages are allocated by one thread and freed by another, which is where allocators differ.
#[cfg(unix)]
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    let matches = cli::command().get_matches();
    let ended = match matches.subcommand() {
        Some(("serve", matches)) => serve::run(matches),
        Some(("queue", matches)) => commands::queue::run(matches),
        Some(("cache", matches)) => commands::cache::run(matches),
        Some(("hash-password", _)) => commands::password::run(),
        #[cfg(feature = "demo")]
        Some(("demo", matches)) => commands::demo::run(matches),
        // Clap lets none but these through.
        _ => Ok(ExitCode::SUCCESS),
    };
    ended.unwrap_or_else(|failure| failure.tell())
}
