//! The daemon of this repository, with its AMQP front alone.

use std::path::Path;
use std::process::Command;

use crate::server::{Address, Server};

const PROGRAM: &str = "../target/release/forebay";

/// Starts the release build on the data in the folder.
pub fn start(folder: &Path) -> Server {
    let address = Address::free();
    let Address::Tcp(amqp) = &address else { unreachable!("it is one of TCP") };
    let mut command = Command::new(PROGRAM);
    command.arg("serve").arg("--data").arg(folder).args(["--amqp", &amqp.to_string(), "--memcached", "off"]);
    command.args(["--http", "off", "--log", "error"]);
    Server::start(&mut command, address)
}
