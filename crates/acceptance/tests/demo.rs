//! The demo, short: the whole story through real sockets, with the daemon killed half-way; and the same by changing only URLs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use forebay_acceptance::client::Client;
use forebay_acceptance::programs::{forebay, run};
use forebay_contract::servers::memcached::Memcached;
use forebay_contract::servers::port;
use forebay_contract::servers::rabbitmq::RabbitMq;
use forebay_contract::servers::redis::{Keeps, Redis};

fn demo(more: &[&str]) {
    println!("{}", run(Command::new(forebay()).args(["demo", "--seconds", "8"]).args(more)));
}

#[test]
fn the_demo_loses_nothing_and_serves_nothing_stale_over_a_kill() {
    demo(&[]);
}

#[test]
fn nor_does_it_on_memcached_and_rabbitmq() {
    let nodes = [Memcached::start(), Memcached::start(), Memcached::start()];
    let hosts: Vec<_> = nodes.iter().map(|node| node.address.to_string()).collect();
    let store = format!("memcached://{}", hosts.join(","));
    let rabbitmq = RabbitMq::start();
    demo(&["--store", &store, "--broker", &rabbitmq.url()]);
}

#[test]
fn nor_does_it_on_redis_alone() {
    let redis = Redis::start(Keeps::Everything, &[]);
    let url = format!("redis://{}", redis.address);
    demo(&["--store", &url, "--broker", &url]);
}

#[test]
fn a_broker_that_is_away_is_named() {
    let away = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()));
    let broker = format!("amqp://{away}?wait_ms=500");
    let end =
        Client::start(Command::new(forebay()).args(["demo", "--seconds", "8", "--broker", &broker])).end();
    assert!(!end.status.success());
    assert!(end.complaints.contains(&away.to_string()), "{}", end.complaints);
}
