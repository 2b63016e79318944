//! Making a connection, and learning what the server behind it promises.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use forebay_core::limits;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::aio::{MultiplexedConnection, PubSub};
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, ErrorKind, RedisError, RedisResult, ServerErrorKind,
};

use crate::cluster::slots::{self, Nodes};
use crate::sentinels::{Named, Sentinels};
use crate::settings::{Durable, Settings, Topology};

/// Which history of its data a server goes on with. It begins another one with every start and when it is made a master, and may
/// have lost the newest of the one before: so the store's values carry the history that they were written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct History(pub(crate) [u8; 4]);

impl History {
    /// The one history of a server that loses nothing.
    const KEPT: Self = Self([255; 4]);

    /// What a master goes on with that has been made one by its sentinels for so many times: also one that was never told that
    /// another had taken over in between begins another history.
    fn in_epoch(self, epoch: u64) -> Self {
        // Mixed, so that neighbours have nothing in common.
        let mixed = (epoch as u32).wrapping_mul(0x9e37_79b9);
        Self((u32::from_be_bytes(self.0) ^ mixed).to_be_bytes())
    }

    /// As the server says, which draws it at random.
    fn of(replication: &str) -> Option<Self> {
        let digits = says(replication, "master_replid")?.get(..8)?;
        u32::from_str_radix(digits, 16).ok().map(|number| Self(number.to_be_bytes()))
    }
}

/// What the server says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) history: History,
    /// What the server itself calls it.
    pub(crate) own_history: History,
    /// How often its sentinels have had another server take over; 0 where there are none.
    pub(crate) epoch: u64,
    /// It may drop keys before their time when its memory is full.
    pub(crate) evicts: bool,
    /// Also such that have no time.
    pub(crate) evicts_all: bool,
    /// What it keeps of what it has confirmed; `None` where it does not say.
    pub(crate) durable: Option<Durable>,
}

impl Facts {
    /// All that it has confirmed is there whatever becomes of it.
    pub(crate) fn loses_nothing(&self) -> bool {
        self.history == History::KEPT
    }
}

/// What a server calls a connection. Two servers may give the same number, and one that was started anew gives it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientId {
    /// The server's run.
    run: String,
    number: i64,
}

/// A connection that was made.
pub(crate) struct Connected {
    pub(crate) server: ConnectionInfo,
    pub(crate) wire: MultiplexedConnection,
    pub(crate) facts: Facts,
    /// What the sentinels said of the server, if there are any.
    pub(crate) named: Option<Named>,
    /// `None` where the server does not tell.
    pub(crate) client: Option<ClientId>,
}

/// Which of the servers a connection is made to.
#[derive(Clone)]
pub(crate) enum Target {
    /// The one server, or the present master, which the sentinels know.
    Master,
    /// The master of a cluster that has this slot.
    Slot(u16, Arc<Nodes>),
    /// This server of a cluster.
    Node(ConnectionInfo),
}

impl Target {
    /// Where all keys with this prefix's hash tag are.
    pub(crate) fn of_prefix(settings: &Settings) -> Self {
        if !settings.is_cluster() {
            return Self::Master;
        }
        Self::Slot(slots::of(settings.prefix.as_bytes()), Arc::new(Nodes::new(settings)))
    }
}

/// How long it may take to make a connection, which begins with finding out where to.
pub(crate) fn time_for(settings: &Settings, target: &Target) -> Duration {
    let greeting = settings.timeout.max(limits::redis::CONNECT_MIN);
    match (target, &settings.topology) {
        (Target::Slot(..), _) => settings.timeout + greeting,
        // They are asked twice.
        (_, Topology::Sentinel { .. }) => 2 * limits::redis::SENTINELS_MAX + greeting,
        (Target::Master | Target::Node(_), _) => greeting,
    }
}

/// Makes a connection, and has the server end the former one: what was given up over it may still be under way, and must not
/// be carried out after what comes over the new one. How long it may take is the caller's.
pub(crate) async fn connect(
    settings: &Settings,
    target: &Target,
    mut sentinels: Option<&mut Sentinels>,
    former: Option<&ClientId>,
) -> RedisResult<Connected> {
    let mut named = None;
    let server = match (target, &settings.topology, &mut sentinels) {
        (Target::Node(node), ..) => node.clone(),
        (Target::Slot(slot, nodes), ..) => {
            let map = slots::ask(settings, nodes).await?;
            map.of(*slot).cloned().ok_or_else(no_server)?
        }
        (Target::Master, _, Some(sentinels)) => {
            let master = sentinels.ask().await?;
            let info = sentinels.info(&master)?;
            named = Some(master);
            info
        }
        (Target::Master, Topology::One(info), None) => info.clone(),
        (Target::Master, _, None) => return Err(no_server()),
    };
    let client = open(settings, server.clone())?;
    let mut wire = client.get_multiplexed_async_connection_with_config(&untimed()).await?;
    let (mut facts, client) = learn(&mut wire, settings.is_one(), former).await?;
    if let (Some(sentinels), Some(named)) = (sentinels, &named) {
        // Another may have taken over while this one stood still, and it does not know.
        if sentinels.ask().await? != *named {
            return Err((ErrorKind::Io, "the sentinels name another master by now").into());
        }
        facts.epoch = named.epoch;
        facts.history = facts.history.in_epoch(named.epoch);
    }
    Ok(Connected { server, wire, facts, named, client })
}

fn open(settings: &Settings, server: ConnectionInfo) -> RedisResult<Client> {
    Client::open(server.set_tcp_settings(tcp(settings)))
}

/// What nobody acknowledges for so long the system stops sending, also for a connection that is closed.
fn tcp(settings: &Settings) -> TcpSettings {
    let tcp = TcpSettings::default();
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(settings.timeout.max(limits::redis::CONNECT_MIN));
    #[cfg(not(target_os = "linux"))]
    let _ = settings;
    tcp
}

/// Times are kept by our own callers: a call that is given up here must not end a slower one beside it. A call has its place in
/// the connection's order when it is first polled: it must not have to wait for room there, or a later one may be before it.
pub(crate) fn untimed() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_pipeline_buffer_size(limits::redis::QUEUED_MAX)
}

/// Asks the server for a sign of life, and whether it still is the master that it was: one that was made a replica keeps its
/// connections, also when it is made a master again.
pub(crate) async fn look_at(wire: &mut MultiplexedConnection, facts: Facts) -> RedisResult<()> {
    let mut ask = redis::pipe();
    let ((), replication): ((), String) =
        ask.cmd("PING").cmd("INFO").arg("replication").query_async(wire).await?;
    check_is_master(&replication)?;
    if !facts.loses_nothing() && History::of(&replication) != Some(facts.own_history) {
        return Err((ErrorKind::Io, "the server has begun another history").into());
    }
    Ok(())
}

/// What a replica has is as old as its master is far away, and nobody says how far that is.
fn check_is_master(replication: &str) -> RedisResult<()> {
    match says(replication, "role") {
        Some("slave") => {
            let what = "the server is a replica, and no master or none any more";
            Err((ErrorKind::Server(ServerErrorKind::ReadOnly), what).into())
        }
        _ => Ok(()),
    }
}

/// A connection that hears what is published here: to the server of the connection that stands, or to any server of a cluster,
/// which tells the others. Of these all are asked at once: one that stands still holds up no other.
pub(crate) async fn listen(
    settings: &Settings,
    target: &Target,
    server: &ConnectionInfo,
    channel: &str,
) -> RedisResult<PubSub> {
    let Target::Slot(_, nodes) = target else {
        return hear(open(settings, server.clone())?, channel).await;
    };
    let clients = nodes.all().into_iter().filter_map(|node| Client::open(node).ok());
    let mut asked: FuturesUnordered<_> = clients.map(|client| hear(client, channel)).collect();
    let mut last = no_server();
    while let Some(heard) = asked.next().await {
        match heard {
            Ok(heard) => return Ok(heard),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn hear(client: Client, channel: &str) -> RedisResult<PubSub> {
    let mut heard = client.get_async_pubsub().await?;
    heard.subscribe(channel).await?;
    Ok(heard)
}

pub(crate) fn no_server() -> RedisError {
    (ErrorKind::Io, "no server was found that has the keys").into()
}

async fn learn(
    wire: &mut MultiplexedConnection,
    is_one: bool,
    former: Option<&ClientId>,
) -> RedisResult<(Facts, Option<ClientId>)> {
    let server: String = redis::cmd("INFO").arg("server").query_async(wire).await?;
    if let Some(version) = too_old(&server) {
        let what = format!("it is version {version}, and 7.0 is the least that is spoken to");
        return Err((ErrorKind::InvalidClientConfig, "the server is too old", what).into());
    }
    let replication: String = redis::cmd("INFO").arg("replication").query_async(wire).await?;
    check_is_master(&replication)?;
    let untold = || (ErrorKind::InvalidClientConfig, "the server does not tell its replication id");
    let own_history = History::of(&replication).ok_or_else(untold)?;
    let run = says(&server, "run_id");
    if let Some(former) = former.filter(|former| run == Some(&former.run)) {
        // It may have ended by itself. Who may not end connections has what the system gives up sending.
        let kill = redis::cmd("CLIENT").arg("KILL").arg("ID").arg(former.number).take();
        let _ = kill.query_async::<i64>(wire).await;
    }
    let number = redis::cmd("CLIENT").arg("ID").query_async(wire).await.ok();
    let client = run.zip(number).map(|(run, number)| ClientId { run: run.to_owned(), number });
    let memory: String = redis::cmd("INFO").arg("memory").query_async(wire).await?;
    let policy = says(&memory, "maxmemory_policy").filter(|_| says(&memory, "maxmemory") != Some("0"));
    let evicts = policy.is_some_and(|policy| policy != "noeviction");
    let evicts_all = policy.is_some_and(|policy| policy.starts_with("allkeys"));
    // Managed servers do not answer this. Then it is not known, and a broker asks to be told that this will do.
    let asked = redis::cmd("CONFIG").arg("GET").arg("*append*").query_async(wire).await;
    let durable = asked.ok().map(|pairs: HashMap<String, String>| durable(&pairs));
    // Another server that takes over may lack the newest.
    let is_kept = is_one && durable == Some(Durable::Always);
    let history = if is_kept { History::KEPT } else { own_history };
    Ok((Facts { history, own_history, epoch: 0, evicts, evicts_all, durable }, client))
}

/// What a part of INFO says under a name.
pub(crate) fn says<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'))
}

/// The version of a server that lacks what the scripts need: their headers came with 7.0. One that names none is tried.
fn too_old(server: &str) -> Option<&str> {
    let version = says(server, "redis_version")?;
    let major: u32 = version.split('.').next()?.parse().ok()?;
    (major < 7).then_some(version)
}

/// What the settings keep of what is confirmed.
fn durable(settings: &HashMap<String, String>) -> Durable {
    let is = |name: &str, value: &str| settings.get(name).is_some_and(|is| is == value);
    if !is("appendonly", "yes") {
        return Durable::Any;
    }
    // While the server rewrites its file, which it does by itself and which may take minutes, it forces nothing to the disk.
    if is("no-appendfsync-on-rewrite", "yes") {
        return Durable::Any;
    }
    match settings.get("appendfsync").map(String::as_str) {
        Some("always") => Durable::Always,
        Some("everysec") => Durable::EverySecond,
        _ => Durable::Any,
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use forebay_contract::servers::redis::{Keeps, Redis};
    use forebay_contract::servers::{Pauses, within};

    use super::*;

    #[tokio::test]
    async fn a_call_has_its_place_when_it_is_first_polled_however_many_stand_before_it() {
        let redis = Redis::start(Keeps::Nothing, &[]);
        let client = Client::open(format!("redis://{}", redis.address)).unwrap();
        let wire = client.get_multiplexed_async_connection_with_config(&untimed()).await.unwrap();
        let push = |number: usize| {
            let mut wire = wire.clone();
            Box::pin(async move { redis::cmd("RPUSH").arg("list").arg(number).exec_async(&mut wire).await })
        };
        // Nothing is sent as long as this waits for nothing.
        let mut calls: Vec<_> = (0..100).map(push).collect();
        for call in &mut calls {
            assert!(poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await.is_pending());
        }
        // Whoever came last is the first to be polled again.
        for call in calls.into_iter().rev() {
            call.await.unwrap();
        }
        let came: Vec<usize> =
            redis::cmd("LRANGE").arg("list").arg(0).arg(-1).query_async(&mut wire.clone()).await.unwrap();
        assert_eq!(came, (0..100).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_server_that_stands_still_holds_up_no_other_that_hears_as_well() {
        let (still, hears) = (Redis::start(Keeps::Nothing, &[]), Redis::start(Keeps::Nothing, &[]));
        still.pause();
        let url = format!("redis-cluster://{},{}?timeout_ms=60000", still.address, hears.address);
        let settings = Settings::parse(&url).unwrap();
        let listening = tokio::time::timeout(Duration::from_secs(30), async {
            let target = Target::of_prefix(&settings);
            let Topology::Cluster(nodes) = &settings.topology else { panic!("it is a cluster") };
            listen(&settings, &target, &nodes[0], "bell").await
        });
        let mut heard = listening.await.unwrap().unwrap().into_on_message();
        within(Duration::from_secs(30), "it is heard", || hears.cli(&["PUBLISH", "bell", "word"]) == "1");
        assert_eq!(heard.next().await.unwrap().get_payload_bytes(), b"word");
    }

    #[test]
    fn servers_before_version_7_are_refused_by_name() {
        assert_eq!(too_old("# Server\r\nredis_version:6.2.14\r\nredis_mode:standalone\r\n"), Some("6.2.14"));
        assert_eq!(too_old("# Server\r\nredis_version:7.0.0\r\n"), None);
        assert_eq!(too_old("# Server\r\nredis_version:10.1.0\r\n"), None);
        assert_eq!(too_old("a server that does not say"), None);
    }

    #[test]
    fn a_replica_is_refused_and_who_does_not_say_is_none() {
        let refused = check_is_master("# Replication\r\nrole:slave\r\nmaster_host:a\r\n").unwrap_err();
        assert!(refused.to_string().contains("replica"), "{refused}");
        assert!(check_is_master("# Replication\r\nrole:master\r\n").is_ok());
        assert!(check_is_master("").is_ok());
    }

    #[test]
    fn a_history_is_told_by_the_first_digits_of_its_id() {
        let of = |id: &str| History::of(&format!("role:master\r\nmaster_replid:{id}\r\n"));
        assert_eq!(of("00ff10a0c2d7e8f9"), Some(History([0, 255, 16, 160])));
        assert_eq!((of("00ff"), of("not a number"), History::of("role:master\r\n")), (None, None, None));
    }

    #[test]
    fn what_is_kept_is_the_least_that_the_settings_allow() {
        let kept = |only: &str, fsync: &str, pauses: &str| {
            let pairs = [("appendonly", only), ("appendfsync", fsync), ("no-appendfsync-on-rewrite", pauses)];
            durable(&pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
        };
        assert_eq!(kept("yes", "always", "no"), Durable::Always);
        assert_eq!(kept("yes", "everysec", "no"), Durable::EverySecond);
        assert_eq!(kept("yes", "no", "no"), Durable::Any);
        assert_eq!(kept("no", "always", "no"), Durable::Any);
        assert_eq!(kept("yes", "always", "yes"), Durable::Any, "a rewrite may take minutes");
        assert_eq!(kept("yes", "everysec", "yes"), Durable::Any);
    }
}
