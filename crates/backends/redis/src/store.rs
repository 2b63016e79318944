//! The port `RemoteStore` on Redis: each verb is one script or command, and so one step for the server. Only the tags of an
//! entry that a plain write replaces are left in a step behind it.

mod entry;
mod plain;
mod reads;
mod scripts;
mod writes;

use std::borrow::Borrow;
use std::sync::Arc;
use std::time::Duration;

use forebay_core::entry::{Mode, Step, Version};
use forebay_core::error::{Kind, Result};
use forebay_core::limits;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::clock::{Clock, Run, Work};
use forebay_core::ports::remote_store::{
    Addition, Asked, Changed, Fill, Filled, Grant, Put, RemoteCapabilities, RemoteStore, Shared, Sum,
};
use futures_util::future::{join_all, join3};
use redis::{Cmd, Value};
use tokio::time::Instant;

use self::entry::Name;
use self::reads::{Found, Reads};
use self::scripts::Scripts;
use self::writes::Writes;
use crate::cluster::places::Places;
use crate::connect::History;
use crate::link::{About, Link};
use crate::script::{Call, Script, strange};
use crate::settings::Settings;

/// A shared store on Redis.
///
/// A lease is an entry of its own, stamped with the history of the server that granted it: a fill is stored only over exactly
/// this lease and only in that history, so no restart, fail-over, eviction or flush lets an older value in. Values are stamped as
/// well, and missing in another history: with it what had invalidated them may be lost.
pub struct RedisStore {
    settings: Settings,
    places: Places,
    /// Where one server has all keys.
    together: Option<Together>,
    clock: Arc<dyn Clock>,
    scripts: Scripts,
}

/// Calls of different callers that go together.
struct Together {
    reads: Reads,
    writes: Writes,
}

/// A store on these servers. It is of use once the work runs; until it has connected, calls are `Unavailable` at once.
pub fn open(settings: Settings, clock: Arc<dyn Clock>) -> (Arc<RedisStore>, Work) {
    let (places, mut work) = Places::new(&settings, clock.clone());
    let mut together = None;
    if let (Places::One(link), Run::Task(task)) = (&places, &mut work.run) {
        let (reads, reading) = Reads::new(link.clone());
        let (writes, writing) = Writes::new(link.clone());
        together = Some(Together { reads, writes });
        let connection = std::mem::replace(task, Box::pin(async {}));
        *task = Box::pin(async move {
            join3(connection, reading.serve(), writing.serve()).await;
        });
    }
    (Arc::new(RedisStore { settings, places, together, clock, scripts: Scripts::new() }), work)
}

impl RedisStore {
    /// Ends the connection, and the work. Every call is `Closed` from now on.
    pub fn close(&self) {
        self.places.close();
    }

    /// Is ready once connections stand to all servers, `Unavailable` after so long.
    pub async fn ready(&self, patience: Duration) -> Result<()> {
        let place = self.settings.place();
        self.places.stand(About { operation: "reach Redis", on: &place }, patience).await
    }

    /// What this store can have at most, known without a connection: what the server is set to may take tags and locks away.
    pub fn capabilities_at_most(&self) -> RemoteCapabilities {
        RemoteCapabilities {
            tags: !self.settings.is_cluster(),
            locks: self.settings.is_one(),
            ..self.capabilities()
        }
    }

    fn name_of<'a>(&'a self, key: &'a [u8]) -> Name<'a> {
        Name { prefix: &self.settings.prefix, key }
    }

    fn key_of(&self, key: &[u8]) -> Vec<u8> {
        self.name_of(key).to_bytes()
    }

    fn tags_begin(&self) -> Vec<u8> {
        [self.settings.prefix.as_bytes(), b":t:"].concat()
    }

    /// The counter of versions. A cluster has none that all keys could share: there the time has to do.
    fn counter(&self) -> Option<Vec<u8>> {
        (!self.settings.is_cluster()).then(|| [self.settings.prefix.as_bytes(), b":v"].concat())
    }

    async fn run(
        &self,
        about: About<'_>,
        script: &Script,
        keys: &[&[u8]],
        arguments: &[&[u8]],
    ) -> Result<Value> {
        let bytes = keys.iter().chain(arguments).map(|part| part.len()).sum();
        self.run_until(about, script, keys, arguments, self.settings.end_of(bytes)).await
    }

    async fn run_until(
        &self,
        about: About<'_>,
        script: &Script,
        keys: &[&[u8]],
        arguments: &[&[u8]],
        end: Instant,
    ) -> Result<Value> {
        let run = |link: Arc<Link>| async move {
            let standing = link.standing(about)?;
            let history = standing.facts.history;
            let arguments = [arguments, &[&history.0]].concat();
            let call = Call { about, end: Some(end), keys, arguments: &arguments };
            script.run_on(&link, standing, call).await
        };
        self.places.at(about, keys.first().copied().unwrap_or_default(), end, run).await
    }

    /// Runs a script that changes one key and counts versions.
    async fn change(
        &self,
        about: About<'_>,
        script: &Script,
        key: &[u8],
        more_keys: &[Vec<u8>],
        arguments: &[&[u8]],
    ) -> Result<Value> {
        let (entry, counter) = (self.key_of(key), self.counter());
        let mut keys = vec![entry.as_slice()];
        keys.extend(counter.as_deref());
        keys.extend(more_keys.iter().map(Vec::as_slice));
        self.run(about, script, &keys, arguments).await
    }

    async fn put_by_script(&self, key: &[u8], value: &[u8], put: Put) -> Result<Changed> {
        let about = writing(key);
        check_value(about, value)?;
        let (life, version) = (life_text(put.life), condition(put.version));
        let mode: &[u8] = match put.mode {
            Mode::Set => b"set",
            Mode::Add => b"add",
            Mode::Replace => b"replace",
            Mode::Append => b"append",
            Mode::Prepend => b"prepend",
        };
        let (tags, known) = (self.tags_begin(), life_text(Some(limits::redis::TAG_KNOWS)));
        let longest = limits::VALUE_BYTES_MAX_CEILING.to_string();
        let flags = put.flags.to_be_bytes();
        let arguments: [&[u8]; 8] =
            [mode, &flags, life.as_bytes(), &version, value, &tags, known.as_bytes(), longest.as_bytes()];
        changed(&self.change(about, &self.scripts.put, key, &[], &arguments).await?, about)
    }

    /// Many keys are more than one command, all at once: together they take no longer than one call may.
    async fn get_together(&self, keys: &[&[u8]]) -> Vec<Result<Option<Shared>>> {
        let end = self.settings.end_of(keys.iter().map(|key| key.len()).sum());
        let chunks = keys.chunks(limits::redis::GET_KEYS_MAX);
        join_all(chunks.map(|keys| self.get_chunk(keys, end))).await.into_iter().flatten().collect()
    }

    async fn get_chunk(&self, keys: &[&[u8]], end: Instant) -> Vec<Result<Option<Shared>>> {
        let mut command = redis::cmd("MGET");
        for key in keys {
            command.arg(self.key_of(key));
        }
        match self.ask(reading(keys), b"", |_| &command, end).await {
            Ok((Value::Array(values), history)) if values.len() == keys.len() => {
                let each = values.into_iter().zip(keys);
                each.map(|(value, key)| read_one((value, history), reading(&[key]))).collect()
            }
            Ok(_) => keys.iter().map(|key| Err(strange(reading(&[key])))).collect(),
            Err(error) => keys.iter().map(|key| Err(reading(&[key]).again(&error))).collect(),
        }
    }

    async fn get_one(&self, key: &[u8]) -> Result<Option<Shared>> {
        let (about, end) = (reading(&[key]), self.settings.end_of(key.len()));
        let mut command = redis::cmd("GET");
        command.arg(self.key_of(key));
        read_one(self.ask(about, &self.key_of(key), |_| &command, end).await?, about)
    }

    /// Asks the server that has this key, in the history that it goes on with, until then at most.
    async fn ask<C: Borrow<Cmd>>(
        &self,
        about: About<'_>,
        key: &[u8],
        command: impl Fn(History) -> C,
        end: Instant,
    ) -> Result<Found> {
        let command = &command;
        let ask = |link: Arc<Link>| async move {
            let standing = link.standing(about)?;
            let history = standing.facts.history;
            let value = link.ask_on(about, standing, command(history).borrow(), end).await?;
            Ok((value, history))
        };
        self.places.at(about, key, end, ask).await
    }

    /// Each key for itself, all at once: a server that is away fails its own and no others, and holds none of them up.
    async fn get_apart(&self, keys: &[&[u8]]) -> Vec<Result<Option<Shared>>> {
        let each: Vec<_> = keys.iter().map(|key| self.get_one(key)).collect();
        join_all(each).await
    }
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        self.close();
    }
}

/// Keys are checked by the caller to be printable; others are not told.
fn reading<'a>(keys: &[&'a [u8]]) -> About<'a> {
    About { operation: "read", on: keys.first().map_or("", |key| shown(key)) }
}

fn writing(key: &[u8]) -> About<'_> {
    About { operation: "write", on: shown(key) }
}

fn shown(key: &[u8]) -> &str {
    std::str::from_utf8(key).unwrap_or("a key")
}

fn read_one((value, history): Found, about: About<'_>) -> Result<Option<Shared>> {
    match value {
        Value::Nil => Ok(None),
        Value::BulkString(bytes) => Ok(entry::read(bytes, history)),
        _ => Err(strange(about)),
    }
}

/// In milliseconds, as scripts take it: nothing has no end. Kept to the second, as the other stores do.
fn life_text(life: Option<Duration>) -> String {
    life.map_or_else(String::new, |life| at_least(life, Duration::ZERO))
}

fn at_least(time: Duration, least: Duration) -> String {
    // Redis refuses what lies beyond its calendar; nobody waits for so long.
    let seconds = time.max(least).min(limits::redis::LIFE_MAX).as_nanos().div_ceil(1_000_000_000);
    (seconds * 1_000).to_string()
}

fn check_value(about: About<'_>, value: &[u8]) -> Result<()> {
    if value.len() > limits::VALUE_BYTES_MAX_CEILING { Err(about.error(Kind::TooLarge)) } else { Ok(()) }
}

fn condition(version: Option<Version>) -> Vec<u8> {
    version.map_or_else(Vec::new, |version| version.0.to_be_bytes().to_vec())
}

/// What a script that changes an entry answers.
fn changed(answer: &Value, about: About<'_>) -> Result<Changed> {
    match answer {
        Value::BulkString(word) => match word.as_slice() {
            b"missing" => Ok(Changed::NotFound),
            b"exists" => Ok(Changed::Exists),
            b"refused" => Ok(Changed::NotStored),
            _ => Err(strange(about)),
        },
        Value::Array(one) => match one.as_slice() {
            [Value::BulkString(version)] => {
                entry::version(version).map(Changed::Done).ok_or_else(|| strange(about))
            }
            _ => Err(strange(about)),
        },
        _ => Err(strange(about)),
    }
}

impl RemoteStore for RedisStore {
    /// Tags and locks only where one server has all keys and drops none of them before its time, as it said when a connection
    /// was made last; before the first one there are neither. A fail-over could lose a lock, and so could a restart where the
    /// server does not force every write to its disk.
    fn capabilities(&self) -> RemoteCapabilities {
        let keeps = self.places.keeps_all();
        RemoteCapabilities {
            lease: true,
            fenced_fill: true,
            conditional: true,
            arithmetic: true,
            touch: true,
            negative: true,
            tags: keeps,
            locks: keeps && self.places.loses_nothing(),
        }
    }

    fn get<'a>(&'a self, keys: &'a [&'a [u8]]) -> BoxFuture<'a, Vec<Result<Option<Shared>>>> {
        match (&self.together, keys) {
            (Some(together), [key]) => Box::pin(async move {
                let about = reading(keys);
                let found = together.reads.read(about, self.key_of(key)).await;
                vec![found.and_then(|found| read_one(found, about))]
            }),
            (Some(_), keys) => Box::pin(self.get_together(keys)),
            (None, keys) => Box::pin(self.get_apart(keys)),
        }
    }

    fn get_or_lease<'a>(&'a self, key: &'a [u8], lease: Duration) -> BoxFuture<'a, Result<Asked>> {
        Box::pin(async move {
            let about = About { operation: "read or lease", on: shown(key) };
            let token = self.clock.random();
            let life = at_least(lease, limits::redis::LEASE_MIN);
            let (entry, token_bytes) = (self.key_of(key), token.to_be_bytes());
            let answer =
                self.run(about, &self.scripts.lease, &[&entry], &[&token_bytes, life.as_bytes()]).await?;
            match answer {
                Value::Int(0) => Ok(Asked::Busy),
                Value::BulkString(run) => {
                    let digits = run.get(..16).and_then(|digits| std::str::from_utf8(digits).ok());
                    let incarnation = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
                    let incarnation = incarnation.ok_or_else(|| strange(about))?;
                    Ok(Asked::Granted(Grant { token, incarnation }))
                }
                Value::Array(mut one) => match one.pop() {
                    Some(Value::BulkString(bytes)) => {
                        entry::read_any(bytes).map(Asked::Hit).ok_or_else(|| strange(about))
                    }
                    _ => Err(strange(about)),
                },
                _ => Err(strange(about)),
            }
        })
    }

    fn fill<'a>(
        &'a self,
        key: &'a [u8],
        value: &'a [u8],
        fill: Fill<'a>,
        grant: Grant,
    ) -> BoxFuture<'a, Result<Filled>> {
        Box::pin(async move {
            let about = About { operation: "fill", on: shown(key) };
            check_value(about, value)?;
            if !fill.tags.is_empty() && !self.capabilities().tags {
                return Err(about.error(Kind::Unsupported).because("this Redis cannot keep tags"));
            }
            let too_long = fill.tags.iter().any(|tag| tag.len() > limits::redis::TAG_BYTES_MAX);
            if too_long || fill.tags.len() > limits::redis::TAGS_MAX {
                return Err(about
                    .error(Kind::TooLarge)
                    .because("an entry has at most 255 tags of 250 bytes"));
            }
            let tag_keys: Vec<_> =
                fill.tags.iter().map(|tag| [self.tags_begin().as_slice(), tag].concat()).collect();
            let life = life_text(fill.life);
            let arguments: [&[u8]; 5] = [
                &grant.token.to_be_bytes(),
                &fill.flags.to_be_bytes(),
                life.as_bytes(),
                &entry::tags(fill.tags),
                value,
            ];
            match self.change(about, &self.scripts.fill, key, &tag_keys, &arguments).await? {
                Value::Int(0) => Ok(Filled::Refused),
                Value::BulkString(version) => {
                    entry::version(&version).map(Filled::Stored).ok_or_else(|| strange(about))
                }
                _ => Err(strange(about)),
            }
        })
    }

    fn put<'a>(&'a self, key: &'a [u8], value: &'a [u8], put: Put) -> BoxFuture<'a, Result<Changed>> {
        match put {
            // What is called most does not carry what the others need. One that is over at once only removes.
            Put { mode: Mode::Set, version: None, life, .. } if life != Some(Duration::ZERO) => {
                Box::pin(self.put_plain(key, value, put))
            }
            _ => Box::pin(self.put_by_script(key, value, put)),
        }
    }

    fn remove<'a>(
        &'a self,
        key: &'a [u8],
        version: Option<Version>,
        hold: Duration,
    ) -> BoxFuture<'a, Result<Changed>> {
        Box::pin(async move {
            let about = About { operation: "remove", on: shown(key) };
            let hold = if hold.is_zero() { "0".to_owned() } else { at_least(hold, limits::redis::LEASE_MIN) };
            let (tags, known) = (self.tags_begin(), life_text(Some(limits::redis::TAG_KNOWS)));
            let arguments: [&[u8]; 4] = [&condition(version), hold.as_bytes(), &tags, known.as_bytes()];
            changed(&self.change(about, &self.scripts.remove, key, &[], &arguments).await?, about)
        })
    }

    fn remove_tag<'a>(&'a self, tag: &'a [u8]) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let about = About { operation: "remove tag", on: shown(tag) };
            if !self.capabilities().tags {
                return Err(about.error(Kind::Unsupported).because("this Redis cannot keep tags"));
            }
            let set = [self.tags_begin().as_slice(), tag].concat();
            let mut count = redis::cmd("ZCARD");
            count.arg(&set);
            let end = self.settings.end_of(set.len());
            let (Value::Int(mut left), _) = self.ask(about, &set, |_| &count, end).await? else {
                return Err(strange(about));
            };
            let (mut removed, step) = (0, limits::redis::TAG_STEP.to_string());
            let steps = usize::try_from(left).unwrap_or(0).div_ceil(limits::redis::TAG_STEP);
            let last_end = end + limits::redis::TIMEOUT_PER_TAG_STEP.mul_f64(steps as f64);
            // What is filled while this runs may stay: so it comes to an end.
            while left > 0 {
                let end = self.settings.end_of(set.len()).min(last_end);
                let (script, arguments) = (&self.scripts.remove_tag, [tag, step.as_bytes()]);
                let answer = self.run_until(about, script, &[&set], &arguments, end).await?;
                let Value::Array(counts) = answer else { return Err(strange(about)) };
                let [Value::Int(gone), Value::Int(looked)] = counts.as_slice() else {
                    return Err(strange(about));
                };
                removed += u64::try_from(*gone).unwrap_or(0);
                left = if *looked == 0 { 0 } else { left - looked };
            }
            Ok(removed)
        })
    }

    fn add<'a>(&'a self, key: &'a [u8], addition: Addition) -> BoxFuture<'a, Result<Sum>> {
        Box::pin(async move {
            let about = About { operation: "count", on: shown(key) };
            let step: &[u8] = match addition.step {
                Step::Up => b"up",
                Step::Down => b"down",
            };
            let delta = addition.delta.to_string();
            let number = addition.create.map_or_else(String::new, |(number, _)| number.to_string());
            let life = life_text(addition.create.and_then(|(_, life)| life));
            let arguments: [&[u8]; 4] = [step, delta.as_bytes(), number.as_bytes(), life.as_bytes()];
            match self.change(about, &self.scripts.add, key, &[], &arguments).await? {
                Value::BulkString(word) if word == b"missing" => Ok(Sum::NotFound),
                Value::BulkString(word) if word == b"not a number" => Ok(Sum::NotNumber),
                Value::Array(one) => match one.as_slice() {
                    [Value::BulkString(digits)] => {
                        let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
                        number.map(Sum::Number).ok_or_else(|| strange(about))
                    }
                    _ => Err(strange(about)),
                },
                _ => Err(strange(about)),
            }
        })
    }

    fn touch<'a>(&'a self, key: &'a [u8], life: Option<Duration>) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let about = About { operation: "touch", on: shown(key) };
            let (entry, life, tags) = (self.key_of(key), life_text(life), self.tags_begin());
            let answer = self.run(about, &self.scripts.touch, &[&entry], &[life.as_bytes(), &tags]).await?;
            match answer {
                Value::Int(there) => Ok(there == 1),
                _ => Err(strange(about)),
            }
        })
    }
}
