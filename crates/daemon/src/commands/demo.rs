//! `forebay demo`: the shop on real traffic, with this very program as its daemon.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command, value_parser};
use forebay_lab::demo::{self, DemoOptions};

use crate::failure::Failure;

/// The part of the command line.
pub(crate) fn command() -> Command {
    Command::new("demo")
        .about("Shows the whole story on real traffic: a shop whose daemon is killed half-way")
        .arg(
            Arg::new("trace")
                .long("trace")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("An .xz trace of big-endian 32-bit keys; one comes with Forebay"),
        )
        .arg(
            Arg::new("seconds")
                .long("seconds")
                .value_name("N")
                .value_parser(value_parser!(u64))
                .help("How long the traffic runs"),
        )
        .arg(Arg::new("store").long("store").value_name("URL").help(
            "A shared store that the daemon is then a near cache of: memcached://a,b,c or redis://host",
        ))
        .arg(
            Arg::new("broker")
                .long("broker")
                .value_name("URL")
                .help("A broker on which orders then go through HTTP: amqp://host, kafka://host, redis://host or sqs://…"),
        )
}

/// Runs it.
pub(crate) fn run(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let this =
        std::env::current_exe().map_err(|reason| Failure::new(format!("find this program: {reason}")))?;
    let mut options = DemoOptions::new(this);
    options.trace = matches.get_one::<PathBuf>("trace").cloned();
    if let Some(seconds) = matches.get_one::<u64>("seconds") {
        options.seconds = *seconds;
    }
    options.store = matches.get_one::<String>("store").cloned();
    options.broker = matches.get_one::<String>("broker").cloned();
    let verdict = demo::run(options).map_err(Failure::new)?;
    Ok(if verdict.kept() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
