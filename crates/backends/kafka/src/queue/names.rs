//! What a queue and what belongs to it are called in Kafka.

use std::fmt::Write;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::kafka as limits;
use forebay_core::queue::QueueName;

/// Which of a queue's topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Lane {
    /// What is ready, or will be soon: the topic that others know by the queue's name.
    Main,
    /// What waits, one partition for each level of waiting.
    Wait,
}

/// The names of one queue. What of a queue's name Kafka does not take, and the underscore, is written as an underscore and two
/// hexadecimal digits; what belongs to a queue is named with an underscore that no such digits follow. The second life of a
/// queue, and each later one, has its number behind its name.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) main: String,
    pub(crate) wait: String,
    /// Finished otherwise than by being done, of a queue that retains.
    pub(crate) gone: String,
}

impl Names {
    /// `Unsupported` where Kafka could not have a topic of that name.
    pub(crate) fn new(prefix: &str, queue: &QueueName, life: u64) -> Result<Self> {
        let mut main = topic(&format!("{prefix}{queue}"));
        if main.len() > limits::TOPIC_BYTES_MAX || main == "." || main == ".." {
            let context =
                format!("{queue}: a name, as Kafka takes it, has at most 220 bytes with its prefix");
            return Err(Error::new(Kind::Unsupported, "name queue", context));
        }
        if life > 1 {
            main.push_str(&format!("_-{life}"));
        }
        let (wait, gone) = (format!("{main}_-wait"), format!("{main}_-gone"));
        Ok(Self { main, wait, gone })
    }

    /// The group of all who receive from it.
    pub(crate) fn group(&self) -> &str {
        &self.main
    }

    /// The topic of this lane.
    pub(crate) fn lane(&self, lane: Lane) -> &str {
        match lane {
            Lane::Main => &self.main,
            Lane::Wait => &self.wait,
        }
    }
}

/// Where the settings of all queues with this prefix are.
pub(crate) fn registry(prefix: &str) -> String {
    format!("{}forebay_-queues", topic(prefix))
}

/// Where the notices of the bus with this prefix are.
pub(crate) fn bus(prefix: &str) -> String {
    format!("{}forebay_-bus", topic(prefix))
}

fn topic(name: &str) -> String {
    let mut topic = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-') {
            topic.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(topic, "_{byte:02x}");
        }
    }
    topic
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(queue: &str) -> Result<Names> {
        Names::new("p.", &QueueName::new(queue).unwrap(), 1)
    }

    #[test]
    fn names_that_kafka_takes_stay_as_they_are_and_others_are_told_apart() {
        assert_eq!(names("forebay.parked-2").unwrap().main, "p.forebay.parked-2");
        assert_eq!(names("a b_ä").unwrap().main, "p.a_20b_5f_c3_a4");
        assert_ne!(names("a_20b").unwrap().main, names("a b").unwrap().main);
        assert_ne!(names("q_-wait").unwrap().main, names("q").unwrap().wait);
        let again = Names::new("p.", &QueueName::new("q").unwrap(), 2).unwrap();
        assert_eq!((again.main.as_str(), again.wait.as_str()), ("p.q_-2", "p.q_-2_-wait"));
        assert_ne!(names("forebay_-queues").unwrap().main, registry("p."));
        assert_ne!(names("forebay_-bus").unwrap().main, bus("p."));
    }

    #[test]
    fn a_name_that_kafka_could_not_have_is_refused() {
        assert!(names(&"q".repeat(218)).is_ok());
        assert_eq!(names(&"q".repeat(219)).unwrap_err().kind(), Kind::Unsupported);
        assert_eq!(names(&"ä".repeat(60)).unwrap_err().kind(), Kind::Unsupported);
        assert!(Names::new("", &QueueName::new("..").unwrap(), 1).is_err());
    }
}
