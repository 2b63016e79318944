//! RabbitMQ: queues, and a bus on a stream.

use super::table::{Backend, Built, Role};

pub(super) const BACKEND: Backend = Backend {
    name: "RabbitMQ",
    feature: "rabbitmq",
    roles: &[Role::Broker, Role::Bus],
    urls: &["amqp://host"],
    tls: &["amqps"],
    built: built(),
};

#[cfg(not(feature = "rabbitmq"))]
const fn built() -> Option<Built> {
    None
}

#[cfg(feature = "rabbitmq")]
const fn built() -> Option<Built> {
    Some(Built { store: None, broker: Some(door::broker), bus: Some(door::bus) })
}

#[cfg(feature = "rabbitmq")]
mod door {
    use std::sync::Arc;

    use forebay_core::error::Result;
    use forebay_core::ports::bus::tape::Kept;
    use forebay_core::ports::clock::Clock;
    use forebay_rabbitmq::broker::{Opened, RabbitBroker};
    use forebay_rabbitmq::bus::RabbitBus;
    use forebay_rabbitmq::settings::RabbitSettings;

    use crate::open::{OpenedBroker, OpenedBus};

    pub(super) fn broker(url: &str, clock: Arc<dyn Clock>) -> Result<OpenedBroker> {
        let Opened { broker, work } = RabbitBroker::open(RabbitSettings::parse(url)?, clock);
        Ok(OpenedBroker::of(Arc::new(broker), work, RabbitBroker::close))
    }

    pub(super) fn bus(url: &str, clock: Arc<dyn Clock>) -> Result<OpenedBus> {
        let (bus, work) = RabbitBus::open(RabbitSettings::parse(url)?, Kept::default(), clock);
        Ok(OpenedBus::of(Arc::new(bus), work, RabbitBus::close))
    }
}
