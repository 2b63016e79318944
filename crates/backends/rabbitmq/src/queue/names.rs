//! What a queue and what belongs to it are called on the server.

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::queue::QueueName;
use lapin::types::ShortString;

/// One of the server's queues that make up a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// Of an ordered queue: what is tried again, before all others of its key.
    Again,
    /// Messages of one priority; 0 is the queue that others know by the queue's name.
    Class(u8),
}

impl Lane {
    /// What comes from lower ranks is handed out first.
    pub(crate) fn rank(self) -> u8 {
        match self {
            Self::Again => 0,
            Self::Class(priority) => u8::MAX - priority,
        }
    }
}

/// The names of one queue.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    name: String,
    prefix: String,
}

impl Names {
    /// `Unsupported` where the server could not have a queue of that name.
    pub(crate) fn new(prefix: &str, queue: &QueueName) -> Result<Self> {
        let name = format!("{prefix}{queue}");
        if name.len() > limits::rabbitmq::NAME_BYTES_MAX || name.starts_with("amq.") {
            let context =
                format!("{queue}: a name with its prefix has at most 220 bytes and no amq. before it");
            return Err(Error::new(Kind::Unsupported, "name queue", context));
        }
        Ok(Self { name, prefix: prefix.to_owned() })
    }

    pub(crate) fn lane(&self, lane: Lane) -> ShortString {
        match lane {
            Lane::Class(0) => self.with(""),
            Lane::Class(priority) => self.with(&format!(".forebay.priority.{priority}")),
            Lane::Again => self.with(".forebay.again"),
        }
    }

    /// Where its settings are.
    pub(crate) fn record(&self) -> ShortString {
        self.with(".forebay.settings")
    }

    /// Whoever has this queue may read or write its settings.
    pub(crate) fn lock(&self) -> ShortString {
        self.with(".forebay.lock")
    }

    /// Whoever has this queue hands out its messages, where their order is kept.
    pub(crate) fn leader(&self) -> ShortString {
        self.with(".forebay.leader")
    }

    /// Where messages wait for 2^class milliseconds.
    pub(crate) fn wait(&self, class: u32) -> ShortString {
        self.with(&format!(".forebay.wait.{class}"))
    }

    /// The exchange by which messages come to the waiting queues of all queues.
    pub(crate) fn wait_exchange(&self) -> ShortString {
        short(format!("{}forebay.wait", self.prefix))
    }

    fn with(&self, suffix: &str) -> ShortString {
        short(format!("{}{suffix}", self.name))
    }
}

/// Names were checked to leave room for every suffix.
fn short(name: String) -> ShortString {
    ShortString::try_new(name).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_at_its_limit_leaves_room_for_all_that_belongs_to_it() {
        let at = QueueName::new(&"q".repeat(limits::rabbitmq::NAME_BYTES_MAX - 2)).unwrap();
        let names = Names::new("p.", &at).unwrap();
        let all = [
            names.lane(Lane::Again),
            names.lane(Lane::Class(255)),
            names.record(),
            names.lock(),
            names.leader(),
            names.wait(35),
        ];
        let different: std::collections::HashSet<_> = all.iter().map(|name| name.as_str()).collect();
        assert_eq!(different.len(), all.len());
        assert!(all.iter().all(|name| name.as_str().len() > at.as_str().len() + 2));
        let beyond = QueueName::new(&"q".repeat(limits::rabbitmq::NAME_BYTES_MAX - 1)).unwrap();
        assert_eq!(Names::new("p.", &beyond).unwrap_err().kind(), Kind::Unsupported);
        assert_eq!(Names::new("", &QueueName::new("amq.x").unwrap()).unwrap_err().kind(), Kind::Unsupported);
    }
}
