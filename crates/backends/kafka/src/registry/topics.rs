//! Making a queue's topics, and taking over those that are there already.

use std::sync::Arc;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::kafka as limits;
use forebay_core::queue::{QueueName, QueueSettings, Retain};
use rdkafka::admin::{
    AdminOptions, AlterConfig, ConfigEntry, ConfigSource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tokio::time;

use super::DECLARE;
use crate::inner::Inner;
use crate::link::{Clients, refusal};
use crate::queue::names::Names;

/// What is said to Kafka of every topic of a queue: messages stay until they are finished, however long that takes.
const KEPT: [(&str, &str); 3] =
    [("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")];

/// A topic of a queue.
struct Topic {
    name: String,
    partitions: i32,
    /// Nothing goes with more of them, or fewer.
    exactly: bool,
}

/// The topics of one life of a queue.
fn topics(names: Names, settings: &QueueSettings, partitions: u16) -> Vec<Topic> {
    let retains = settings.retain != Retain::Nothing;
    let levels = i32::try_from(limits::WAIT_LEVELS.len()).unwrap_or(1);
    let main = if retains { 1 } else { i32::from(partitions) };
    let mut topics = vec![
        Topic { name: names.main, partitions: main, exactly: retains },
        Topic { name: names.wait, partitions: levels, exactly: true },
    ];
    if retains {
        topics.push(Topic { name: names.gone, partitions: 1, exactly: true });
    }
    topics
}

/// What is said to Kafka of a topic of a queue.
fn configuration() -> Vec<(&'static str, String)> {
    let sizes = [
        ("max.message.bytes", limits::MESSAGE_BYTES_MAX + 1024 * 1024),
        ("segment.bytes", limits::SEGMENT_BYTES),
    ];
    let kept = KEPT.into_iter().map(|(name, value)| (name, value.to_owned()));
    kept.chain(sizes.into_iter().map(|(name, bytes)| (name, bytes.to_string()))).collect()
}

/// All that is to be said of a topic that is there already; nothing where it is as it should be. `Err`: somebody has said
/// of it, and not the server of all topics, what would have messages removed that are not finished.
fn adopt(present: &[ConfigEntry]) -> std::result::Result<Vec<(String, String)>, String> {
    let said = present.iter().filter(|entry| entry.source == ConfigSource::DynamicTopic);
    let mut all: Vec<(String, String)> =
        said.filter_map(|entry| Some((entry.name.clone(), entry.value.clone()?))).collect();
    for (name, value) in KEPT {
        if let Some((_, present)) = all.iter().find(|(said, present)| said == name && present != value) {
            return Err(format!("{name} is {present}, not {value}"));
        }
    }
    let lacking: Vec<_> =
        configuration().into_iter().filter(|(name, _)| all.iter().all(|(said, _)| said != name)).collect();
    if lacking.is_empty() {
        return Ok(Vec::new());
    }
    all.extend(lacking.into_iter().map(|(name, value)| (name.to_owned(), value)));
    Ok(all)
}

impl Inner {
    /// Makes the topics of a queue that is known.
    pub(super) async fn make_topics(
        &self,
        clients: &Clients,
        settings: &QueueSettings,
        life: u64,
    ) -> Result<()> {
        let names = Names::new(&self.settings.prefix, &settings.name, life)?;
        let topics = topics(names, settings, self.settings.partitions);
        self.make(clients, &self.new_topics(&topics, &configuration()), DECLARE).await.map(drop)
    }

    /// Makes those of a queue that is not known. Others may have made some before, and Kafka itself for a program that has
    /// published to them: its own settings would drop messages that nobody has received.
    pub(super) async fn take_topics(
        &self,
        clients: &Arc<Clients>,
        settings: &QueueSettings,
        life: u64,
    ) -> Result<()> {
        let names = Names::new(&self.settings.prefix, &settings.name, life)?;
        let topics = topics(names, settings, self.settings.partitions);
        let there = self.make(clients, &self.new_topics(&topics, &configuration()), DECLARE).await?;
        for topic in topics.iter().filter(|topic| there.contains(&topic.name)) {
            loop {
                match self.adopt(clients, &settings.name, topic).await {
                    // It was made just now, and not all servers know it yet.
                    Err(error) if error.kind() == Kind::NotFound => time::sleep(limits::PAUSE).await,
                    adopted => break adopted?,
                }
            }
        }
        Ok(())
    }

    async fn adopt(&self, clients: &Arc<Clients>, queue: &QueueName, topic: &Topic) -> Result<()> {
        let name = topic.name.as_str();
        let refuse = |error: KafkaError| refusal(error, DECLARE, queue.as_str());
        let conflict = |what: String| {
            let context = format!("{queue}: topic {name} is there already, and {what}");
            Err(Error::new(Kind::Conflict, DECLARE, context))
        };
        let topics = [ResourceSpecifier::Topic(name)];
        let described =
            clients.admin.describe_configs(&topics, &self.admin_options()).await.map_err(refuse)?;
        let Some(described) = described.into_iter().next() else {
            return Err(Error::new(Kind::Unavailable, DECLARE, queue.as_str()));
        };
        let present = described.map_err(|code| refuse(KafkaError::AdminOp(code)))?;
        let (asked, known, wait) = (clients.clone(), topic.name.clone(), self.settings.wait);
        let metadata = self.blocking(DECLARE, move || asked.admin.inner().fetch_metadata(Some(&known), wait));
        let metadata = metadata.await?.map_err(refuse)?;
        let count = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
        if count == 0 {
            return Err(Error::new(Kind::NotFound, DECLARE, queue.as_str()));
        }
        if topic.exactly && i32::try_from(count).ok() != Some(topic.partitions) {
            return conflict(format!("has {count} partitions, not {}", topic.partitions));
        }
        let said = match adopt(&present.entries) {
            Err(what) => return conflict(format!("its {what}")),
            Ok(said) if said.is_empty() => return Ok(()),
            Ok(said) => said,
        };
        let altered = AlterConfig::new(ResourceSpecifier::Topic(name));
        let altered = said.iter().fold(altered, |altered, (name, value)| altered.set(name, value));
        for altered in clients.admin.alter_configs([&altered], &self.admin_options()).await.map_err(refuse)? {
            altered.map_err(|(_, code)| refuse(KafkaError::AdminOp(code)))?;
        }
        Ok(())
    }

    fn new_topics<'a>(&self, topics: &'a [Topic], said: &'a [(&str, String)]) -> Vec<NewTopic<'a>> {
        let topic = |topic: &'a Topic| {
            let new = NewTopic::new(&topic.name, topic.partitions, self.replication());
            said.iter().fold(new, |new, (name, value)| new.set(name, value))
        };
        topics.iter().map(topic).collect()
    }

    /// Makes topics that are not there yet, and says which were.
    pub(super) async fn make(
        &self,
        clients: &Clients,
        topics: &[NewTopic<'_>],
        operation: &'static str,
    ) -> Result<Vec<String>> {
        let context = || topics.first().map_or("", |topic| topic.name).to_owned();
        let made = clients.admin.create_topics(topics, &self.admin_options()).await;
        let mut there = Vec::new();
        for topic in made.map_err(|error| refusal(error, operation, context()))? {
            match topic {
                Ok(_) => {}
                Err((topic, Code::TopicAlreadyExists)) => there.push(topic),
                Err((_, code)) => return Err(refusal(KafkaError::AdminOp(code), operation, context())),
            }
        }
        Ok(there)
    }

    pub(crate) fn admin_options(&self) -> AdminOptions {
        let wait = Some(self.settings.wait);
        AdminOptions::new().request_timeout(wait).operation_timeout(wait)
    }

    pub(super) fn replication(&self) -> TopicReplication<'static> {
        // Kafka's word for its own default.
        TopicReplication::Fixed(self.settings.replication.map_or(-1, i32::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, value: &str, source: ConfigSource) -> ConfigEntry {
        let (name, value) = (name.to_owned(), Some(value.to_owned()));
        ConfigEntry { name, value, source, is_read_only: false, is_default: false, is_sensitive: false }
    }

    #[test]
    fn a_topic_that_was_made_with_the_servers_own_settings_gets_those_of_a_queue_beside_what_was_said_of_it()
    {
        let present = [
            entry("retention.ms", "604800000", ConfigSource::Default),
            entry("cleanup.policy", "compact", ConfigSource::StaticBroker),
            entry("compression.type", "zstd", ConfigSource::DynamicTopic),
            entry("segment.bytes", "1000000", ConfigSource::DynamicTopic),
        ];
        let said = adopt(&present).unwrap();
        for (name, value) in
            KEPT.into_iter().chain([("compression.type", "zstd"), ("segment.bytes", "1000000")])
        {
            assert!(said.contains(&(name.to_owned(), value.to_owned())), "{name}");
        }
        assert_eq!(said.len(), 6);
    }

    #[test]
    fn what_somebody_said_of_a_topic_is_not_changed_and_one_that_is_right_is_left_alone() {
        let said = [entry("retention.ms", "604800000", ConfigSource::DynamicTopic)];
        assert_eq!(adopt(&said).unwrap_err(), "retention.ms is 604800000, not -1");
        let ours = configuration();
        let ours: Vec<_> =
            ours.iter().map(|(name, value)| entry(name, value, ConfigSource::DynamicTopic)).collect();
        assert!(adopt(&ours).unwrap().is_empty());
    }
}
