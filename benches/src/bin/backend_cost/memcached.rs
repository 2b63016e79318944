//! memcached: the store of `forebay-memcached-store` beside async-memcached.

use std::process::Command;
use std::sync::Arc;

use async_memcached::{AsciiProtocol, Client};
use forebay_benches::queue_servers::peer::Fallible;
use forebay_benches::server::{Address, Server};
use forebay_memcached_store::store::MemcachedStore;

use crate::sides::{Caller, Doing, Peer, Side, Store, VALUE};
use crate::through::{OurStore, Runs};

/// Starts the one on the path.
pub fn open(runs: &Runs) -> Fallible<Peer> {
    let address = Address::free();
    let Address::Tcp(tcp) = &address else { unreachable!("it is one of TCP") };
    let mut command = Command::new("memcached");
    command.args(["-l", "127.0.0.1", "-U", "0", "-u", "root", "-p", &tcp.port().to_string()]);
    let url = format!("memcached://{tcp}?timeout=20s");
    let dsn = format!("tcp://{tcp}");
    let server = Arc::new(Server::start(&mut command, address));
    let (store, work) = MemcachedStore::new(url.parse()?, runs.clock.clone())?;
    runs.start(work);
    let version = Command::new("memcached").arg("--version").output()?.stdout;
    println!(
        "- {}, `{}`; bare is async-memcached 0.9 with a connection for each caller, Forebay's two connections for all",
        String::from_utf8_lossy(&version).trim(),
        server.flags
    );
    let stores = vec![
        Side { name: "bare async-memcached", it: Arc::new(Bare(dsn)) as Arc<dyn Store> },
        Side { name: "Forebay", it: Arc::new(OurStore(Arc::new(store))) },
    ];
    Ok(Peer { name: "memcached", server, stores, queues: Vec::new(), jobs: Vec::new() })
}

struct Bare(String);

impl Store for Bare {
    fn caller(&self) -> Doing<'_, Box<dyn Caller>> {
        Box::pin(async { Ok(Box::new(BareCaller(Client::new(&self.0).await?)) as Box<dyn Caller>) })
    }
}

struct BareCaller(Client);

impl Caller for BareCaller {
    fn get<'a>(&'a mut self, key: &'a str) -> Doing<'a, ()> {
        Box::pin(async move {
            let found = self.0.get(key).await?.and_then(|value| value.data);
            found.filter(|data| data.len() == VALUE.len()).map(drop).ok_or("a miss".into())
        })
    }

    fn set<'a>(&'a mut self, key: &'a str) -> Doing<'a, ()> {
        Box::pin(async move { Ok(self.0.set(key, &VALUE[..], None, None).await?) })
    }
}
