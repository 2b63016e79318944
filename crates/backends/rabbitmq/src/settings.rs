//! Where the server is and how it is used, read from a URL.

use std::fmt;
use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use lapin::uri::{AMQPScheme, AMQPUri};
use url::Url;

/// What the queues are on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum QueueKind {
    /// Replicated, and synced to disk before anything is confirmed.
    #[default]
    Quorum,
    /// On one node.
    Classic,
}

/// How to reach and use a RabbitMQ: `amqp://user:password@host:port/vhost`, and behind a `?`, joined by `&`:
/// `queues=quorum` or `classic`, `prefix=` before the names of all queues, `prefetch=` most deliveries of a queue that
/// lie in this process, `wait_ms=` for the server while it is away, `heartbeat_s=`.
///
/// ```
/// use forebay_rabbitmq::settings::{QueueKind, RabbitSettings};
///
/// let settings = RabbitSettings::parse("amqp://till:secret@mq.example/%2f?queues=classic&prefix=shop.")?;
/// assert_eq!((settings.queues, settings.prefix.as_str()), (QueueKind::Classic, "shop."));
/// assert!(!format!("{settings:?}").contains("secret"));
/// # Ok::<(), forebay_core::error::Error>(())
/// ```
#[derive(Clone)]
pub struct RabbitSettings {
    pub(crate) uri: AMQPUri,
    /// What new queues are on the server.
    pub queues: QueueKind,
    /// Stands before the names of all queues on the server.
    pub prefix: String,
    /// Most deliveries of one queue, and of each of its priorities, in this process: held ones and those kept ready.
    pub prefetch: u16,
    /// How long a call waits for a server that is away, and for its answer.
    pub wait: Duration,
}

impl RabbitSettings {
    /// Reads a URL.
    pub fn parse(url: &str) -> Result<Self> {
        let refuse = |what: &str| Error::new(Kind::Invalid, "read URL of RabbitMQ", what.to_owned());
        // An `@` behind the first of these is part of a password that ends the authority too early: what stands before it would
        // be read as host and port, and the rest be told as a virtual host or an option.
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        if rest.split_once(['/', '?', '#']).is_some_and(|(_, behind)| behind.contains('@')) {
            return Err(refuse(
                "/, ? and # in a password are written %2F, %3F and %23, and elsewhere @ is %40",
            ));
        }
        let mut uri: AMQPUri =
            url.parse().map_err(|_| refuse("it is not of the form amqp://user@host/vhost"))?;
        if uri.scheme != AMQPScheme::AMQP {
            return Err(Error::new(Kind::Unsupported, "read URL of RabbitMQ", "amqps"));
        }
        uri.query.heartbeat = Some(limits::rabbitmq::HEARTBEAT_S);
        let mut settings = Self {
            uri,
            queues: QueueKind::default(),
            prefix: String::new(),
            prefetch: limits::rabbitmq::PREFETCH_DEFAULT,
            wait: limits::rabbitmq::WAIT_DEFAULT,
        };
        let parsed = Url::parse(url).map_err(|_| refuse("it is no URL"))?;
        for (name, value) in parsed.query_pairs() {
            // What is no name may be anything, a secret too.
            let is_name = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            let told = if is_name { &*name } else { "an option" };
            settings
                .set(&name, &value)
                .ok_or_else(|| refuse(&format!("{told} is not known or out of range")))?;
        }
        Ok(settings)
    }

    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "queues" => {
                self.queues =
                    [QueueKind::Quorum, QueueKind::Classic].into_iter().find(|k| k.name() == value)?
            }
            "prefix" => {
                let fits =
                    value.len() <= limits::rabbitmq::PREFIX_BYTES_MAX && !value.chars().any(char::is_control);
                self.prefix = fits.then(|| value.to_owned())?;
            }
            "prefetch" => self.prefetch = value.parse().ok().filter(|prefetch| *prefetch > 0)?,
            "wait_ms" => {
                let wait = Duration::from_millis(value.parse().ok()?);
                self.wait =
                    Some(wait).filter(|wait| *wait <= limits::rabbitmq::WAIT_MAX && !wait.is_zero())?;
            }
            "heartbeat_s" => {
                self.uri.query.heartbeat = Some(value.parse().ok().filter(|seconds| *seconds > 0)?);
            }
            _ => return None,
        }
        Some(())
    }

    /// Where it is, to be told in errors.
    pub(crate) fn address(&self) -> String {
        format!("at {}:{}", self.uri.authority.host, self.uri.authority.port)
    }
}

impl QueueKind {
    /// The word for it in the URL and on the server.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quorum => "quorum",
            Self::Classic => "classic",
        }
    }
}

/// Without the password.
impl fmt::Debug for RabbitSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitSettings")
            .field("address", &self.address())
            .field("user", &self.uri.authority.userinfo.username)
            .field("vhost", &self.uri.vhost)
            .field("queues", &self.queues)
            .field("prefix", &self.prefix)
            .field("prefetch", &self.prefetch)
            .field("wait", &self.wait)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_has_its_default() {
        let settings = RabbitSettings::parse("amqp://127.0.0.1:5673").unwrap();
        assert_eq!(settings.address(), "at 127.0.0.1:5673");
        assert_eq!((settings.queues, settings.prefix.as_str()), (QueueKind::Quorum, ""));
        assert_eq!(settings.uri.vhost, "/");
    }

    #[test]
    fn what_is_not_known_or_out_of_range_is_refused_by_name() {
        for (query, named) in [
            ("queues=stream", "queues"),
            ("prefetch=0", "prefetch"),
            ("wait_ms=0", "wait_ms"),
            ("heartbeat_s=x", "heartbeat_s"),
            ("fast=yes", "fast"),
        ] {
            let refused = RabbitSettings::parse(&format!("amqp://host/?{query}")).unwrap_err();
            assert_eq!(refused.kind(), Kind::Invalid);
            assert!(refused.to_string().contains(named), "{refused}");
        }
        let refused = RabbitSettings::parse("amqps://host").unwrap_err();
        assert_eq!(refused.kind(), Kind::Unsupported);
        assert!(RabbitSettings::parse("redis://host").is_err());
    }

    #[test]
    fn no_error_tells_the_password() {
        for url in [
            "amqp://user:secret@host/?fast=yes",
            "amqp://user:12/secret@host",
            "amqp://user:12?secret@host",
            "amqp://user:12#secret@host",
            "amqp://user:word@host/?secret%20is=1",
        ] {
            let refused = RabbitSettings::parse(url).unwrap_err();
            assert_eq!(refused.kind(), Kind::Invalid, "{url}");
            assert!(!format!("{refused} {refused:?}").contains("secret"), "{refused}");
        }
    }
}
