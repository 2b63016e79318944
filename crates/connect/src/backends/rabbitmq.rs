//! RabbitMQ: queues.

use super::table::{Backend, Built, Role};

pub(super) const BACKEND: Backend = Backend {
    name: "RabbitMQ",
    feature: "rabbitmq",
    roles: &[Role::Broker],
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
    Some(Built { store: None, broker: Some(door::broker), bus: None })
}

#[cfg(feature = "rabbitmq")]
mod door {
    use std::sync::Arc;

    use forebay_core::error::Result;
    use forebay_core::ports::clock::Clock;
    use forebay_rabbitmq::broker::{Opened, RabbitBroker};
    use forebay_rabbitmq::settings::RabbitSettings;

    use crate::open::OpenedBroker;

    pub(super) fn broker(url: &str, clock: Arc<dyn Clock>) -> Result<OpenedBroker> {
        let Opened { broker, work } = RabbitBroker::open(RabbitSettings::parse(url)?, clock);
        Ok(OpenedBroker::of(Arc::new(broker), work, RabbitBroker::close))
    }
}
