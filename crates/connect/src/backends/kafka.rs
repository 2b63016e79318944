//! Kafka: queues over consumer groups, with replay, and a bus on a topic.

use super::table::{Backend, Built, Role};

pub(super) const BACKEND: Backend = Backend {
    name: "Kafka",
    feature: "kafka",
    roles: &[Role::Broker, Role::Bus],
    urls: &["kafka://host"],
    tls: &["kafka+ssl", "kafkas"],
    built: built(),
};

#[cfg(not(feature = "kafka"))]
const fn built() -> Option<Built> {
    None
}

#[cfg(feature = "kafka")]
const fn built() -> Option<Built> {
    Some(Built { store: None, broker: Some(door::broker), bus: Some(door::bus) })
}

#[cfg(feature = "kafka")]
mod door {
    use std::sync::Arc;

    use forebay_core::error::Result;
    use forebay_core::ports::bus::tape::Kept;
    use forebay_core::ports::clock::Clock;
    use forebay_kafka::broker::{KafkaBroker, Opened};
    use forebay_kafka::bus::KafkaBus;
    use forebay_kafka::settings::KafkaSettings;

    use crate::open::{OpenedBroker, OpenedBus};

    pub(super) fn broker(url: &str, clock: Arc<dyn Clock>) -> Result<OpenedBroker> {
        let Opened { broker, work } = KafkaBroker::open(KafkaSettings::parse(url)?, clock);
        Ok(OpenedBroker::of(Arc::new(broker), work, KafkaBroker::close))
    }

    pub(super) fn bus(url: &str, clock: Arc<dyn Clock>) -> Result<OpenedBus> {
        let (bus, work) = KafkaBus::open(KafkaSettings::parse(url)?, Kept::default(), clock);
        Ok(OpenedBus::of(Arc::new(bus), work, KafkaBus::close))
    }
}
