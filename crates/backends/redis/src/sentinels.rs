//! Which server the sentinels call the master.

use std::collections::HashMap;

use forebay_core::limits;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::aio::MultiplexedConnection;
use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisResult};
use tokio::time::{Instant, sleep, timeout_at};

use crate::connect::{no_server, untimed};
use crate::settings::{Settings, Topology};

/// What they say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    address: ConnectionAddr,
    /// Grows with each fail-over: a master that was one before, and was never told that another had taken over, is known by it.
    pub(crate) epoch: u64,
}

/// The sentinels, and a connection to each of those that answered.
pub(crate) struct Sentinels {
    each: Vec<Sentinel>,
    master: String,
    login: RedisConnectionInfo,
}

struct Sentinel {
    address: ConnectionAddr,
    open: Option<MultiplexedConnection>,
}

impl Sentinels {
    /// `None` where nobody watches over the server.
    pub(crate) fn of(settings: &Settings) -> Option<Self> {
        let Topology::Sentinel { sentinels, master, login } = &settings.topology else { return None };
        let each = sentinels.iter().map(|address| Sentinel { address: address.clone(), open: None });
        Some(Self { each: each.collect(), master: master.clone(), login: login.clone() })
    }

    /// Asks all of them at once, and believes the one that knows of the latest fail-over: when one has answered the others have
    /// a little time.
    pub(crate) async fn ask(&mut self) -> RedisResult<Named> {
        let mut end = Instant::now() + limits::redis::SENTINELS_MAX;
        let master = &self.master;
        let mut asked: FuturesUnordered<_> = self.each.iter_mut().map(|each| each.ask(master)).collect();
        let (mut newest, mut failure) = (None::<Named>, no_server());
        while let Ok(Some(answer)) = timeout_at(end, asked.next()).await {
            match answer {
                Ok(named) => {
                    end = end.min(Instant::now() + limits::redis::MAP_PAUSE);
                    if newest.as_ref().is_none_or(|newest| newest.epoch < named.epoch) {
                        newest = Some(named);
                    }
                }
                Err(error) => failure = error,
            }
        }
        newest.ok_or(failure)
    }

    /// How the master is connected to.
    pub(crate) fn info(&self, named: &Named) -> RedisResult<ConnectionInfo> {
        Ok(named.address.clone().into_connection_info()?.set_redis_settings(self.login.clone()))
    }
}

impl Sentinel {
    async fn ask(&mut self, master: &str) -> RedisResult<Named> {
        // One that is cut off while it is asked is connected to anew.
        let mut connection = match self.open.take() {
            Some(connection) => connection,
            None => {
                let client = Client::open(self.address.clone())?;
                client.get_multiplexed_async_connection_with_config(&untimed()).await?
            }
        };
        let mut ask = redis::pipe();
        // While another takes over, the first names it already and the second does not.
        ask.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master);
        ask.cmd("SENTINEL").arg("MASTER").arg(master);
        let (address, says): (Option<(String, u16)>, HashMap<String, String>) =
            ask.query_async(&mut connection).await?;
        self.open = Some(connection);
        let (host, port) = address.ok_or_else(no_server)?;
        let epoch = says.get("config-epoch").and_then(|epoch| epoch.parse().ok()).ok_or_else(no_server)?;
        Ok(Named { address: ConnectionAddr::Tcp(host, port), epoch })
    }
}

/// Is ready once they name another master, or name it anew; where there are none, never. One that another has taken over from,
/// and that has not been told, is used for no longer than a pause and the time in which they answer.
pub(crate) async fn name_another(settings: &Settings, present: Option<&Named>) {
    let (Some(mut sentinels), Some(present)) = (Sentinels::of(settings), present) else {
        return std::future::pending().await;
    };
    loop {
        sleep(limits::redis::PING_PAUSE).await;
        if sentinels.ask().await.is_ok_and(|named| named != *present) {
            return;
        }
    }
}
