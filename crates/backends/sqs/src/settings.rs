//! Where SQS is and how it is used, read from a URL.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::sqs as limits;
use url::{Url, form_urlencoded};

/// How to reach and use SQS: `sqs://key:secret@region/account`, and behind a `?`, joined by `&`:
///
/// - `endpoint=` the URL of a server that speaks as SQS does; else the region's own;
/// - `prefix=` before the names of all queues;
/// - `claims=` a directory that all processes share, for payloads above what SQS takes; without it these are refused;
/// - `visibility_s=` after how long SQS hands out again what a process had that has died;
/// - `poll_s=` how long one request waits for messages, 0 to 20, and no longer than half of `visibility_s`; `pollers=` such requests of one queue at a time;
/// - `wait_ms=` for SQS while it is away; `timeout_ms=` for one answer.
///
/// Without `key:secret@` the environment says them, as for every program that uses SQS: `AWS_ACCESS_KEY_ID`,
/// `AWS_SECRET_ACCESS_KEY` and, if there is one, `AWS_SESSION_TOKEN`. In the URL they are percent-encoded. The account may be
/// left out.
///
/// ```
/// use forebay_sqs::settings::SqsSettings;
///
/// let settings = SqsSettings::parse("sqs://AKIAEXAMPLE:se%2Fcret@eu-central-1/123456789012?prefix=shop-")?;
/// assert_eq!((settings.region.as_str(), settings.prefix.as_str()), ("eu-central-1", "shop-"));
/// assert!(!format!("{settings:?}").contains("cret"));
/// # Ok::<(), forebay_core::error::Error>(())
/// ```
#[derive(Clone)]
pub struct SqsSettings {
    /// The region, such as `eu-central-1`.
    pub region: String,
    /// The account whose queues are used; `None` is that of the key.
    pub account: Option<String>,
    /// A server that speaks as SQS does.
    pub endpoint: Option<String>,
    /// Stands before the names of all queues.
    pub prefix: String,
    /// Where payloads lie that SQS does not take.
    pub claims: Option<PathBuf>,
    /// How long what was received stays hidden from others without another word from this process.
    pub visibility: Duration,
    /// How long one request waits for messages.
    pub poll: Duration,
    /// Such requests of one queue at a time.
    pub pollers: usize,
    /// How long a call waits for SQS while it is away.
    pub wait: Duration,
    /// How long one answer may take.
    pub timeout: Duration,
    pub(crate) key: Key,
}

/// Who asks.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) token: Option<String>,
}

impl SqsSettings {
    /// Reads a URL, and the environment for the key if the URL has none.
    pub fn parse(url: &str) -> Result<Self> {
        Self::parse_in(url, |name| std::env::var(name).ok())
    }

    fn parse_in(url: &str, environment: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let refuse = |what: &str| Error::new(Kind::Invalid, "read URL of SQS", what.to_owned());
        let parsed = Url::parse(url).map_err(|_| refuse("it is no URL"))?;
        if parsed.scheme() != "sqs" {
            return Err(refuse("it is not of the form sqs://key:secret@region/account"));
        }
        let region = parsed.host_str().filter(|region| is_plain(region));
        let region = region.ok_or_else(|| refuse("the region is missing, or is none"))?.to_owned();
        if parsed.port().is_some() {
            return Err(refuse(
                "a region has no port (in a key, what is no letter or digit is percent-encoded)",
            ));
        }
        let account = Some(parsed.path().trim_matches('/')).filter(|account| !account.is_empty());
        if account.is_some_and(|account| !account.bytes().all(|byte| byte.is_ascii_digit())) {
            return Err(refuse("an account is a number"));
        }
        let key = match (parsed.username(), parsed.password()) {
            ("", None) => Key {
                id: environment("AWS_ACCESS_KEY_ID")
                    .ok_or_else(|| refuse("it has no key, nor has the environment: AWS_ACCESS_KEY_ID"))?,
                secret: environment("AWS_SECRET_ACCESS_KEY")
                    .ok_or_else(|| refuse("the environment has no AWS_SECRET_ACCESS_KEY"))?,
                token: environment("AWS_SESSION_TOKEN").filter(|token| !token.is_empty()),
            },
            (id, Some(secret)) if !id.is_empty() => {
                Key { id: decode(id), secret: decode(secret), token: None }
            }
            _ => return Err(refuse("a key has an id and a secret")),
        };
        let mut settings = Self {
            region,
            account: account.map(str::to_owned),
            endpoint: None,
            prefix: String::new(),
            claims: None,
            visibility: limits::VISIBILITY_DEFAULT,
            poll: limits::POLL_MAX,
            pollers: limits::POLLERS_DEFAULT,
            wait: limits::WAIT_DEFAULT,
            timeout: limits::TIMEOUT_DEFAULT,
            key,
        };
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
        let seconds = || value.parse().ok().map(Duration::from_secs);
        let milliseconds = || value.parse().ok().map(Duration::from_millis);
        let waits = |time: &Duration| !time.is_zero() && *time <= limits::WAIT_MAX;
        match name {
            "endpoint" => {
                let endpoint = Url::parse(value).ok()?;
                // It is told in errors: a password would be, too.
                let bare = endpoint.username().is_empty() && endpoint.password().is_none();
                let fits = matches!(endpoint.scheme(), "http" | "https") && endpoint.has_host() && bare;
                self.endpoint = Some(fits.then(|| value.to_owned())?);
            }
            "prefix" => {
                // Two underscores begin what is no letter of SQS's names.
                let fits = value.len() <= limits::PREFIX_BYTES_MAX && (value.is_empty() || is_plain(value));
                self.prefix = (fits && !value.contains("__")).then(|| value.to_owned())?;
            }
            "claims" => self.claims = Some(value).filter(|path| !path.is_empty()).map(PathBuf::from),
            "visibility_s" => {
                let range = limits::VISIBILITY_MIN..=limits::VISIBILITY_MAX;
                self.visibility = seconds().filter(|time| range.contains(time))?;
            }
            "poll_s" => self.poll = seconds().filter(|time| *time <= limits::POLL_MAX)?,
            "pollers" => {
                let range = 1..=limits::POLLERS_MAX;
                self.pollers = value.parse().ok().filter(|pollers| range.contains(pollers))?;
            }
            "wait_ms" => self.wait = milliseconds().filter(waits)?,
            "timeout_ms" => self.timeout = milliseconds().filter(waits)?,
            _ => return None,
        }
        Some(())
    }

    /// How long one request waits for messages. When in that time SQS hands them out is not told, so they count as ours from when
    /// the request began: there must be time left.
    pub(crate) fn poll_wait(&self) -> Duration {
        self.poll.min(self.visibility / 2)
    }

    /// Where it is, to be told in errors.
    pub(crate) fn address(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => format!("at {endpoint}"),
            None => format!("in {}", self.region),
        }
    }
}

fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Percent-decoded; a plus sign, of which secrets are full, is itself.
fn decode(text: &str) -> String {
    let text = text.replace('+', "%2B").replace('&', "%26");
    form_urlencoded::parse(format!("v={text}").as_bytes()).map(|(_, value)| value.into_owned()).collect()
}

/// Without the key.
impl fmt::Debug for SqsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsSettings")
            .field("region", &self.region)
            .field("account", &self.account)
            .field("endpoint", &self.endpoint)
            .field("prefix", &self.prefix)
            .field("claims", &self.claims)
            .field("visibility", &self.visibility)
            .field("poll", &self.poll)
            .field("pollers", &self.pollers)
            .field("wait", &self.wait)
            .field("timeout", &self.timeout)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<SqsSettings> {
        SqsSettings::parse_in(url, |_| None)
    }

    #[test]
    fn the_key_is_the_urls_or_the_environments() {
        let settings = parse("sqs://id:a%2Fb+c%26d@eu-west-1/123").unwrap();
        assert_eq!((settings.key.id.as_str(), settings.key.secret.as_str()), ("id", "a/b+c&d"));
        assert_eq!(settings.account.as_deref(), Some("123"));
        let environment = |name: &str| Some(format!("of {name}"));
        let settings = SqsSettings::parse_in("sqs://eu-west-1", environment).unwrap();
        assert_eq!(settings.key.secret, "of AWS_SECRET_ACCESS_KEY");
        assert_eq!(settings.key.token.as_deref(), Some("of AWS_SESSION_TOKEN"));
        assert!(parse("sqs://eu-west-1").unwrap_err().to_string().contains("AWS_ACCESS_KEY_ID"));
        assert!(parse("sqs://id@eu-west-1").is_err());
    }

    #[test]
    fn what_is_not_known_or_out_of_range_is_refused_by_name() {
        for (query, named) in [
            ("endpoint=ftp://host", "endpoint"),
            ("endpoint=http://user:secret@host", "endpoint"),
            ("prefix=a.b", "prefix"),
            ("prefix=a__b", "prefix"),
            ("visibility_s=1", "visibility_s"),
            ("poll_s=21", "poll_s"),
            ("pollers=0", "pollers"),
            ("wait_ms=0", "wait_ms"),
            ("timeout_ms=x", "timeout_ms"),
            ("fast=yes", "fast"),
        ] {
            let refused = parse(&format!("sqs://id:secret@eu-west-1?{query}")).unwrap_err();
            assert_eq!(refused.kind(), Kind::Invalid);
            assert!(refused.to_string().contains(named), "{refused}");
            assert!(!refused.to_string().contains("secret"), "{refused}");
        }
        assert!(parse("redis://id:secret@host").is_err() && parse("sqs://id:secret@eu/shop").is_err());
    }

    #[test]
    fn nothing_tells_the_key() {
        let told = format!("{:?}", parse("sqs://id:secret@eu-west-1").unwrap());
        let refused = parse("sqs://id:secret@eu-west-1?fast=yes").unwrap_err();
        assert!(!format!("{told} {refused} {refused:?}").contains("secret"));
    }

    #[test]
    fn a_secret_that_is_not_written_as_it_must_be_is_not_repeated() {
        for url in ["sqs://id:123?S3cret@eu-west-1", "sqs://id:?S3cret@eu-west-1", "sqs://eu-west-1:99"] {
            let environment = |name: &str| Some(format!("of {name}"));
            let refused = SqsSettings::parse_in(url, environment).unwrap_err();
            assert_eq!(refused.kind(), Kind::Invalid, "{url}");
            assert!(!refused.to_string().contains("S3cret"), "{refused}");
        }
    }
}
