//! Making a connection, and learning what the server behind it promises.

use redis::aio::{MultiplexedConnection, PubSub};
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, ErrorKind, RedisError, RedisResult};

use tokio::time::timeout;

use crate::cluster::slots;
use crate::settings::{Durable, Settings, Topology};

/// What the server says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// It may drop keys before their time when its memory is full.
    pub(crate) evicts: bool,
    /// Also such that have no time.
    pub(crate) evicts_all: bool,
    /// What it keeps of what it has confirmed; `None` where it does not say.
    pub(crate) durable: Option<Durable>,
}

/// Which of the servers a connection is made to.
#[derive(Clone)]
pub(crate) enum Target {
    /// The one server, or the present master, which the sentinels know.
    Master,
    /// The master of a cluster that has this slot.
    Slot(u16),
    /// This server of a cluster.
    Node(ConnectionInfo),
}

impl Target {
    /// Where all keys with this prefix's hash tag are.
    pub(crate) fn of_prefix(settings: &Settings) -> Self {
        if settings.is_cluster() { Self::Slot(slots::of(settings.prefix.as_bytes())) } else { Self::Master }
    }
}

/// Makes a connection. How long it may take is the caller's.
pub(crate) async fn connect(
    settings: &Settings,
    target: &Target,
) -> RedisResult<(MultiplexedConnection, Facts)> {
    let client = match target {
        Target::Master => client(settings).await?,
        Target::Node(node) => Client::open(node.clone())?,
        Target::Slot(slot) => {
            let map = slots::ask(settings).await?;
            Client::open(map.of(*slot).cloned().ok_or_else(no_server)?)?
        }
    };
    let mut wire = client.get_multiplexed_async_connection_with_config(&untimed()).await?;
    let facts = learn(&mut wire).await?;
    Ok((wire, facts))
}

/// Times are kept by our own callers: a call that is given up here must not end a slower one beside it.
fn untimed() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None)
}

/// A connection that hears what is published: to the master, or to any server of a cluster, which tells the others.
pub(crate) async fn listen(settings: &Settings) -> RedisResult<PubSub> {
    let Topology::Cluster(nodes) = &settings.topology else {
        return client(settings).await?.get_async_pubsub().await;
    };
    let mut last = first(nodes).err();
    for node in nodes {
        match timeout(settings.timeout, Client::open(node.clone())?.get_async_pubsub()).await {
            Ok(Ok(heard)) => return Ok(heard),
            Ok(Err(error)) => last = Some(error),
            // It stands still; another may not.
            Err(_) => {}
        }
    }
    Err(last.unwrap_or_else(no_server))
}

async fn client(settings: &Settings) -> RedisResult<Client> {
    match &settings.topology {
        Topology::One(info) => Client::open(info.clone()),
        Topology::Sentinel { sentinels, master, login } => {
            let mut builder =
                SentinelClientBuilder::new(sentinels.clone(), master, SentinelServerType::Master)?
                    .set_client_to_redis_db(login.db());
            if let Some(username) = login.username() {
                builder = builder.set_client_to_redis_username(username);
            }
            if let Some(password) = login.password() {
                builder = builder.set_client_to_redis_password(password);
            }
            let mut sentinels: SentinelClient = builder.build()?;
            sentinels.async_get_client().await
        }
        Topology::Cluster(nodes) => Client::open(first(nodes)?),
    }
}

fn first(nodes: &[ConnectionInfo]) -> RedisResult<ConnectionInfo> {
    nodes.first().cloned().ok_or_else(no_server)
}

pub(crate) fn no_server() -> RedisError {
    (ErrorKind::Io, "no server was found that has the keys").into()
}

async fn learn(wire: &mut MultiplexedConnection) -> RedisResult<Facts> {
    let memory: String = redis::cmd("INFO").arg("memory").query_async(wire).await?;
    let says =
        |name: &str| memory.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'));
    let policy = says("maxmemory_policy").filter(|_| says("maxmemory") != Some("0"));
    let evicts = policy.is_some_and(|policy| policy != "noeviction");
    let evicts_all = policy.is_some_and(|policy| policy.starts_with("allkeys"));
    // Managed servers do not answer this. Then it is not known, and a broker asks to be told that this will do.
    let asked = redis::cmd("CONFIG").arg("GET").arg("append*").query_async(wire).await;
    let durable = asked.ok().map(|pairs: std::collections::HashMap<String, String>| {
        match (pairs.get("appendonly").map(String::as_str), pairs.get("appendfsync").map(String::as_str)) {
            (Some("yes"), Some("always")) => Durable::Always,
            (Some("yes"), Some("everysec")) => Durable::EverySecond,
            _ => Durable::Any,
        }
    });
    Ok(Facts { evicts, evicts_all, durable })
}
