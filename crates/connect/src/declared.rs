//! What the backends of this build can do, as they declare it.

use std::sync::Arc;

use forebay_core::error::Result;
use forebay_core::ports::broker::{AdminCapabilities, BrokerCapabilities};
use forebay_core::ports::bus::BusCapabilities;
use forebay_core::ports::clock::Clock;
use forebay_core::ports::remote_store::RemoteCapabilities;

use crate::backends::{Built, TABLE};

/// A backend by one of its URLs.
#[derive(Clone, Copy, Debug)]
pub struct Declared {
    /// What its users call it.
    pub name: &'static str,
    /// A URL of it, as short as it can be.
    pub url: &'static str,
    /// What it can do as a store, at most.
    pub store: Option<RemoteCapabilities>,
    /// What it can do as a broker.
    pub broker: Option<BrokerCapabilities>,
    /// What its administration can do.
    pub admin: Option<AdminCapabilities>,
    /// What it can do as a bus.
    pub bus: Option<BusCapabilities>,
}

/// Every backend of this build, once for each of its schemes. It is opened for that and never run, so that no connection is
/// made; what a server is set to may take something away later.
pub fn declared(clock: &Arc<dyn Clock>) -> Result<Vec<Declared>> {
    let built = TABLE.iter().filter_map(|backend| Some((backend, backend.built?)));
    let each =
        built.flat_map(|(backend, built)| backend.urls.iter().map(move |url| (backend.name, built, *url)));
    each.map(|(name, Built { store, broker, bus }, url)| {
        let store = store.map(|open| open(url, Arc::clone(clock))).transpose()?;
        let broker = broker.map(|open| open(url, Arc::clone(clock))).transpose()?;
        let bus = bus.map(|open| open(url, Arc::clone(clock))).transpose()?;
        Ok(Declared {
            name,
            url,
            store: store.map(|opened| opened.at_most),
            broker: broker.as_ref().map(|opened| opened.broker.capabilities()),
            admin: broker.map(|opened| opened.admin.capabilities()),
            bus: bus.map(|opened| opened.bus.capabilities()),
        })
    })
    .collect()
}
