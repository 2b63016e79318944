//! Every setting, declared once: its name, its kind, its default, how it is written and what it is for. The file's key,
//! the environment's variable, the flag and the help text all grow from this list.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forebay_amqp::access::user::Directory;
use forebay_bond::{Budget, Prefixes};
use forebay_connect::url::{BrokerUrl, StoreUrl};
use forebay_core::error::Result;
use forebay_core::limits;
use forebay_log::Damaged;
use tracing::level_filters::LevelFilter;

use super::value::{Derived, Expected, Size, Span, Switch, Value};

/// One setting, as help and loading need it.
pub(crate) struct Setting {
    /// `memory`: the key in the file; the flag and the variable are made from it.
    pub(crate) name: &'static str,
    /// What it is for.
    pub(crate) help: &'static str,
    /// How its value is written.
    pub(crate) shape: &'static str,
    /// Its default, written that way.
    pub(crate) default: fn() -> String,
}

impl Setting {
    /// `memcached-unix`.
    pub(crate) fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    /// `FOREBAY_MEMCACHED_UNIX`.
    pub(crate) fn variable(&self) -> String {
        format!("FOREBAY_{}", self.name.to_uppercase())
    }
}

macro_rules! settings {
    ($($name:ident: $kind:ty = $default:expr, $shape:literal, $help:literal;)+) => {
        /// What the daemon was told, or the defaults.
        #[derive(Clone, Debug)]
        pub(crate) struct Settings {
            $(#[doc = $help] pub(crate) $name: $kind,)+
            /// The users and virtual hosts of the AMQP front; only the file tells them.
            pub(crate) amqp_directory: Arc<Directory>,
        }

        impl Default for Settings {
            fn default() -> Self {
                Self { $($name: $default,)+ amqp_directory: Arc::default() }
            }
        }

        /// The list.
        pub(crate) const SETTINGS: &[Setting] = &[
            $(Setting {
                name: stringify!($name),
                help: $help,
                shape: $shape,
                default: || Value::show(&Settings::default().$name),
            },)+
        ];

        impl Settings {
            /// Sets one from its text. `None`: there is no such setting.
            pub(crate) fn set(&mut self, name: &str, text: &str) -> Option<std::result::Result<(), Expected>> {
                match name {
                    $(stringify!($name) => Some(Value::read(text).map(|value| self.$name = value)),)+
                    _ => None,
                }
            }
        }
    };
}

settings! {
    data: PathBuf = "forebay-data".into(),
        "DIR", "Directory of the queues; made if it is not there";
    store: StoreUrl = StoreUrl::default(),
        "URL", "Where cached entries are: memory: of this process, or a shared memcached:// or redis://, of which it then keeps copies for a second at most. In the file also [cache] store";
    broker: BrokerUrl = BrokerUrl::default(),
        "URL", "Where the queues of HTTP are: file:DIR, by default that of --data, or a shared amqp://, kafka://, redis:// or sqs://. AMQP stays on the queues of this process. In the file also [queue] broker";
    memcached: Switch<SocketAddr> = Switch::On(local(11211)),
        "ADDR|off", "Where to speak the memcached protocol; port 0 takes a free one";
    memcached_unix: Switch<PathBuf> = Switch::Off,
        "PATH|off", "Unix socket on which to speak it as well";
    memcached_threads: usize = forebay_memcached::Options::default().threads,
        "N", "Threads of its own for the memcached front, by default one a core and 4 at most; 0 shares the runtime's";
    memcached_connections_max: usize = limits::CONNECTIONS_DEFAULT,
        "N", "Connections of the memcached front";
    memcached_users: Switch<PathBuf> = Switch::Off,
        "FILE|off", "Who may use the memcached protocol: lines of name:password, as memcached's -Y has them; by SASL PLAIN on its binary form. off lets everybody in";
    memcached_idle: Switch<Span> = Switch::Off,
        "TIME|off", "How long a memcached connection may be silent before it is closed";
    memcached_buffers: Size = Size(limits::memcached::BUFFERS_BYTES_DEFAULT as u64),
        "SIZE", "Memory for half-read commands and half-sent answers of all its connections; one largest value always has room";
    http: Switch<SocketAddr> = Switch::On(local(8080)),
        "ADDR|off", "Where to speak HTTP; port 0 takes a free one";
    amqp: Switch<SocketAddr> = Switch::On(local(5672)),
        "ADDR|off", "Where to speak AMQP 0-9-1; port 0 takes a free one";
    memory: Size = Size(limits::memory::BYTES_DEFAULT as u64),
        "SIZE", "Memory for cached entries, keys and overhead included";
    warm_restart: bool = false,
        "true|false", "Whether a stop in good order leaves the cache to the next start, in the data directory";
    pinned: Prefixes = Prefixes::usual(),
        "PREFIX,…|off", "Keys that begin so are never forgotten before their time: durable before they are answered, and kept over kill -9";
    pinned_memory: Size = Size(limits::memory::PINNED_BYTES_DEFAULT),
        "SIZE", "Memory for pinned keys, beside all other memory; beyond it their writes are refused. On disk they take up to about twice that";
    value_bytes_max: Size = Size(limits::VALUE_BYTES_MAX_DEFAULT as u64),
        "SIZE", "Largest cached value";
    queue_disk: Size = Size(limits::log::DISK_BYTES_DEFAULT),
        "SIZE", "Disk for all queues; beyond it publishes are refused";
    queue_memory: Size = Size(limits::QUEUE_HOT_BYTES_DEFAULT as u64),
        "SIZE", "Memory for payloads that wait in queues; the rest is read from disk";
    memory_total: Derived = Derived::Auto,
        "SIZE|auto", "Memory for cache and queues together: as queues grow the cache shrinks, down to a quarter, then publishes are refused; auto adds room for some ten million messages to memory and queue-memory";
    segment_bytes: Size = Size(limits::log::SEGMENT_BYTES_DEFAULT as u64),
        "SIZE", "Size of one file of the commit log; a message must fit into one";
    damaged: Damaged = Damaged::Refuse,
        "refuse|set-aside", "What to do at the start with a damaged record of the commit log";
    drain: Span = Span(limits::DRAIN_DEFAULT),
        "TIME", "How long a stop waits for requests in progress";
    log: LevelFilter = LevelFilter::INFO,
        "LEVEL", "What to tell on standard error: off, error, warn, info, debug or trace";
}

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

impl Settings {
    /// The directory of what this process keeps.
    pub(crate) fn directory(&self) -> &Path {
        self.broker.directory().unwrap_or(&self.data)
    }

    /// How memory is shared out. `Invalid`: the total is less than its parts.
    pub(crate) fn budget(&self) -> Result<Budget> {
        Budget::new(self.memory_total.bytes(), self.memory.0, self.queue_memory.0)
    }

    /// Says which setting is outside its range, by its name.
    pub(crate) fn check(&self) -> std::result::Result<(), (&'static str, String)> {
        let (memory_min, value_max) =
            (limits::memory::BYTES_MIN as u64, limits::VALUE_BYTES_MAX_CEILING as u64);
        let within = |name, size: Size, min: u64, max: u64| {
            if (min..=max).contains(&size.0) {
                return Ok(());
            }
            let (min, max) = (Size(min).show(), Size(max).show());
            Err((name, format!("expected a size from {min} to {max}")))
        };
        if self.broker.directory().is_some_and(|directory| directory != self.data)
            && self.data != Self::default().data
        {
            return Err(("broker", "expected the directory that data names, or no data".into()));
        }
        if self.store.shared().is_some() && self.warm_restart {
            let why = "expected false, for copies of a shared store are never left to the next start";
            return Err(("warm_restart", why.into()));
        }
        within("memory", self.memory, memory_min, usize::MAX as u64 / 2)?;
        within("memcached_buffers", self.memcached_buffers, 0, usize::MAX as u64 / 2)?;
        within("value_bytes_max", self.value_bytes_max, 1, value_max)?;
        within("pinned_memory", self.pinned_memory, memory_min, usize::MAX as u64 / 4)?;
        within("queue_memory", self.queue_memory, 0, usize::MAX as u64 / 2)?;
        if self.budget().is_err() {
            let both = Size(self.memory.0 + self.queue_memory.0).show();
            return Err((
                "memory_total",
                format!("expected at least {both}, which is memory and queue_memory"),
            ));
        }
        // A segment larger than the batch that is written at once could not be filled by it.
        let segment_max = limits::log::PENDING_BYTES_MAX as u64;
        within("segment_bytes", self.segment_bytes, 1 << 20, segment_max)?;
        if !self.segment_bytes.0.is_multiple_of(8) {
            return Err(("segment_bytes", "expected a multiple of 8".into()));
        }
        let disk_min = limits::log::BROKER_SEGMENTS_MIN * self.segment_bytes.0;
        within("queue_disk", self.queue_disk, disk_min, u64::MAX)?;
        if self.memcached_threads > limits::LISTENER_THREADS_MAX {
            return Err(("memcached_threads", format!("expected at most {}", limits::LISTENER_THREADS_MAX)));
        }
        if self.memcached_connections_max == 0 {
            return Err(("memcached_connections_max", "expected at least 1".into()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_within_its_range_and_reads_back_from_its_text() {
        assert_eq!(Settings::default().check(), Ok(()));
        for setting in SETTINGS {
            let mut settings = Settings::default();
            let text = (setting.default)();
            assert_eq!(settings.set(setting.name, &text), Some(Ok(())), "{}", setting.name);
            assert_eq!(format!("{settings:?}"), format!("{:?}", Settings::default()), "{}", setting.name);
        }
    }

    #[test]
    fn one_name_makes_the_flag_and_the_variable() {
        let setting = SETTINGS.iter().find(|setting| setting.name == "memcached_unix").unwrap();
        assert_eq!(setting.flag(), "memcached-unix");
        assert_eq!(setting.variable(), "FOREBAY_MEMCACHED_UNIX");
    }

    #[test]
    fn a_setting_out_of_range_is_named() {
        for (name, text) in [
            ("memory", "1KiB"),
            ("value_bytes_max", "1GiB"),
            ("segment_bytes", "1KiB"),
            ("segment_bytes", "16777217"),
            ("queue_disk", "191MiB"),
            ("memory_total", "319MiB"),
            ("pinned_memory", "1KiB"),
            ("memcached_threads", "1000000"),
            ("memcached_connections_max", "0"),
            ("memcached_buffers", "16777215TiB"),
        ] {
            let mut settings = Settings::default();
            assert_eq!(settings.set(name, text), Some(Ok(())));
            assert_eq!(settings.check().map_err(|(name, _)| name), Err(name), "{text}");
        }
    }
}
