//! One call of a verb: its key, the connection it goes over, and the time it has.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::entry::Version;
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::MEMCACHED_GUEST_LIFE;
use forebay_core::ports::remote_store::{Changed, Shared};
use forebay_wire::memcached::reply::{Code, Marks};
use tokio::time::Instant;

use crate::commands::{Commands, Dialect, Entry, Numbered, Over, is_key};
use crate::greet::number_of;
use crate::life::exptime;
use crate::link::Link;
use crate::link::awaited::Received;
use crate::node::{Node, Remove, Trouble};
use crate::store::{Inner, Place};
use crate::there::{There, is_placeholder};

/// A call that has a connection.
pub(crate) struct Ask<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) link: Arc<Link>,
    inner: &'a Inner,
    operation: &'static str,
    place: Place,
    deadline: Instant,
    /// What was there before must not be served if it is not known whether the change has happened.
    invalidates: bool,
}

/// A change of a key of which it is not known whether it has happened, or still will: it ran out of time, its connection
/// ended or was not there, or whoever asked has given up.
pub(crate) struct Unanswered<'a> {
    node: &'a Node,
    key: Option<&'a [u8]>,
    remove: Remove,
}

impl Unanswered<'_> {
    /// It is not so.
    pub(crate) fn forget(mut self) {
        self.key = None;
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.node.miss(key, self.remove);
        }
    }
}

impl<'a> Ask<'a> {
    /// For a verb that leaves what is there, or whose change need not be undone where it is not known whether it has happened.
    /// An add is one: nothing was there that must not be served, and to remove the key would take away what somebody else has
    /// added. It may still happen after a later removal by another process, as its caller was told.
    pub(crate) async fn begin(inner: &'a Inner, operation: &'static str, key: &'a [u8]) -> Result<Self> {
        Self::begin_as(inner, operation, key, false).await
    }

    /// For a verb after which what was there before must never be served again.
    pub(crate) async fn begin_change(
        inner: &'a Inner,
        operation: &'static str,
        key: &'a [u8],
    ) -> Result<Self> {
        Self::begin_as(inner, operation, key, true).await
    }

    async fn begin_as(
        inner: &'a Inner,
        operation: &'static str,
        key: &'a [u8],
        invalidates: bool,
    ) -> Result<Self> {
        check_key(operation, key)?;
        let deadline = Instant::now() + inner.settings.timeout;
        let place = inner.place(&inner.cluster(), key);
        let place = place.ok_or_else(|| failed(operation, key, None, Trouble::Closed))?;
        if let Some(home) = place.home.as_ref().filter(|_| invalidates) {
            home.miss(key, Remove::Whatever);
        }
        let changed = invalidates.then_some(key);
        let unanswered = Unanswered { node: &place.node, key: changed, remove: Remove::Whatever };
        let link = place.node.link(Some(key), deadline).await;
        let link = link.map_err(|trouble| failed(operation, key, Some(&place.node), trouble))?;
        unanswered.forget();
        Ok(Self { key, link, inner, operation, place, deadline, invalidates })
    }

    /// The same over exactly this connection; `None` if it is no more.
    pub(crate) fn over(mut self, link: u64) -> Option<Self> {
        self.link = self.place.node.link_of(link)?;
        Some(self)
    }

    /// For a change that is not made again by whoever asks. Where another node stands in, what the key's own has is outdated
    /// by it, and must not come up again.
    pub(crate) fn outdates_home(&self) {
        if let Some(home) = &self.place.home {
            home.miss(self.key, Remove::Whatever);
        }
    }

    /// As long as this is not forgotten, a placeholder may be there that lives too long.
    pub(crate) fn placeholder_in_doubt(&self) -> Unanswered<'_> {
        Unanswered { node: &self.place.node, key: Some(self.key), remove: Remove::Placeholder }
    }

    pub(crate) fn commands(&self) -> Commands {
        self.place.node.commands(&self.link)
    }

    /// Sends commands that are each answered once, and returns the replies in their order.
    pub(crate) async fn send<const N: usize>(&self, commands: Commands) -> Result<[Received; N]> {
        self.all_understood(self.exchange(commands).await?)
    }

    /// The same with commands that write under a version number of ours, and with that number. Where the server numbers this
    /// key itself, they are said once more without one: nothing was written before.
    pub(crate) async fn send_numbered<const N: usize>(
        &self,
        say: impl Fn(&mut Commands, Numbered),
    ) -> Result<([Received; N], Numbered)> {
        let mut numbered = self.numbered();
        loop {
            let mut commands = self.commands();
            say(&mut commands, numbered);
            let replies = self.exchange(commands).await?;
            if numbered.0.is_some() && replies.iter().any(wants_no_number) {
                numbered = Numbered(None);
                continue;
            }
            return Ok((self.all_understood(replies)?, numbered));
        }
    }

    async fn exchange(&self, commands: Commands) -> Result<Vec<Received>> {
        let node = &self.place.node;
        let key = self.invalidates.then_some(self.key);
        let unanswered = Unanswered { node, key, remove: Remove::Whatever };
        let replies = node.call(&self.link, commands, self.deadline).await;
        let replies = replies.map_err(|trouble| failed(self.operation, self.key, Some(node), trouble))?;
        unanswered.forget();
        Ok(replies)
    }

    fn all_understood<const N: usize>(&self, replies: Vec<Received>) -> Result<[Received; N]> {
        let replies: Result<Vec<Received>> =
            replies.into_iter().map(|reply| self.understood(reply)).collect();
        replies?.try_into().map_err(|_| self.error(Kind::Unavailable))
    }

    /// The only one of them.
    pub(crate) async fn send_one(&self, commands: Commands) -> Result<Received> {
        let [reply] = self.send(commands).await?;
        Ok(reply)
    }

    fn understood(&self, reply: Received) -> Result<Received> {
        let text = || String::from_utf8_lossy(&reply.body).into_owned();
        let kind = match reply.code {
            Code::ServerError if contains(&reply.body, b"too large") => Kind::TooLarge,
            Code::ServerError if contains(&reply.body, b"out of memory") => Kind::Full,
            Code::ServerError => Kind::Unavailable,
            // Counting has an answer of this kind for what is no number.
            Code::ClientError if !contains(&reply.body, b"non-numeric") => Kind::Invalid,
            Code::Unknown => Kind::Unsupported,
            _ => return Ok(reply),
        };
        Err(self.error(kind).because(format!("{} said: {}", self.place.node.settings, text())))
    }

    /// What is there now.
    pub(crate) async fn look(&self) -> Result<There> {
        let mut commands = self.commands();
        commands.look(self.key);
        Ok(There::of(&self.send_one(commands).await?))
    }

    /// A life as it is sent.
    pub(crate) fn exptime(&self, life: Option<Duration>) -> i64 {
        let guest = self.place.home.is_some();
        let life = if guest { Some(life.unwrap_or(Duration::MAX).min(MEMCACHED_GUEST_LIFE)) } else { life };
        exptime(life, || self.inner.clock.now())
    }

    /// A version number of ours, where the server takes one.
    fn numbered(&self) -> Numbered {
        let takes_ours = self.link.dialect == Dialect::Meta { numbers_ours: true };
        Numbered(takes_ours.then(|| self.random()))
    }

    /// A number that nothing else has.
    pub(crate) fn random(&self) -> u64 {
        number_of(self.inner.clock.random())
    }

    /// Writes an entry, and says under which version it is there if it is.
    pub(crate) async fn write(&self, entry: Entry<'_>, over: Over) -> Result<Changed> {
        let (reply, version) = match self.link.dialect {
            Dialect::Meta { .. } => {
                let say = |commands: &mut Commands, numbered| commands.write(self.key, entry, over, numbered);
                let ([reply], _) = self.send_numbered(say).await?;
                let version = self.version(&reply.marks);
                (reply, version)
            }
            Dialect::Classic => {
                let mut commands = self.commands();
                commands.write(self.key, entry, over, Numbered(None));
                commands.look(self.key);
                let [reply, there] = self.send(commands).await?;
                let is_it = there.marks.flags == entry.flags && *there.body == *entry.value;
                // Somebody else may have come in between: then it has a version that nothing has.
                let marks = if is_it { there.marks } else { Marks::default() };
                (reply, self.version(&marks))
            }
        };
        match reply.code {
            Code::Hit => Ok(Changed::Done(version)),
            Code::Exists => Ok(Changed::Exists),
            Code::NotFound => Ok(Changed::NotFound),
            Code::NotStored => Ok(Changed::NotStored),
            _ => Err(self.error(Kind::Unavailable)),
        }
    }

    /// The server's number as callers see it.
    pub(crate) fn version(&self, marks: &Marks) -> Version {
        version(&self.link, marks)
    }

    /// And back.
    pub(crate) fn number(&self, version: Version) -> u64 {
        version.0 ^ self.link.mask
    }

    pub(crate) fn error(&self, kind: Kind) -> Error {
        Error::new(kind, self.operation, String::from_utf8_lossy(self.key))
    }
}

/// The server's number as callers see it.
pub(crate) fn version(link: &Link, marks: &Marks) -> Version {
    Version(marks.version.unwrap_or_default() ^ link.mask)
}

/// The entry of a reply; `None` for a key that has only a placeholder.
pub(crate) fn shared(link: &Link, reply: Received) -> Option<Shared> {
    let Received { marks, body, .. } = reply;
    let there = Shared { value: body, flags: marks.flags, version: version(link, &marks) };
    (!is_placeholder(&marks)).then_some(there)
}

/// An embedded Forebay gives the versions of keys that outlive its restart, and refuses those of others.
fn wants_no_number(reply: &Received) -> bool {
    reply.code == Code::ServerError && contains(&reply.body, b"leave out E")
}

pub(crate) fn check_key(operation: &'static str, key: &[u8]) -> Result<()> {
    if is_key(key) {
        return Ok(());
    }
    let key = String::from_utf8_lossy(key.get(..key.len().min(300)).unwrap_or_default());
    Err(Error::new(Kind::Invalid, operation, key.escape_debug().to_string()))
}

/// Why a call has no answer.
pub(crate) fn failed(operation: &'static str, key: &[u8], node: Option<&Node>, trouble: Trouble) -> Error {
    let (kind, what) = match trouble {
        Trouble::Away => (Kind::Unavailable, "is away"),
        Trouble::Late => (Kind::Unavailable, "did not answer in time"),
        Trouble::Unsupported => (Kind::Unsupported, "cannot be used"),
        Trouble::Closed => (Kind::Closed, "is closed"),
    };
    let error = Error::new(kind, operation, String::from_utf8_lossy(key));
    let Some(node) = node else { return error };
    let why = match trouble {
        Trouble::Away | Trouble::Unsupported => node.wanting(),
        Trouble::Late | Trouble::Closed => None,
    };
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    error.because(format!("memcached {} {what}{why}", node.settings))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
