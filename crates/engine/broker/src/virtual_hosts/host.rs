//! One virtual host: its exchanges and bindings, and where the log has those that survive a restart.

use std::collections::HashMap;
use std::sync::Arc;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::queue::QueueName;
use forebay_log::Class;
use parking_lot::RwLock;

use super::routes::Routes;
use crate::records::Record;
use crate::routing::change::Change;
use crate::routing::topology::Topology;
use crate::storage::journal::{Journal, Stored};

/// All virtual hosts that have been used.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    by_name: RwLock<HashMap<Box<str>, Arc<RwLock<Host>>>>,
}

/// One virtual host.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) topology: Topology,
    routes: Routes,
    /// The sequence that makes all that was changed durable.
    pub(crate) last: u64,
}

impl Hosts {
    pub(crate) fn new(hosts: impl Iterator<Item = Host>) -> Self {
        let by_name = hosts.map(|host| (host.topology.vhost().into(), Arc::new(RwLock::new(host))));
        Self { by_name: RwLock::new(by_name.collect()) }
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<RwLock<Host>>> {
        self.by_name.read().get(name).cloned()
    }

    /// The virtual host of this name, which is there from now on.
    pub(crate) fn find_or_add(&self, name: &str) -> Result<Arc<RwLock<Host>>> {
        if let Some(host) = self.find(name) {
            return Ok(host);
        }
        let refuse = |kind, what| Err(Error::new(kind, "use virtual host", format!("{name}: {what}")));
        if name.len() > limits::VIRTUAL_HOST_NAME_BYTES_MAX {
            return refuse(Kind::Invalid, "a name has at most 255 bytes");
        }
        let mut by_name = self.by_name.write();
        if by_name.len() >= limits::VIRTUAL_HOSTS_MAX && !by_name.contains_key(name) {
            return refuse(Kind::Full, "too many virtual hosts");
        }
        let host = by_name.entry(name.into()).or_insert_with(|| Arc::new(RwLock::new(Host::new(name))));
        Ok(host.clone())
    }

    pub(crate) fn all(&self) -> Vec<Arc<RwLock<Host>>> {
        self.by_name.read().values().cloned().collect()
    }

    /// Their names in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.by_name.read().keys().map(|name| String::from(&**name)).collect();
        names.sort_unstable();
        names
    }
}

impl Host {
    fn new(name: &str) -> Self {
        Self { topology: Topology::new(name), routes: Routes::default(), last: 0 }
    }

    /// What recovery has found. Bindings that lead away from nothing, or to what `exists` says is not there, were left behind
    /// by damage, and are unbound.
    pub(crate) fn recovered(
        name: &str,
        mut routes: Routes,
        exists: impl Fn(&QueueName) -> bool,
        journal: &Journal,
    ) -> Result<Self> {
        let mut topology = Topology::new(name);
        routes.exchanges().for_each(|exchange| topology.apply(&Change::DeclareExchange(exchange.clone())));
        let has_ends = |topology: &Topology, change: &Change| match change {
            Change::Bind(binding) => topology.has_ends(binding, &exists),
            _ => true,
        };
        let bindings: Vec<_> = routes.bindings().map(|binding| Change::Bind(binding.clone())).collect();
        for change in bindings {
            match change {
                change if has_ends(&topology, &change) => topology.apply(&change),
                Change::Bind(binding) => {
                    let unbind = Change::Unbind(binding);
                    let bytes = unbind.encode(name);
                    journal
                        .append(&Record::Route { changes: bytes.iter().map(|bytes| &bytes[..]).collect() })?;
                    routes.apply(&unbind, None);
                }
                _ => {}
            }
        }
        routes.stored().for_each(|stored| journal.found(stored));
        Ok(Self { topology, routes, last: 0 })
    }

    /// Writes down what is durable of the changes, and makes them. What brings something has a record of its own, which can
    /// be carried forward; ends that follow each other are one, so that a crash takes all of them or none. After an error
    /// those are made that were written.
    pub(crate) fn make(&mut self, journal: &Journal, changes: &[Change]) -> Result<()> {
        changes.chunk_by(|one, other| !one.brings() && !other.brings()).try_for_each(|changes| {
            let encoded: Vec<_> = self.encode(changes);
            let record = Record::Route { changes: encoded.iter().map(|bytes| &bytes[..]).collect() };
            if !journal.fits(&record) && changes.len() > 1 {
                let (first, rest) = changes.split_at(changes.len() / 2);
                return self.make(journal, first).and_then(|()| self.make(journal, rest));
            }
            let mut stored = None;
            if encoded.is_empty() {
                // A restart forgets it.
            } else if changes.iter().any(Change::brings) {
                let brought = journal.append_body_as(Class::New, &record)?;
                self.last = brought.location.sequence;
                stored = Some(brought);
            } else {
                self.last = journal.append(&record)?.sequence;
            }
            self.apply(journal, changes, stored);
            Ok(())
        })
    }

    /// The bytes of those changes that survive a restart.
    pub(crate) fn encode(&self, changes: &[Change]) -> Vec<Vec<u8>> {
        changes.iter().filter_map(|change| change.encode(self.topology.vhost())).collect()
    }

    /// Makes changes that were written down as far as they must be; `stored` is where the one lies that brings something.
    pub(crate) fn apply(&mut self, journal: &Journal, changes: &[Change], stored: Option<Stored>) {
        for change in changes {
            self.topology.apply(change);
            self.routes.apply(change, stored).into_iter().for_each(|stored| journal.died(stored));
        }
    }

    /// Writes again what lies where `lies_there` says, of these changes or of all.
    pub(crate) fn carry(
        &mut self,
        journal: &Journal,
        among: Option<&Change>,
        lies_there: impl Fn(Stored) -> bool,
    ) -> Result<()> {
        let there: Vec<_> = match among {
            Some(change) => {
                self.routes.find(change).map(|stored| (change.clone(), stored)).into_iter().collect()
            }
            None => self.routes.all().collect(),
        };
        for (change, _) in there.into_iter().filter(|(_, stored)| lies_there(*stored)) {
            let encoded = self.encode(std::slice::from_ref(&change));
            let changes = encoded.iter().map(|bytes| &bytes[..]).collect();
            let stored = journal.append_body(&Record::Route { changes })?;
            self.routes.apply(&change, Some(stored)).into_iter().for_each(|stored| journal.died(stored));
        }
        Ok(())
    }

    /// Where the log has what lives of it.
    #[cfg(test)]
    pub(crate) fn stored(&self) -> impl Iterator<Item = Stored> {
        self.routes.stored()
    }
}
