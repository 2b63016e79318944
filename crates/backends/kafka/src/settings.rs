//! Where the servers are and how they are used, read from a URL.

use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::kafka as limits;
use url::form_urlencoded;

const READ: &str = "read URL of Kafka";

/// How to reach and use Kafka: `kafka://host:port,host:port`, and behind a `?`, joined by `&`: `prefix=` before the names of
/// all topics, `partitions=` and `replication=` of new queues, `wait_ms=` for servers that are away, `session_ms=` after which
/// the partitions of a process that has died go to others.
///
/// ```
/// use forebay_kafka::settings::KafkaSettings;
///
/// let settings = KafkaSettings::parse("kafka://one:9092,other:9092?prefix=shop.&partitions=8")?;
/// assert_eq!((settings.prefix.as_str(), settings.partitions), ("shop.", 8));
/// # Ok::<(), forebay_core::error::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct KafkaSettings {
    pub(crate) servers: String,
    /// Stands before the names of all topics and groups.
    pub prefix: String,
    /// Partitions of a new queue. So many processes can receive from it side by side, and order of arrival is kept within
    /// each. A queue that retains has one, whatever this says.
    pub partitions: u16,
    /// On how many servers a new queue is kept; `None` is what the servers say themselves.
    pub replication: Option<u16>,
    /// How long a call waits for servers that are away, and for their answers.
    pub wait: Duration,
    /// After so long without a sign of life a process's partitions go to others.
    pub session: Duration,
}

impl KafkaSettings {
    /// Reads a URL.
    pub fn parse(url: &str) -> Result<Self> {
        let refuse = |what: &str| Error::new(Kind::Invalid, READ, what.to_owned());
        let (place, options) = url.split_once('?').unwrap_or((url, ""));
        let servers = match place.split_once("://") {
            Some(("kafka", servers)) => servers.trim_end_matches('/'),
            Some(("kafka+ssl" | "kafkas", _)) => return Err(Error::new(Kind::Unsupported, READ, "TLS")),
            _ => return Err(refuse("it is not of the form kafka://host:port,host:port")),
        };
        // A password with a question mark in it looks like options.
        if url.contains('@') {
            let lacking = "user and password (elsewhere an @ is written %40)";
            return Err(Error::new(Kind::Unsupported, READ, lacking));
        }
        let servers: Vec<String> = servers
            .split(',')
            .map(server)
            .collect::<Option<_>>()
            .ok_or_else(|| refuse("it is not of the form kafka://host:port,host:port"))?;
        if servers.len() > limits::SERVERS_MAX {
            return Err(refuse("it names more than 100 servers"));
        }
        let mut settings = Self {
            servers: servers.join(","),
            prefix: String::new(),
            partitions: limits::PARTITIONS_DEFAULT,
            replication: None,
            wait: limits::WAIT_DEFAULT,
            session: limits::SESSION_DEFAULT,
        };
        for (name, value) in form_urlencoded::parse(options.as_bytes()) {
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
        let ms = || value.parse().ok().map(Duration::from_millis);
        match name {
            "prefix" => {
                let fits = value.len() <= limits::PREFIX_BYTES_MAX && !value.chars().any(char::is_control);
                self.prefix = fits.then(|| value.to_owned())?;
            }
            "partitions" => {
                let range = 1..=limits::PARTITIONS_MAX;
                self.partitions = value.parse().ok().filter(|count| range.contains(count))?;
            }
            "replication" => {
                self.replication = Some(value.parse().ok().filter(|count| *count > 0 && *count < 100)?);
            }
            "wait_ms" => self.wait = ms().filter(|wait| limits::WAIT_RANGE.contains(wait))?,
            "session_ms" => self.session = ms().filter(|session| limits::SESSION_RANGE.contains(session))?,
            _ => return None,
        }
        Some(())
    }

    /// Where they are, to be told in errors.
    pub(crate) fn address(&self) -> String {
        format!("at {}", self.servers)
    }
}

/// A server with its port.
fn server(text: &str) -> Option<String> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') => (host, port.parse().ok().filter(|port| *port > 0)?),
        Some(_) => return None,
        None => (text, 9092_u16),
    };
    let sound = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/');
    sound.then(|| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_have_kafkas_port_unless_they_say_another() {
        let settings = KafkaSettings::parse("kafka://one,other:1234,[::1]:7").unwrap();
        assert_eq!(settings.servers, "one:9092,other:1234,[::1]:7");
        assert_eq!(settings.partitions, limits::PARTITIONS_DEFAULT);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for url in [
            "kafka://",
            "kafka:///",
            "kafka://a,,b",
            "kafka://a:0",
            "kafka://a:x",
            "redis://a",
            "kafka",
            "kafka://a?partitions=0",
            "kafka://a?partitions=1001",
            "kafka://a?wait_ms=1",
            "kafka://a?session_ms=x",
            "kafka://a?replication=0",
            "kafka://a?other=1",
        ] {
            assert_eq!(KafkaSettings::parse(url).unwrap_err().kind(), Kind::Invalid, "{url}");
        }
    }

    #[test]
    fn what_is_lacking_is_refused_by_name_and_without_the_password() {
        for url in ["kafka://till:secret@a", "kafka://till:12?secret@a", "kafka+ssl://till:secret@a"] {
            let refused = KafkaSettings::parse(url).unwrap_err();
            assert_eq!(refused.kind(), Kind::Unsupported);
            assert!(!refused.to_string().contains("secret"));
        }
    }

    #[test]
    fn what_is_no_options_name_is_not_repeated() {
        let told = |url| KafkaSettings::parse(url).unwrap_err().to_string();
        assert!(told("kafka://a?other=1").contains("other is not known"));
        assert!(told("kafka://a?S3cret=1").contains("an option is not known"));
        let settings = KafkaSettings::parse("kafka://a?prefix=b%40c.").unwrap();
        assert_eq!(settings.prefix, "b@c.");
    }
}
