//! What a user may do in a virtual host, by the names of queues and exchanges, as RabbitMQ has it.

use regex::Regex;

/// Which names a permission is for: a regular expression that matches anywhere in them. An empty one matches only an empty
/// name, which is: nothing.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Reads it. The error says what is wrong.
    pub fn new(text: &str) -> Result<Self, String> {
        let text = if text.is_empty() { "^$" } else { text };
        Regex::new(text).map(Self).map_err(|reason| reason.to_string())
    }

    fn fits(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

/// What a user may do in one virtual host.
#[derive(Clone, Debug)]
pub struct Permissions {
    /// Which queues and exchanges it may declare and delete.
    pub configure: Pattern,
    /// Which exchanges it may publish to, and what it may bind.
    pub write: Pattern,
    /// Which queues it may consume from and purge, and which exchanges bind to.
    pub read: Pattern,
}

/// A kind of permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    Configure,
    Write,
    Read,
}

impl Permissions {
    /// Whether the right extends to what has this name.
    pub(crate) fn allow(&self, right: Right, name: &str) -> bool {
        match right {
            Right::Configure => &self.configure,
            Right::Write => &self.write,
            Right::Read => &self.read,
        }
        .fits(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_anywhere_unless_anchored_and_an_empty_one_nothing() {
        let pattern = |text| Pattern::new(text).unwrap();
        let permissions =
            Permissions { configure: pattern(""), write: pattern("^shop-"), read: pattern(".*") };
        assert!(!permissions.allow(Right::Configure, "shop-orders"));
        assert!(permissions.allow(Right::Write, "shop-orders"));
        assert!(!permissions.allow(Right::Write, "my shop-orders"));
        assert!(permissions.allow(Right::Read, "anything"));
        assert!(Pattern::new("(").is_err());
    }
}
