//! Where messages are: the engine of this process, another system, or both, since AMQP stays on the engine.

use std::sync::Arc;

use forebay_broker::{BrokerOptions, EmbeddedBroker, OpenedBroker};
use forebay_connect::open::{Close, open_broker};
use forebay_connect::watch::watch_broker;
use forebay_core::error::Result;
use forebay_core::health::Health;
use forebay_core::limits;
use forebay_core::ports::broker::BrokerAdmin;
use forebay_core::ports::clock::{Clock, Work};
use forebay_log::LogOptions;
use forebay_queue::queues::Queues;
use tokio::time::Instant;
use tracing::info;

use super::as_usize;
use super::directory::Directory;
use crate::config::settings::Settings;

/// The queues of HTTP, and what runs for them.
pub(super) struct Messages {
    pub(super) queues: Queues,
    pub(super) admin: Arc<dyn BrokerAdmin>,
    /// The engine of this process, where something is on it.
    pub(super) engine: Option<Arc<EmbeddedBroker>>,
    /// Closes a broker elsewhere.
    pub(super) close: Option<Close>,
    /// Keeps what is here.
    pub(super) work: Vec<Work>,
    /// Keeps connections to what is elsewhere.
    pub(super) connections: Vec<Work>,
    pub(super) background: Vec<Work>,
}

/// Recovers the engine's log, where there is an engine, and opens the broker that was named.
pub(super) fn open(
    settings: &Settings,
    directory: &mut Directory<'_>,
    clock: &Arc<dyn Clock>,
    health: &Arc<Health>,
) -> Result<Messages> {
    let Some(url) = settings.broker.shared() else {
        let OpenedBroker { broker, work, .. } = open_engine(settings, directory, clock)?;
        let queues = Queues::new(broker.clone(), Arc::clone(clock));
        let (admin, engine) = (broker.clone(), Some(broker));
        let (connections, background) = (Vec::new(), Vec::new());
        return Ok(Messages { queues, admin, engine, close: None, work, connections, background });
    };
    let opened = open_broker(url, Arc::clone(clock))?;
    let (queues, mut connections) = (Queues::new(opened.broker, Arc::clone(clock)), opened.work);
    if queues.capabilities().expired {
        connections.push(queues.expirer());
    }
    let (mut engine, mut work) = (None, Vec::new());
    if settings.amqp.on().is_some() {
        info!(broker = ?url, "HTTP has its queues there; AMQP stays on those of this process");
        let here = open_engine(settings, directory, clock)?;
        work.extend(here.work);
        engine = Some(here.broker);
    }
    let watch = watch_broker(Arc::clone(&opened.admin), Arc::clone(health), Arc::clone(clock));
    let (admin, close) = (opened.admin, Some(opened.close));
    Ok(Messages { queues, admin, engine, close, work, connections, background: vec![watch] })
}

/// The engine of this process. Its holds end by the rules, whoever has the queues of HTTP.
fn open_engine(
    settings: &Settings,
    directory: &mut Directory<'_>,
    clock: &Arc<dyn Clock>,
) -> Result<OpenedBroker> {
    let begun = Instant::now();
    let mut opened = forebay_broker::open(directory.open()?, options(settings), Arc::clone(clock))?;
    info!(recovered = ?opened.recovered, took = ?begun.elapsed(), "queues are open");
    opened.work.push(Queues::new(opened.broker.clone(), Arc::clone(clock)).expirer());
    Ok(opened)
}

fn options(settings: &Settings) -> BrokerOptions {
    BrokerOptions {
        log: LogOptions {
            // The settings are checked to fit; beyond four gigabytes there is nothing to lose.
            segment_bytes: u32::try_from(settings.segment_bytes.0).unwrap_or(u32::MAX),
            pending_bytes_max: limits::log::PENDING_BYTES_MAX,
            disk_bytes_max: settings.queue_disk.0,
            damaged: settings.damaged,
        },
        hot_bytes_max: as_usize(settings.queue_memory.0),
        ..BrokerOptions::default()
    }
}
