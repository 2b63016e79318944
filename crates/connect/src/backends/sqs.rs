//! SQS: queues that somebody else operates.

use super::table::{Backend, Built, Role};

pub(super) const BACKEND: Backend = Backend {
    name: "SQS",
    feature: "sqs",
    roles: &[Role::Broker],
    urls: &["sqs://key:secret@us-east-1"],
    tls: &[],
    built: built(),
};

#[cfg(not(feature = "sqs"))]
const fn built() -> Option<Built> {
    None
}

#[cfg(feature = "sqs")]
const fn built() -> Option<Built> {
    Some(Built { store: None, broker: Some(door::broker), bus: None })
}

#[cfg(feature = "sqs")]
mod door {
    use std::sync::Arc;

    use forebay_core::error::Result;
    use forebay_core::ports::clock::Clock;
    use forebay_sqs::broker::{Opened, SqsBroker};
    use forebay_sqs::settings::SqsSettings;

    use crate::open::OpenedBroker;

    pub(super) fn broker(url: &str, clock: Arc<dyn Clock>) -> Result<OpenedBroker> {
        let Opened { broker, work } = SqsBroker::open(SqsSettings::parse(url)?, clock);
        Ok(OpenedBroker::of(Arc::new(broker), work, SqsBroker::close))
    }
}
