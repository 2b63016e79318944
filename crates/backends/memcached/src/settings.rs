//! Which nodes there are and how they are used, as a URL says it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::{
    MEMCACHED_LINKS_DEFAULT, MEMCACHED_LINKS_MAX, MEMCACHED_NODES_MAX, MEMCACHED_TIMEOUT_DEFAULT,
    MEMCACHED_TIMEOUT_MAX, MEMCACHED_WEIGHT_MAX,
};

/// Where memcached listens unless told otherwise.
const PORT_DEFAULT: u16 = 11_211;
const SCHEME: &str = "memcached://";

/// A shared memcached.
///
/// ```
/// use forebay_memcached_store::settings::{Failover, Settings};
///
/// let settings: Settings = "memcached://a,b:11212?timeout=250ms&connections=4".parse()?;
/// assert_eq!(settings.nodes[1].to_string(), "b:11212");
/// assert_eq!((settings.connections, settings.failover), (4, Failover::Fail));
/// # Ok::<(), forebay_core::error::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The nodes. Clients that name the same ones, in any order, find the same keys on them.
    pub nodes: Vec<NodeSettings>,
    /// How long a call may take (`timeout=250ms`).
    pub timeout: Duration,
    /// Connections to each node (`connections=2`).
    pub connections: usize,
    /// What becomes of the keys of a node that is away (`failover=fail` or `next`).
    pub failover: Failover,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeSettings {
    /// Its name or address; a path that begins with `/` is that of a unix socket.
    pub host: String,
    /// Its port; 0 for a unix socket.
    pub port: u16,
    /// How many keys it has in comparison with others (`weights=1,2`).
    pub weight: u32,
}

impl NodeSettings {
    /// Whether both name the same server.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (&self.host, self.port) == (&other.host, other.port)
    }
}

/// What becomes of the keys of a node that is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failover {
    /// Calls for them fail as unavailable until it is back. Nothing older is ever served.
    Fail,
    /// The next node has them meanwhile, for a few seconds each. Fills are not fenced then: processes that do not agree on
    /// whether the node is away see different entries.
    Next,
}

/// As keys are spread by it: two nodes with the same name are one.
impl fmt::Display for NodeSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.port, self.host.contains(':')) {
            (0, _) => f.write_str(&self.host),
            (port, true) => write!(f, "[{}]:{port}", self.host),
            (port, false) => write!(f, "{}:{port}", self.host),
        }
    }
}

impl FromStr for NodeSettings {
    type Err = Error;

    /// `host`, `host:port`, `[v6]:port` or `/path/of.socket`.
    fn from_str(text: &str) -> Result<Self> {
        let refused = || Error::new(Kind::Invalid, "read address of memcached node", text);
        if text.starts_with('/') {
            return Ok(Self { host: text.to_owned(), port: 0, weight: 1 });
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']').ok_or_else(refused)?;
                (
                    host,
                    if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or_else(refused)?) },
                )
            }
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(refused)?,
            None => PORT_DEFAULT,
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
        if host.is_empty() || !host.bytes().all(plain) {
            return Err(refused());
        }
        Ok(Self { host: host.to_owned(), port, weight: 1 })
    }
}

impl FromStr for Settings {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self> {
        let rest = url.strip_prefix(SCHEME).ok_or_else(|| invalid("it does not begin with memcached://"))?;
        // Wherever it stands: a password may have a `?` in it.
        if rest.contains('@') {
            return Err(Error::new(Kind::Unsupported, "read memcached URL", "with a user or password"));
        }
        let (nodes, query) = rest.split_once('?').unwrap_or((rest, ""));
        let nodes = nodes.split(',').map(|node| match node.starts_with('/') {
            true => node.parse(),
            false => node.trim_end_matches('/').parse(),
        });
        let mut settings = Self {
            nodes: nodes.collect::<Result<_>>()?,
            timeout: MEMCACHED_TIMEOUT_DEFAULT,
            connections: MEMCACHED_LINKS_DEFAULT,
            failover: Failover::Fail,
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            settings.set(name, value)?;
        }
        settings.check()?;
        Ok(settings)
    }
}

impl Settings {
    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let wrong = || invalid(format!("{name} cannot be {value:?}"));
        match name {
            "timeout" => self.timeout = duration(value).ok_or_else(wrong)?,
            "connections" => self.connections = value.parse().map_err(|_| wrong())?,
            "failover" => {
                self.failover = match value {
                    "fail" => Failover::Fail,
                    "next" => Failover::Next,
                    _ => return Err(wrong()),
                }
            }
            "weights" => {
                let weights: Vec<u32> = value
                    .split(',')
                    .map(str::parse)
                    .collect::<std::result::Result<_, _>>()
                    .map_err(|_| wrong())?;
                if weights.len() != self.nodes.len() {
                    return Err(invalid(format!("{} weights for {} nodes", weights.len(), self.nodes.len())));
                }
                self.nodes.iter_mut().zip(weights).for_each(|(node, weight)| node.weight = weight);
            }
            _ => return Err(invalid(format!("there is no option {name:?}"))),
        }
        Ok(())
    }

    /// Whether all that is set is within its limits.
    pub(crate) fn check(&self) -> Result<()> {
        if !(1..=MEMCACHED_LINKS_MAX).contains(&self.connections) {
            return Err(invalid(format!("connections can be 1 to {MEMCACHED_LINKS_MAX}")));
        }
        if self.timeout.is_zero() || self.timeout > MEMCACHED_TIMEOUT_MAX {
            return Err(invalid(format!("timeout can be up to {MEMCACHED_TIMEOUT_MAX:?}")));
        }
        check_nodes(&self.nodes)
    }
}

/// Whether these can be the nodes of one store.
pub(crate) fn check_nodes(nodes: &[NodeSettings]) -> Result<()> {
    if nodes.is_empty() || nodes.len() > MEMCACHED_NODES_MAX {
        return Err(invalid(format!("there can be 1 to {MEMCACHED_NODES_MAX} nodes")));
    }
    let mut names: Vec<String> = nodes.iter().map(NodeSettings::to_string).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() != nodes.len() {
        return Err(invalid("a node is named twice"));
    }
    if nodes.iter().any(|node| !(1..=MEMCACHED_WEIGHT_MAX).contains(&node.weight)) {
        return Err(invalid(format!("a weight can be 1 to {MEMCACHED_WEIGHT_MAX}")));
    }
    Ok(())
}

/// `250ms` or `2s`.
fn duration(text: &str) -> Option<Duration> {
    match text.strip_suffix("ms") {
        Some(ms) => ms.parse().ok().map(Duration::from_millis),
        None => text.strip_suffix('s')?.parse().ok().map(Duration::from_secs),
    }
}

fn invalid(why: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, "read memcached URL", why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Settings> {
        url.parse()
    }

    #[test]
    fn nodes_are_read_with_their_ports_and_weights() {
        let settings = read("memcached://a,10.0.0.2:1,[::1]:2,/run/m.sock?weights=1,2,3,4").unwrap();
        let told: Vec<String> = settings.nodes.iter().map(|node| format!("{node} {}", node.weight)).collect();
        assert_eq!(told, ["a:11211 1", "10.0.0.2:1 2", "[::1]:2 3", "/run/m.sock 4"]);
        assert_eq!(read("memcached:///run/m.sock").unwrap().nodes[0].port, 0);
        assert_eq!(read("memcached://a/").unwrap().nodes[0].to_string(), "a:11211");
    }

    #[test]
    fn options_are_read_and_have_defaults() {
        let settings = read("memcached://a?timeout=2s&connections=3&failover=next").unwrap();
        assert_eq!((settings.timeout, settings.connections), (Duration::from_secs(2), 3));
        assert_eq!(settings.failover, Failover::Next);
        let settings = read("memcached://a").unwrap();
        assert_eq!((settings.timeout, settings.failover), (MEMCACHED_TIMEOUT_DEFAULT, Failover::Fail));
    }

    #[test]
    fn what_is_wrong_is_refused_by_name() {
        for (url, why) in [
            ("redis://a", "memcached://"),
            ("memcached://", "address"),
            ("memcached://a,,b", "address"),
            ("memcached://a:0", "a:0"),
            ("memcached://a:x", "a:x"),
            ("memcached://a b", "a b"),
            ("memcached://[::1", "[::1"),
            ("memcached://a,a:11211", "twice"),
            ("memcached://a?weights=1,2", "2 weights for 1 nodes"),
            ("memcached://a?weights=0", "weight"),
            ("memcached://a?connections=0", "connections"),
            ("memcached://a?connections=65", "connections"),
            ("memcached://a?timeout=0ms", "timeout"),
            ("memcached://a?timeout=5", "timeout"),
            ("memcached://a?timeout=61s", "timeout"),
            ("memcached://a?failover=maybe", "failover"),
            ("memcached://a?colour=red", "colour"),
        ] {
            let error = read(url).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid, "{url}");
            assert!(error.to_string().contains(why), "{url}: {error}");
        }
    }

    #[test]
    fn a_password_is_refused_and_not_shown() {
        for url in [
            "memcached://user:secret@a",
            "memcached://user:12?secret@a",
            "memcached://user:12/secret@a",
            "memcached://user:12#secret@a",
            "memcached://user:12?timeout=secret@a",
        ] {
            let error = read(url).unwrap_err();
            assert_eq!(error.kind(), Kind::Unsupported);
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
