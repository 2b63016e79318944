//! A RabbitMQ of its own, with all its files in one folder and free ports.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use crate::server::{Address, Server};

/// The server itself; the one on the path changes to a user of its own.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
/// Erlang's port mapper belongs to the server's process group, so that it ends with it: one that the server starts does not.
const WITH_PORT_MAPPER: &str = "epmd & exec \"$0\"";

/// Starts Debian's RabbitMQ in the folder.
pub fn start(folder: &Path) -> Server {
    let free = || match Address::free() {
        Address::Tcp(address) => address.port(),
        Address::Unix(_) => 0,
    };
    let (port, nodes_port) = (free(), free());
    let path = |name: &str| folder.join(name);
    std::fs::write(path("plugins"), "[].").expect("the list of its plugins");
    let mut command = Command::new("sh");
    command
        .args(["-c", WITH_PORT_MAPPER, SERVER])
        .env("HOME", folder)
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env("ERL_EPMD_PORT", free().to_string())
        .env("RABBITMQ_NODENAME", format!("forebay-{port}@localhost"))
        .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODE_PORT", port.to_string())
        .env("RABBITMQ_DIST_PORT", nodes_port.to_string())
        .env("RABBITMQ_MNESIA_BASE", path("mnesia"))
        .env("RABBITMQ_LOG_BASE", path("log"))
        .env("RABBITMQ_PID_FILE", path("pid"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", path("plugins"))
        .env("RABBITMQ_CONFIG_FILE", path("none"))
        .current_dir(folder);
    let address = Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let mut server = Server::start(&mut command, address);
    server.flags = "default settings, no plugins".into();
    server
}
