//! A URL as a user wrote it: read, and shown only without its secrets.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use forebay_core::error::{Error, Kind, Result};

use crate::backends::{Backend, Role, TABLE};

/// The longest scheme that is repeated to whoever wrote it; what is longer is something else.
const SCHEME_BYTES_MAX: usize = 32;

/// The URL of a backend. It is shown as its scheme and its hosts: never with user, password or options.
///
/// ```
/// use forebay_connect::url::StoreUrl;
///
/// # #[cfg(feature = "redis")] {
/// let url: StoreUrl = "redis://app:secret@cache.example:6379/2".parse().unwrap();
/// assert_eq!(format!("{url} {url:?}"), "redis://cache.example:6379 redis://cache.example:6379");
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    scheme: &'static str,
    text: String,
}

/// Where entries live.
///
/// ```
/// use forebay_connect::url::StoreUrl;
///
/// assert_eq!("memory:".parse::<StoreUrl>()?, StoreUrl::Memory);
/// let refused = "http://cache.example".parse::<StoreUrl>().unwrap_err();
/// assert!(refused.to_string().contains("memcached://"));
/// # Ok::<(), forebay_core::error::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub enum StoreUrl {
    /// `memory:`, that of this process.
    #[default]
    Memory,
    /// A backend that many processes share.
    Shared(Url),
}

/// Where messages live.
///
/// ```
/// use forebay_connect::url::BrokerUrl;
///
/// assert_eq!("file:".parse::<BrokerUrl>()?, BrokerUrl::File(None));
/// assert_eq!("file:/var/lib/shop".parse::<BrokerUrl>()?, BrokerUrl::File(Some("/var/lib/shop".into())));
/// # Ok::<(), forebay_core::error::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub enum BrokerUrl {
    /// `file:DIR`, the engine of this process in that directory; `file:` says nothing about which.
    File(Option<PathBuf>),
    /// A backend that many processes share.
    Shared(Url),
}

impl Default for BrokerUrl {
    fn default() -> Self {
        Self::File(None)
    }
}

impl Url {
    fn read(text: &str, role: Role, embedded: &str) -> Result<Self> {
        let refuse = |kind, of: &str, why: String| Error::new(kind, role.operation(), of).because(why);
        let scheme = text.split_once(':').map(|(scheme, _)| scheme).filter(|scheme| is_scheme(scheme));
        let has_tls = |backend: &Backend| {
            backend.roles.contains(&role) && scheme.is_some_and(|scheme| backend.tls.contains(&scheme))
        };
        if let (Some(scheme), true) = (scheme, TABLE.iter().any(has_tls)) {
            let why = "it needs TLS, which this build does not have".to_owned();
            return Err(refuse(Kind::Unsupported, &format!("{scheme}://"), why));
        }
        let Some(backend) = scheme.and_then(Backend::of).filter(|backend| backend.roles.contains(&role))
        else {
            let shown = scheme.map_or("without scheme".to_owned(), |scheme| format!("{scheme}:"));
            let known = TABLE.iter().filter(|backend| backend.roles.contains(&role));
            let known: Vec<_> =
                known.flat_map(Backend::schemes).map(|scheme| format!("{scheme}://")).collect();
            let why = format!("expected {embedded} or one of {}", known.join(", "));
            return Err(refuse(Kind::Invalid, &shown, why));
        };
        let known = backend.schemes().find(|known| scheme == Some(known)).unwrap_or_default();
        let shown = format!("{known}://");
        if !text.starts_with(&shown) {
            return Err(refuse(Kind::Invalid, &shown, format!("expected {shown} and hosts")));
        }
        if backend.built.is_none() {
            let why = format!("this build has no {shown}; build with the feature {}", backend.feature);
            return Err(refuse(Kind::Unsupported, &shown, why));
        }
        Ok(Self { scheme: known, text: text.to_owned() })
    }

    /// `redis+sentinel`.
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// How many hosts it names at most.
    pub(crate) fn hosts_max(&self) -> usize {
        let hosts = self.text.split_once('?').map_or(&*self.text, |(hosts, _)| hosts);
        hosts.matches(',').count() + 1
    }

    /// All of it, with its secrets, for the backend alone.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

fn is_scheme(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    !text.is_empty() && text.len() <= SCHEME_BYTES_MAX && text.bytes().all(fits)
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = self.text.split_once("://").map_or("", |(_, rest)| rest);
        let (hosts, behind) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        // Where an `@` comes later, a password with a slash in it may have been cut: then nothing is certain.
        let hosts = match behind.contains('@') {
            true => "…",
            false => hosts.rsplit_once('@').map_or(hosts, |(_, hosts)| hosts),
        };
        write!(f, "{}://{hosts}", self.scheme)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StoreUrl {
    /// The backend, unless it is the memory of this process.
    pub fn shared(&self) -> Option<&Url> {
        match self {
            Self::Memory => None,
            Self::Shared(url) => Some(url),
        }
    }
}

impl FromStr for StoreUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "memory:" => Ok(Self::Memory),
            _ => Url::read(text, Role::Store, "memory:").map(Self::Shared),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Shared(url) => url.fmt(f),
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl BrokerUrl {
    /// The backend, unless it is the engine of this process.
    pub fn shared(&self) -> Option<&Url> {
        match self {
            Self::File(_) => None,
            Self::Shared(url) => Some(url),
        }
    }

    /// The directory that it names for the engine of this process.
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Self::File(directory) => directory.as_deref(),
            Self::Shared(_) => None,
        }
    }
}

impl FromStr for BrokerUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let Some(path) = text.strip_prefix("file:") else {
            return Url::read(text, Role::Broker, "file:DIR").map(Self::Shared);
        };
        let path = match path.strip_prefix("//") {
            None => path,
            Some(path) if path.starts_with('/') => path,
            Some(_) => {
                let why = "expected file:DIR; behind file:// there is no host, so a third slash must follow";
                return Err(Error::new(Kind::Invalid, Role::Broker.operation(), "file:").because(why));
            }
        };
        Ok(Self::File((!path.is_empty()).then(|| path.into())))
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(None) => f.write_str("file:"),
            Self::File(Some(directory)) => write!(f, "file:{}", directory.display()),
            Self::Shared(url) => url.fmt(f),
        }
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused<T: FromStr<Err = Error> + fmt::Debug>(text: &str) -> Error {
        text.parse::<T>().unwrap_err()
    }

    #[test]
    fn an_unknown_scheme_is_refused_with_those_that_are_known() {
        let error = refused::<StoreUrl>("etcd://a");
        assert_eq!(error.kind(), Kind::Invalid);
        assert_eq!(
            error.to_string(),
            "open store etcd:: invalid (expected memory: or one of memcached://, redis://, redis+sentinel://, \
             redis-cluster://)"
        );
        let error = refused::<BrokerUrl>("memcached://a");
        assert!(error.to_string().contains("expected file:DIR or one of redis://"), "{error}");
    }

    #[test]
    fn tls_is_refused_by_name() {
        for scheme in ["amqps", "kafka+ssl", "kafkas", "rediss"] {
            let error = refused::<BrokerUrl>(&format!("{scheme}://u:secret@h"));
            assert_eq!(error.kind(), Kind::Unsupported);
            let told = error.to_string();
            assert!(told.contains(scheme) && told.contains("TLS") && !told.contains("secret"), "{told}");
        }
        assert_eq!(refused::<StoreUrl>("rediss://h").kind(), Kind::Unsupported);
        assert_eq!(refused::<StoreUrl>("amqps://h").kind(), Kind::Invalid);
    }

    #[test]
    fn what_this_build_lacks_is_refused_by_the_feature_that_brings_it() {
        let lacking: Vec<_> = TABLE.iter().filter(|backend| backend.built.is_none()).collect();
        assert_eq!(lacking.iter().any(|backend| backend.feature == "redis"), cfg!(not(feature = "redis")));
        for backend in lacking {
            for url in backend.urls {
                let error = match backend.roles.contains(&Role::Store) {
                    true => refused::<StoreUrl>(url),
                    false => refused::<BrokerUrl>(url),
                };
                assert_eq!(error.kind(), Kind::Unsupported, "{url}");
                let advice = format!("build with the feature {}", backend.feature);
                assert!(error.to_string().contains(&advice), "{error}");
            }
        }
    }

    #[test]
    fn no_secret_is_shown() {
        for (text, shown) in [
            ("redis://user:secret@h:1/2?prefix=secret", "redis://h:1"),
            ("redis://:se/cret@h", "redis://…"),
            ("redis://h/?x=secret@y", "redis://…"),
            ("redis://a:secret@b@h,h2", "redis://h,h2"),
            ("redis://h#secret", "redis://h"),
            ("redis://", "redis://"),
        ] {
            let url = Url { scheme: "redis", text: text.to_owned() };
            assert_eq!(format!("{url}"), shown);
            assert_eq!(format!("{url:?}"), shown);
        }
        for text in ["secret", "sec ret://h", "redis:secret@h", "user:secret@h"] {
            let error = refused::<StoreUrl>(text);
            assert!(!format!("{error} {error:?}").contains("secret"), "{text}: {error}");
        }
    }

    #[test]
    fn a_directory_is_read_with_and_without_slashes() {
        let read = |text: &str| text.parse::<BrokerUrl>().unwrap().directory().map(Path::to_path_buf);
        assert_eq!(read("file:data"), Some("data".into()));
        assert_eq!(read("file:///data"), Some("/data".into()));
        assert_eq!(read("file:"), None);
        assert_eq!(refused::<BrokerUrl>("file://host/data").kind(), Kind::Invalid);
    }
}
