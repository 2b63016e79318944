//! Which server the sentinels call the master.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

use forebay_core::limits;
use forebay_core::ports::BoxFuture;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::aio::MultiplexedConnection;
use redis::{
    Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisConnectionInfo, RedisError,
    RedisResult,
};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::connect::{no_server, untimed};
use crate::settings::{Settings, Topology};

/// What they say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    address: ConnectionAddr,
    /// Grows with each fail-over: a master that was one before, and was never told that another had taken over, is known by it.
    pub(crate) epoch: u64,
}

/// The sentinels, a connection to each of those that answered, and what each said last.
pub(crate) struct Sentinels {
    each: Vec<Sentinel>,
    master: String,
    login: RedisConnectionInfo,
}

struct Sentinel {
    address: ConnectionAddr,
    /// How long it may take to answer, a connection included.
    patience: Duration,
    open: Option<MultiplexedConnection>,
    /// What it is asked and has not answered yet: one that is far away is heard when it is asked the next time.
    asking: Option<BoxFuture<'static, Answer>>,
    said: Option<Said>,
}

/// What came of a question.
struct Answer {
    /// The connection, where there was an answer.
    open: Option<MultiplexedConnection>,
    named: RedisResult<Named>,
}

#[derive(Clone)]
struct Said {
    named: Named,
    at: Instant,
}

impl Sentinels {
    /// `None` where nobody watches over the server.
    pub(crate) fn of(settings: &Settings) -> Option<Self> {
        let Topology::Sentinel { sentinels, master, login } = &settings.topology else { return None };
        let patience = settings.timeout.max(limits::redis::CONNECT_MIN);
        let each = sentinels.iter().map(|address| Sentinel {
            address: address.clone(),
            patience,
            open: None,
            asking: None,
            said: None,
        });
        Some(Self { each: each.collect(), master: master.clone(), login: login.clone() })
    }

    /// Asks all of them at once, and believes the one that knows of the latest fail-over. When one has answered the others have a
    /// little time, and all the time behind one that knows less than was heard before.
    pub(crate) async fn ask(&mut self) -> RedisResult<Named> {
        let known = self.believed(Instant::now()).map_or(0, |named| named.epoch);
        let mut end = Instant::now() + limits::redis::SENTINELS_MAX;
        let (mut is_heard, mut failure) = (false, no_server());
        let mut asked: FuturesUnordered<_> =
            self.each.iter_mut().map(|each| each.ask(&self.master)).collect();
        while let Ok(Some(answer)) = timeout_at(end, asked.next()).await {
            match answer {
                Ok(epoch) => {
                    is_heard = true;
                    if epoch >= known {
                        end = end.min(Instant::now() + limits::redis::MAP_PAUSE);
                    }
                }
                Err(error) => failure = error,
            }
        }
        drop(asked);
        self.believed(Instant::now()).filter(|_| is_heard).ok_or(failure)
    }

    fn believed(&self, now: Instant) -> Option<Named> {
        newest(self.each.iter().filter_map(|each| each.said.as_ref()), now).cloned()
    }

    /// How the master is connected to.
    pub(crate) fn info(&self, named: &Named) -> RedisResult<ConnectionInfo> {
        Ok(named.address.clone().into_connection_info()?.set_redis_settings(self.login.clone()))
    }

    /// Is ready once they name another master, or name it anew. One that another has taken over from, and that has not been told,
    /// is used for no longer than a pause and the time in which they answer.
    pub(crate) async fn name_another(&mut self, present: &Named) {
        loop {
            sleep(limits::redis::PING_PAUSE).await;
            if self.ask().await.is_ok_and(|named| named != *present) {
                return;
            }
        }
    }
}

/// Of what they said last, what is of the latest fail-over. What one has said counts for a while also when it is not heard any
/// more: the others may not have been told yet. Where two call one master differently it is always the same of both.
fn newest<'a>(all: impl Iterator<Item = &'a Said>, now: Instant) -> Option<&'a Named> {
    all.filter(|said| now.duration_since(said.at) < limits::redis::SENTINEL_KNOWS)
        .map(|said| &said.named)
        .max_by_key(|named| (named.epoch, Reverse(named.address.to_string())))
}

impl Sentinel {
    /// The epoch of what it says.
    async fn ask(&mut self, master: &str) -> RedisResult<u64> {
        if self.asking.is_some() {
            // What it was asked before: it may have changed its mind since.
            let _ = self.hear(master).await;
        }
        self.hear(master).await
    }

    async fn hear(&mut self, master: &str) -> RedisResult<u64> {
        let asking = self.asking.get_or_insert_with(|| {
            let (address, open, master) = (self.address.clone(), self.open.take(), master.to_owned());
            let (patience, late) = (self.patience, || Answer { open: None, named: Err(no_server()) });
            Box::pin(async move {
                timeout(patience, question(address, open, master)).await.unwrap_or_else(|_| late())
            })
        });
        let Answer { open, named } = asking.await;
        (self.asking, self.open) = (None, open);
        if let Ok(named) = &named {
            self.said = Some(Said { named: named.clone(), at: Instant::now() });
        } else if self.open.is_some() {
            // It has answered, and knows of no such master.
            self.said = None;
        }
        named.map(|named| named.epoch)
    }
}

async fn question(address: ConnectionAddr, open: Option<MultiplexedConnection>, master: String) -> Answer {
    let opened = match open {
        Some(open) => Ok(open),
        None => connect(address).await,
    };
    let mut open = match opened {
        Ok(open) => open,
        Err(error) => return Answer { open: None, named: Err(error) },
    };
    let named = name(&mut open, &master).await;
    let is_answer = !named.as_ref().is_err_and(|error| error.kind() == ErrorKind::Io);
    Answer { open: is_answer.then_some(open), named }
}

async fn connect(address: ConnectionAddr) -> RedisResult<MultiplexedConnection> {
    Client::open(address)?.get_multiplexed_async_connection_with_config(&untimed()).await
}

async fn name(open: &mut MultiplexedConnection, master: &str) -> RedisResult<Named> {
    let mut ask = redis::pipe();
    // While another takes over, the first names it already and the second does not.
    ask.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master);
    ask.cmd("SENTINEL").arg("MASTER").arg(master);
    let (address, says): (Option<(String, u16)>, HashMap<String, String>) = ask.query_async(open).await?;
    let unnamed = || RedisError::from((ErrorKind::UnexpectedReturnType, "the sentinel names no master"));
    let (host, port) = address.ok_or_else(unnamed)?;
    let epoch = says.get("config-epoch").and_then(|epoch| epoch.parse().ok()).ok_or_else(unnamed)?;
    Ok(Named { address: ConnectionAddr::Tcp(host, port), epoch })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// What a sentinel does that is asked.
    #[derive(Clone, Copy)]
    enum Does {
        /// It names the server at this port, in this epoch.
        Names(u16, u64),
        KnowsNone,
        IsSilent,
        /// It does the former, and takes so long for a connection.
        Begins(Duration, u16, u64),
        /// And for each answer.
        IsFar(Duration, u16, u64),
    }

    struct Fake {
        address: String,
        does: Arc<Mutex<Does>>,
    }

    impl Fake {
        async fn start(does: Does) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let does = Arc::new(Mutex::new(does));
            let shared = does.clone();
            tokio::spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    let does = shared.clone();
                    tokio::spawn(async move {
                        let mut bytes = vec![0; 4_096];
                        while let Ok(count) = stream.read(&mut bytes).await
                            && count > 0
                        {
                            let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                            let now = *does.lock();
                            for command in text.split('*').skip(1) {
                                let Some(answer) = answer(now, command).await else { continue };
                                stream.write_all(answer.as_bytes()).await.unwrap();
                            }
                        }
                    });
                }
            });
            Self { address, does }
        }

        fn does(&self, does: Does) {
            *self.does.lock() = does;
        }
    }

    async fn answer(does: Does, command: &str) -> Option<String> {
        let (port, epoch) = match does {
            Does::IsSilent => return None,
            Does::KnowsNone => (None, 0),
            Does::Names(port, epoch) => (Some(port), epoch),
            Does::Begins(pause, port, epoch) | Does::IsFar(pause, port, epoch) => {
                if command.contains("SENTINEL") == matches!(does, Does::IsFar(..)) {
                    sleep(pause).await;
                }
                (Some(port), epoch)
            }
        };
        Some(match (command, port) {
            (command, _) if !command.contains("SENTINEL") => "+OK\r\n".to_owned(),
            (command, None) if command.contains("GET-MASTER") => "*-1\r\n".to_owned(),
            (_, None) => "-ERR No such master with that name\r\n".to_owned(),
            (command, Some(port)) if command.contains("GET-MASTER") => {
                format!("*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}\r\n", port.to_string().len())
            }
            (_, Some(_)) => {
                format!("*2\r\n$12\r\nconfig-epoch\r\n${}\r\n{epoch}\r\n", epoch.to_string().len())
            }
        })
    }

    fn asking(fakes: &[&Fake]) -> Sentinels {
        let addresses: Vec<&str> = fakes.iter().map(|fake| fake.address.as_str()).collect();
        let url = format!("redis+sentinel://{}/main", addresses.join(","));
        Sentinels::of(&Settings::parse(&url).unwrap()).unwrap()
    }

    fn named(port: u16, epoch: u64) -> Named {
        Named { address: ConnectionAddr::Tcp("127.0.0.1".to_owned(), port), epoch }
    }

    #[tokio::test]
    async fn one_that_lags_is_not_believed_where_the_one_that_knows_more_is_not_heard_any_more() {
        let (knows, lags) = (Fake::start(Does::Names(2, 5)).await, Fake::start(Does::Names(1, 4)).await);
        let mut sentinels = asking(&[&knows, &lags]);
        assert_eq!(sentinels.ask().await.unwrap(), named(2, 5));
        knows.does(Does::IsSilent);
        assert_eq!(sentinels.ask().await.unwrap(), named(2, 5));
        lags.does(Does::Names(3, 6));
        assert_eq!(sentinels.ask().await.unwrap(), named(3, 6), "another fail-over");
        lags.does(Does::IsSilent);
        assert!(sentinels.ask().await.is_err(), "nobody is heard");
    }

    #[tokio::test]
    async fn one_that_was_set_up_anew_is_believed() {
        let one = Fake::start(Does::Names(2, 5)).await;
        let mut sentinels = asking(&[&one]);
        assert_eq!(sentinels.ask().await.unwrap(), named(2, 5));
        one.does(Does::KnowsNone);
        assert!(sentinels.ask().await.is_err());
        one.does(Does::Names(1, 0));
        assert_eq!(sentinels.ask().await.unwrap(), named(1, 0));
    }

    #[tokio::test]
    async fn one_that_is_slow_to_connect_to_or_to_answer_is_heard_after_all() {
        let late = |most: Duration| most * 3 / 2;
        let (connects, answers) = (late(limits::redis::SENTINELS_MAX), late(limits::redis::MAP_PAUSE));
        for does in [Does::Begins(connects, 2, 5), Does::IsFar(answers, 2, 5)] {
            let (slow, lags) = (Fake::start(does).await, Fake::start(Does::Names(1, 4)).await);
            let mut sentinels = asking(&[&slow, &lags]);
            let begun = Instant::now();
            while sentinels.ask().await.unwrap() != named(2, 5) {
                assert!(begun.elapsed() < Duration::from_secs(30), "it is not heard");
                sleep(Duration::from_millis(10)).await;
            }
        }
    }

    #[test]
    fn what_was_said_in_one_epoch_is_always_the_same_and_counts_for_a_while() {
        let now = Instant::now();
        let said = |port, epoch, at| Said { named: named(port, epoch), at };
        let (first, second) = (said(7_001, 4, now), said(7_002, 4, now));
        assert_eq!(newest([&first, &second].into_iter(), now), Some(&first.named));
        assert_eq!(newest([&second, &first].into_iter(), now), Some(&first.named));
        let (greater, later) = (said(7_002, 5, now), now + limits::redis::SENTINEL_KNOWS);
        assert_eq!(newest([&first, &greater].into_iter(), now), Some(&greater.named));
        let smaller = said(7_001, 4, later);
        assert_eq!(newest([&smaller, &greater].into_iter(), later), Some(&smaller.named));
    }
}
