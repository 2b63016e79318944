//! AMQP clients in Python, node and C.

use std::net::SocketAddr;
use std::process::Command;

use forebay_acceptance::daemon::Daemon;
use forebay_acceptance::programs::{compiled, node, python, script_path, session};
use forebay_contract::servers::rabbitmq::RabbitMq;

fn py_amqp(amqp: SocketAddr, part: &str) -> Command {
    let mut command = python("amqp/py_amqp.py");
    command.arg(part).arg(amqp.to_string());
    command
}

fn kombu(amqp: SocketAddr) -> Command {
    let mut command = python("amqp/kombu_session.py");
    command.arg(amqp.to_string());
    command
}

fn amqplib(amqp: SocketAddr) -> Command {
    let mut command = node("amqp/amqplib_session.js");
    command.arg(amqp.to_string());
    command
}

fn librabbitmq(amqp: SocketAddr) {
    let folder = tempfile::tempdir().unwrap();
    let source = script_path("amqp/librabbitmq_session.c");
    session(compiled(&source, &["rabbitmq"], folder.path()).arg(amqp.port().to_string()));
}

fn with_daemon(client: impl FnOnce(SocketAddr)) {
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(data.path());
    client(daemon.amqp);
    assert!(daemon.stop(), "the daemon stops cleanly");
}

#[test]
fn py_amqp_runs_unchanged() {
    with_daemon(|amqp| session(&mut py_amqp(amqp, "session")));
}

#[test]
fn the_transactions_of_py_amqp_hold_back_until_they_are_committed() {
    with_daemon(|amqp| session(&mut py_amqp(amqp, "transactions")));
}

#[test]
fn kombu_runs_unchanged() {
    with_daemon(|amqp| session(&mut kombu(amqp)));
}

#[test]
fn amqplib_of_node_runs_unchanged() {
    with_daemon(|amqp| session(&mut amqplib(amqp)));
}

#[test]
fn a_program_with_librabbitmq_runs_unchanged() {
    with_daemon(librabbitmq);
}

/// Holds the sessions against what they were written for: what passes here and fails above is the daemon's.
#[test]
fn the_same_sessions_pass_with_rabbitmq() {
    let rabbitmq = RabbitMq::start();
    let amqp = rabbitmq.address;
    for client in [
        &mut py_amqp(amqp, "session"),
        &mut py_amqp(amqp, "transactions"),
        &mut kombu(amqp),
        &mut amqplib(amqp),
    ] {
        session(client);
    }
    librabbitmq(amqp);
}
