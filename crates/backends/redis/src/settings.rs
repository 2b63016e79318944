//! Which servers, and how they are spoken to: read from a URL.

use std::fmt;
use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};
use tokio::time::Instant;

/// What the server must keep of what it has confirmed, before a broker trusts it with messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durable {
    /// Whatever it is set to. Messages may live in its memory alone.
    Any,
    /// `appendonly yes` and `appendfsync everysec`: a killed server loses nothing, a machine that loses power up to two seconds.
    EverySecond,
    /// `appendonly yes` and `appendfsync always`: what was confirmed is on its disk.
    Always,
}

/// How the servers stand to each other.
#[derive(Clone)]
pub(crate) enum Topology {
    One(ConnectionInfo),
    Sentinel { sentinels: Vec<ConnectionAddr>, master: String, login: RedisConnectionInfo },
    Cluster(Vec<ConnectionInfo>),
}

/// Where Redis is, and how it is used.
///
/// ```
/// use forebay_redis::settings::Settings;
///
/// let one = Settings::parse("redis://:secret@cache.example:6379/2?timeout_ms=300")?;
/// assert_eq!(format!("{one:?}"), "redis at cache.example:6379");
/// assert!(Settings::parse("redis+sentinel://a:26379,b:26379/main").is_ok());
/// assert!(Settings::parse("redis-cluster://a:7000,b:7000,c:7000?prefix=shop").is_ok());
/// # Ok::<(), forebay_core::error::Error>(())
/// ```
#[derive(Clone)]
pub struct Settings {
    pub(crate) topology: Topology,
    /// Begins all keys: what has another prefix on the same server is another store, broker and bus. `prefix=`, else `forebay`.
    pub(crate) prefix: String,
    /// The longest that a call takes once there is a connection. `timeout_ms=`, else 1 s.
    pub(crate) timeout: Duration,
    /// How long a broker's call waits for a connection while there is none; a store's does not wait. `patience_ms=`, else 5 s.
    pub(crate) patience: Duration,
    /// The least that a broker asks of the server. `durable=any|everysec|always`, else `everysec`.
    pub(crate) durable: Durable,
    /// Replicas that must have a message before its publish is confirmed. `replicas=`, else none.
    pub(crate) replicas: u32,
}

impl Settings {
    /// When a call that begins now and sends so many bytes must have its answer. All that it does ends then.
    pub(crate) fn end_of(&self, bytes: usize) -> Instant {
        let more = limits::redis::TIMEOUT_PER_MEBIBYTE.mul_f64(bytes as f64 / f64::from(1 << 20));
        Instant::now() + self.timeout + more
    }

    /// Reads `redis://[user:password@]host[:port][/db]`, `redis+sentinel://[user:password@]host:port,…/master[/db]` or
    /// `redis-cluster://[user:password@]host:port,…`. User and password are those of the servers; sentinels are asked without.
    ///
    /// Options, behind `?` and with `&` in between:
    /// - `prefix=`, else `forebay`, begins all keys: what has another prefix on the same server is another store, broker and bus
    /// - `timeout_ms=`, else 1000, is the longest that a call takes once there is a connection
    /// - `patience_ms=`, else 5000, is how long a broker's call waits for a connection while there is none; a store's does not wait
    /// - `durable=any|everysec|always`, else `everysec`, is the least that a broker asks of the server: see [`Durable`]
    /// - `replicas=`, else 0: so many must have a message before its publish is confirmed
    pub fn parse(url: &str) -> Result<Self> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| refuse("it has no scheme"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if path.contains('@') || query.contains('@') {
            // What stands there is part of a password and must not be told.
            return Err(refuse("/ and ? in a password are written %2F and %3F"));
        }
        let (login, hosts) =
            authority.rsplit_once('@').map_or((String::new(), authority), |(l, h)| (format!("{l}@"), h));
        let hosts: Vec<&str> = hosts.split(',').collect();
        if hosts.len() > limits::redis::NODES_MAX {
            return Err(refuse("it names more than 100 servers"));
        }
        let each = |database: &str, port: u16| -> Result<Vec<ConnectionInfo>> {
            hosts.iter().map(|host| read_host(&login, host, port, database)).collect()
        };
        let topology = match scheme {
            "redis" => match each(path, 6379)?.as_slice() {
                [one] => Topology::One(one.clone()),
                _ => {
                    return Err(refuse(
                        "redis:// names one server; several are redis-cluster:// or redis+sentinel://",
                    ));
                }
            },
            "redis+sentinel" => {
                let (master, database) = path.split_once('/').unwrap_or((path, ""));
                if master.is_empty() {
                    return Err(refuse("redis+sentinel:// names the master behind the first /"));
                }
                let infos = each(database, 26379)?;
                let login = infos.first().map(|info| info.redis_settings().clone()).unwrap_or_default();
                let sentinels = infos.iter().map(|info| info.addr().clone()).collect();
                Topology::Sentinel { sentinels, master: master.to_owned(), login }
            }
            "redis-cluster" if path.is_empty() => Topology::Cluster(each("", 6379)?),
            "redis-cluster" => return Err(refuse("a cluster has no databases")),
            "rediss" => {
                let what = "rediss:// needs TLS, which this build does not have";
                return Err(Error::new(Kind::Unsupported, "read URL of Redis", what));
            }
            _ => return Err(refuse("its scheme is none of redis, redis+sentinel, redis-cluster")),
        };
        let mut settings = Self {
            topology,
            prefix: "forebay".to_owned(),
            timeout: limits::redis::TIMEOUT_DEFAULT,
            patience: limits::redis::PATIENCE_DEFAULT,
            durable: Durable::EverySecond,
            replicas: 0,
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            settings.set(pair)?;
        }
        Ok(settings)
    }

    fn set(&mut self, pair: &str) -> Result<()> {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let number = || value.parse::<u32>().map_err(|_| refuse(&format!("{name} must be a number")));
        let time = || Ok(Duration::from_millis(number()?.into()));
        match name {
            "prefix" => {
                let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
                if value.is_empty()
                    || value.len() > limits::redis::PREFIX_BYTES_MAX
                    || !value.bytes().all(fits)
                {
                    return Err(refuse(
                        "prefix must be 1 to 64 letters, digits, dots, dashes and underscores",
                    ));
                }
                self.prefix = value.to_owned();
            }
            "timeout_ms" => self.timeout = time()?,
            "patience_ms" => self.patience = time()?,
            "replicas" => self.replicas = number()?,
            "durable" => {
                self.durable = match value {
                    "any" => Durable::Any,
                    "everysec" => Durable::EverySecond,
                    "always" => Durable::Always,
                    _ => return Err(refuse("durable must be any, everysec or always")),
                };
            }
            _ => return Err(refuse(&format!("it has no option {name}"))),
        }
        if self.timeout.is_zero()
            || self.timeout > limits::redis::TIMEOUT_MAX
            || self.patience > limits::redis::TIMEOUT_MAX
        {
            return Err(refuse("timeout_ms must be 1 to 60000, and patience_ms at most 60000"));
        }
        Ok(())
    }

    /// Whether the keys are spread over several servers.
    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.topology, Topology::Cluster(_))
    }

    /// Whether it is one server that no other takes over from.
    pub(crate) fn is_one(&self) -> bool {
        matches!(self.topology, Topology::One(_))
    }

    /// Where it is, without its secrets.
    pub(crate) fn place(&self) -> String {
        let list = |addresses: &mut dyn Iterator<Item = String>| addresses.collect::<Vec<_>>().join(",");
        match &self.topology {
            Topology::One(info) => info.addr().to_string(),
            Topology::Sentinel { sentinels, master, .. } => {
                format!("{master} of {}", list(&mut sentinels.iter().map(ToString::to_string)))
            }
            Topology::Cluster(nodes) => list(&mut nodes.iter().map(|node| node.addr().to_string())),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "redis at {}", self.place())
    }
}

fn read_host(login: &str, host: &str, port: u16, database: &str) -> Result<ConnectionInfo> {
    if host.is_empty() || host.contains(['/', '?', '#', '@']) {
        return Err(refuse("it names no server"));
    }
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let host = if has_port { host.to_owned() } else { format!("{host}:{port}") };
    // The client's reader knows how user, password and database are written. Its error could tell the password.
    format!("redis://{login}{host}/{database}")
        .into_connection_info()
        .map_err(|_| refuse("a server is not written as host:port, or its database is no number"))
}

fn refuse(what: &str) -> Error {
    Error::new(Kind::Invalid, "read URL of Redis", what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_topology_is_read() {
        let place = |url: &str| Settings::parse(url).unwrap().place();
        assert_eq!(place("redis://localhost"), "localhost:6379");
        assert_eq!(place("redis://user:pass@10.0.0.1:7/3"), "10.0.0.1:7");
        assert_eq!(place("redis+sentinel://a:1,b/main/2"), "main of a:1,b:26379");
        assert_eq!(place("redis-cluster://a:1,b:2"), "a:1,b:2");
        let Topology::One(info) = Settings::parse("redis://us%40er:p%2Fw@h/3").unwrap().topology else {
            panic!()
        };
        let login = info.redis_settings();
        assert_eq!((login.username(), login.password(), login.db()), (Some("us@er"), Some("p/w"), 3));
    }

    #[test]
    fn options_are_read_and_unknown_ones_are_refused() {
        let url = "redis://h?prefix=a.b&timeout_ms=20&patience_ms=0&durable=always&replicas=2";
        let settings = Settings::parse(url).unwrap();
        assert_eq!((settings.prefix.as_str(), settings.timeout), ("a.b", Duration::from_millis(20)));
        assert_eq!(
            (settings.durable, settings.replicas, settings.patience),
            (Durable::Always, 2, Duration::ZERO)
        );
        for bad in [
            "redis://h?colour=red",
            "redis://h?timeout_ms=0",
            "redis://h?timeout_ms=60001",
            "redis://h?prefix=a{b",
            "redis://a,b",
            "redis://",
            "redis-cluster://a/1",
            "redis+sentinel://a",
            "http://a",
            "a",
        ] {
            assert_eq!(Settings::parse(bad).unwrap_err().kind(), Kind::Invalid, "{bad}");
        }
        assert_eq!(Settings::parse("rediss://h").unwrap_err().kind(), Kind::Unsupported);
    }

    #[test]
    fn no_secret_is_shown() {
        let shown = format!("{:?}", Settings::parse("redis://user:secret@h").unwrap());
        assert!(!shown.contains("secret") && !shown.contains("user"), "{shown}");
        let refused = Settings::parse("redis://user:secret@h:x:y/z").unwrap_err();
        assert!(!format!("{refused} {refused:?}").contains("secret"));
        for bare in
            ["redis://user:123?secret@h", "redis://user:123?secret&b@h", "redis+sentinel://a:1/secret@h/main"]
        {
            let refused = Settings::parse(bare).unwrap_err();
            assert!(!format!("{refused} {refused:?}").contains("secret"), "{bare}");
        }
    }
}
