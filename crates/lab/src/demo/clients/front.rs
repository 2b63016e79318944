//! The AMQP front in this process, on a log of its own: for the tests of whoever speaks to it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use forebay_amqp::{Options, Parts};
use forebay_broker::{BrokerOptions, EmbeddedBroker};
use forebay_core::health::Health;
use forebay_core::ports::clock::Clock;
use forebay_log::Disk;
use forebay_runtime::clock::TokioClock;
use forebay_runtime::tasks::Tasks;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::demo::daemon::Addresses;
use crate::demo::limits;

const FREE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A running front and what it runs on.
pub(super) struct Front {
    running: Running,
    addresses: watch::Sender<Addresses>,
    folder: TempDir,
}

struct Running {
    address: SocketAddr,
    broker: Arc<EmbeddedBroker>,
    fronts: Tasks,
    engines: Tasks,
    stop: watch::Sender<bool>,
}

impl Front {
    /// Starts one without queues.
    pub(super) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let running = Running::start(&folder);
        let addresses = Addresses { memcached: FREE, amqp: running.address, http: FREE };
        Self { running, addresses: watch::Sender::new(addresses), folder }
    }

    /// Ends it and starts another on the same log, at another address.
    pub(super) async fn restarted(self) -> Self {
        let Self { running, addresses, folder } = self;
        running.stop().await;
        let running = Running::start(&folder);
        addresses.send_modify(|addresses| addresses.amqp = running.address);
        Self { running, addresses, folder }
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.running.address
    }

    /// Where it listens, now and after each start.
    pub(super) fn addresses(&self) -> watch::Receiver<Addresses> {
        self.addresses.subscribe()
    }

    /// Ends it in good order.
    pub(super) async fn stop(self) {
        self.running.stop().await;
    }
}

impl Running {
    fn start(folder: &TempDir) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
        let health = Arc::new(Health::default());
        let disk = Arc::new(Disk::open(folder.path()).unwrap());
        let opened = forebay_broker::open(disk, BrokerOptions::default(), clock.clone()).unwrap();
        let (stop, stopped) = watch::channel(false);
        let parts = Parts {
            broker: opened.broker.clone(),
            clock,
            pressure: Arc::default(),
            health: health.clone(),
            version: env!("CARGO_PKG_VERSION"),
        };
        let bound = forebay_amqp::bind(Options::new(FREE), parts, stopped).unwrap();
        let address = bound.address();
        let tasks = || Tasks::new(Handle::current(), health.clone());
        let (fronts, engines) = (tasks(), tasks());
        engines.spawn_all(opened.work);
        fronts.spawn_all(bound.work());
        Self { address, broker: opened.broker, fronts, engines, stop }
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        let fronts = self.fronts.drain(limits::QUEUE_ANSWER_MAX).await;
        self.broker.close();
        let engines = self.engines.drain(limits::QUEUE_ANSWER_MAX).await;
        assert!(fronts.unfinished.is_empty() && engines.unfinished.is_empty(), "{fronts:?} {engines:?}");
    }
}
