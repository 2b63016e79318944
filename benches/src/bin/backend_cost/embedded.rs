//! The embedded engine: the same job without a server, in this process and synced to this disk.

use std::path::Path;
use std::sync::Arc;

use forebay_benches::queue_servers::peer::Fallible;
use forebay_broker::BrokerOptions;
use forebay_log::Disk;

use crate::sides::{Jobs, Side};
use crate::through::{OurJobs, Runs};

/// Opens it in the folder.
pub async fn open(folder: &Path, runs: &Runs) -> Fallible<Side<dyn Jobs>> {
    let opened =
        forebay_broker::open(Arc::new(Disk::open(folder)?), BrokerOptions::default(), runs.clock.clone())?;
    runs.start(opened.work);
    println!(
        "- Forebay's engine in this process: its CPU is what a server does elsewhere; all is synced before it is \
         confirmed"
    );
    Ok(Side { name: "Forebay", it: Arc::new(OurJobs::declare(opened.broker, runs, "jobs").await?) })
}
