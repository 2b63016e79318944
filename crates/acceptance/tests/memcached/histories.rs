//! Many clients at the same keys, in both protocols: what they saw has an order that explains it, no increment is lost, and what
//! only one can get only one gets. memcached is asked the same, so that it is known to be a fair question.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::thread;

use forebay_acceptance::front::Front;
use forebay_acceptance::memcached::history::{Plan, record};
use forebay_acceptance::memcached::packets::{Exchange, Packet};
use forebay_acceptance::programs::torture;
use forebay_acceptance::raw::Raw;
use forebay_contract::servers::memcached::Memcached;
use forebay_contract::store::linear::search::{Memory, explain};

const PLAN: Plan = Plan { seed: 0, clients: 4, calls: 150, keys: 3, grows: false };
const CLIENTS: usize = 8;

fn assert_explained(address: SocketAddr, histories: u64, plan: Plan) {
    for seed in 0..histories {
        let plan = Plan { seed, ..plan };
        for (key, clients) in record(address, plan).iter().enumerate() {
            if let Err(unexplained) = explain(clients, Memory::Keeps) {
                panic!("key {key} of {plan:?} at {address}: {unexplained:#?}");
            }
        }
    }
}

#[test]
fn what_clients_saw_has_an_order_that_explains_it() {
    let front = Front::start();
    assert_explained(front.address, if torture() { 5_000 } else { 100 }, PLAN);
}

#[test]
fn what_clients_of_memcached_saw_has_one_too() {
    let memcached = Memcached::start();
    assert_explained(memcached.address, 20, Plan { grows: true, ..PLAN });
}

/// What every client did, all at once.
fn all_at_once<T: Send>(act: impl Fn(usize) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let act = &act;
        let clients: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || act(number))).collect();
        clients.into_iter().map(|client| client.join().expect("a client does not panic")).collect()
    })
}

#[test]
fn counters_lose_no_increment() {
    const STEPS: usize = 2_000;
    let front = Front::start();
    Raw::connect(front.address).ask(b"set n 0 0 1\r\n0\r\n");
    let seen: Vec<u64> = all_at_once(|number| {
        if number % 2 == 0 {
            let mut raw = Raw::connect(front.address);
            let mut up = || {
                raw.send(b"incr n 1\r\n");
                raw.read_line().parse().unwrap()
            };
            (0..STEPS).map(|_| up()).collect::<Vec<u64>>()
        } else {
            let mut exchange = Exchange::connect(front.address);
            let up = Packet::new(0x05).key(b"n").extras(&[0, 1, 0, 0, u32::MAX]);
            let number = |value: Vec<u8>| u64::from_be_bytes(value.try_into().unwrap());
            (0..STEPS).map(|_| number(exchange.ask(&up).value)).collect()
        }
    })
    .concat();
    let different: BTreeSet<u64> = seen.iter().copied().collect();
    assert_eq!(different.len(), CLIENTS * STEPS, "two were shown the same number");
    assert_eq!(different.last(), Some(&((CLIENTS * STEPS) as u64)));
}

#[test]
fn an_add_has_one_winner() {
    const KEYS: usize = 1_000;
    let front = Front::start();
    let won = all_at_once(|number| {
        let mut raw = Raw::connect(front.address);
        let mut exchange = Exchange::connect(front.address);
        let mut add = |key: usize| match (number + key) % 3 {
            0 => {
                raw.send(format!("add k{key} 0 0 1\r\nx\r\n").as_bytes());
                raw.read_line() == "STORED"
            }
            1 => {
                raw.send(format!("ms k{key} 1 ME\r\nx\r\n").as_bytes());
                raw.read_line() == "HD"
            }
            _ => {
                let add = Packet::new(0x02).key(format!("k{key}").as_bytes()).extras(&[0, 0]).value(b"x");
                exchange.ask(&add).status == 0
            }
        };
        (0..KEYS).filter(|key| add(*key)).collect::<Vec<usize>>()
    })
    .concat();
    assert_eq!(won.len(), KEYS);
    assert_eq!(won.into_iter().collect::<BTreeSet<_>>().len(), KEYS);
}

#[test]
fn compare_and_set_loses_no_step() {
    const STEPS: u64 = 300;
    let front = Front::start();
    Raw::connect(front.address).ask(b"set n 0 0 1\r\n0\r\n");
    all_at_once(|_| {
        let mut raw = Raw::connect(front.address);
        let mut done = 0;
        while done < STEPS {
            raw.send(b"mg n v c\r\n");
            let head = raw.read_line();
            let (length, version) =
                head.strip_prefix("VA ").and_then(|words| words.split_once(" c")).unwrap();
            let body = raw.read_exactly(length.parse::<usize>().unwrap() + 2);
            let next = (String::from_utf8_lossy(&body).trim().parse::<u64>().unwrap() + 1).to_string();
            raw.send(format!("cas n 0 0 {} {version}\r\n{next}\r\n", next.len()).as_bytes());
            done += u64::from(raw.read_line() == "STORED");
        }
    });
    let total = (CLIENTS as u64 * STEPS).to_string();
    let shown = String::from_utf8(Raw::connect(front.address).ask(b"get n\r\n")).unwrap();
    assert!(shown.contains(&format!("\r\n{total}\r\n")), "{shown}");
}
