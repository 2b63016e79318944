//! The handle through which messages are published, received and settled.

use std::sync::Arc;

use forebay_core::error::Result;
use forebay_core::ports::broker::{Broker, BrokerCapabilities};
use forebay_core::ports::clock::Clock;
use forebay_core::queue::QueueSettings;

/// All queues of one broker, under the rules. A clone is the same queues.
#[derive(Clone)]
pub struct Queues {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Queues {
    /// The queues of `broker`, in the time of `clock`.
    pub fn new(broker: Arc<dyn Broker>, clock: Arc<dyn Clock>) -> Self {
        Self { broker, clock }
    }

    /// What their broker can do.
    pub fn capabilities(&self) -> BrokerCapabilities {
        self.broker.capabilities()
    }

    /// Declares a queue. `Ok`: it is durable with these settings. `Invalid` names the setting outside its range,
    /// `Unsupported` the one that the broker cannot keep, `Conflict` the one in which a queue of that name differs.
    pub async fn ensure(&self, settings: &QueueSettings) -> Result<()> {
        settings.check()?;
        self.broker.capabilities().check(settings)?;
        self.broker.ensure(settings).await
    }
}
