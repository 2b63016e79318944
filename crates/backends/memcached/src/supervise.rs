//! What keeps a node's connections, and decides when the node can be used (again).

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use forebay_core::limits::{MEMCACHED_CALL_COMMANDS_MAX, MEMCACHED_RETRY_MAX, MEMCACHED_RETRY_MIN};
use forebay_core::ports::clock::Clock;
use forebay_wire::memcached::reply::Code;
use futures_util::future::join_all;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::commands::Commands;
use crate::greet::{Life, connect, number_of};
use crate::link::awaited::Received;
use crate::link::{Answer, Link, carry};
use crate::node::{Missed, Node, Remove, State};
use crate::there::There;

/// A connection, and the question whether all sent over it has happened, while that is not answered.
struct Kept {
    link: Arc<Link>,
    /// Its place among those of the node. A new one takes a free place, so that no key that has one changes it.
    place: usize,
    asked: Option<Answer>,
}

struct Supervisor {
    node: Arc<Node>,
    clock: Arc<dyn Clock>,
    kept: Vec<Kept>,
    carried: JoinSet<io::Error>,
    /// The server's, as the first connection of it was told.
    life: Life,
    /// As the server's newest connection was told.
    leaves_pinned: bool,
}

/// Keeps a node until it is closed or taken out.
pub(crate) async fn supervise(node: Arc<Node>, clock: Arc<dyn Clock>) {
    let mut supervisor = Supervisor::new(node, clock);
    let mut failures = 0;
    while !supervisor.node.state().is_final() {
        let pause = match supervisor.look().await {
            Ok(()) => {
                failures = 0;
                None
            }
            Err(_) => {
                failures += 1;
                Some(pause(failures, supervisor.clock.random()))
            }
        };
        supervisor.wait(pause).await;
    }
}

/// Twice as long after every failure, up to a bound, less a random part so that many clients do not come at once.
fn pause(failures: u32, random: u64) -> Duration {
    let longest =
        MEMCACHED_RETRY_MIN.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(MEMCACHED_RETRY_MAX);
    longest / 2 + longest.mul_f64((random >> 40) as f64 / (1u64 << 24) as f64) / 2
}

impl Supervisor {
    fn new(node: Arc<Node>, clock: Arc<dyn Clock>) -> Self {
        Self {
            node,
            clock,
            kept: Vec::new(),
            carried: JoinSet::new(),
            life: Life::default(),
            leaves_pinned: false,
        }
    }

    /// Waits until there may be something to do.
    async fn wait(&mut self, pause: Option<Duration>) {
        let node = self.node.clone();
        let paused = async {
            match pause {
                Some(pause) => sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = node.doubted() => {}
            Some(_) = self.carried.join_next() => self.forget_ended(),
            () = paused => {}
        }
    }

    /// Without its connections a node cannot be used.
    fn forget_ended(&mut self) {
        self.kept.retain(|kept| !kept.link.has_ended());
        self.show_links();
        if self.kept.is_empty() {
            self.node.put_in_doubt();
        }
    }

    fn show_links(&self) {
        let at = |place| self.kept.iter().find(|kept| kept.place == place).map(|kept| kept.link.clone());
        self.node.set_links((0..self.node.connections).map(at).collect());
    }

    fn keep(&mut self, link: Link) {
        let is_free = |place: &usize| self.kept.iter().all(|kept| kept.place != *place);
        let place = (0..self.node.connections).find(is_free).unwrap_or_default();
        self.kept.push(Kept { link: Arc::new(link), place, asked: None });
    }

    /// Makes the connections that are wanting, and a node that is not used fit for it. An error if there is still something
    /// wanting.
    async fn look(&mut self) -> io::Result<()> {
        self.forget_ended();
        let connected = self.connect_missing().await;
        if self.kept.is_empty() {
            if let Err(error) = &connected {
                let unsupported = error.kind() == ErrorKind::Unsupported;
                self.node.set_away(if unsupported { State::Unsupported } else { State::Away }, error);
            }
            return connected;
        }
        if self.node.state() != State::Up
            && let Err(error) = self.make_fit().await
        {
            self.node.set_away(State::Away, &error);
            return Err(error);
        }
        connected
    }

    async fn connect_missing(&mut self) -> io::Result<()> {
        while self.kept.len() < self.node.connections {
            let greeted = timeout(self.node.timeout, connect(&self.node.settings)).await??;
            if !self.life.is(&greeted.life) {
                self.life = greeted.life;
            }
            self.leaves_pinned = greeted.leaves_pinned;
            let id = number_of(self.clock.random());
            let (link, calls) = Link::new(id, self.life.mask(), greeted.dialect);
            self.carried.spawn(carry(greeted.stream, calls));
            self.keep(link);
        }
        Ok(())
    }

    async fn make_fit(&mut self) -> io::Result<()> {
        loop {
            let missed = self.node.take_missed();
            if let Err(error) = self.settle_and_make_up_for(&missed).await {
                self.node.give_back(missed);
                return Err(error);
            }
            if self.node.set_up() {
                return Ok(());
            }
            if self.node.state().is_final() {
                return Err(ErrorKind::ConnectionAborted.into());
            }
        }
    }

    /// What was sent of a change that was missed may be on its way over another connection than its key's removal: it is
    /// answered first, also where it was missed while the node was being made fit.
    async fn settle_and_make_up_for(&mut self, missed: &Missed) -> io::Result<()> {
        self.settle_all_sent().await?;
        self.show_links();
        // Calls that fail at once would be missed faster than they can be made up for.
        self.node.let_callers_wait();
        self.make_up_for(missed).await
    }

    /// Every connection must answer a question, and so all that was sent over it before. A connection that does not is kept:
    /// what was sent over it may still happen, and would come late for ever if it were forgotten.
    async fn settle_all_sent(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + self.node.timeout;
        let node = &self.node;
        let settle = async |kept: &mut Kept| {
            if kept.asked.is_none() {
                let mut question = node.commands(&kept.link);
                question.ask();
                match timeout_at(deadline, kept.link.send(question)).await? {
                    Some(answer) => kept.asked = Some(answer),
                    // It has ended, and with it all that was sent over it, where the server ended it. Where this side did,
                    // the server may still find something in its socket, and nothing tells when it has read that.
                    None => return Ok(()),
                }
            }
            if let Some(asked) = &mut kept.asked {
                // Without replies it has ended.
                let _ = timeout_at(deadline, asked).await?;
                kept.asked = None;
                kept.link.answers();
            }
            io::Result::Ok(())
        };
        for settled in join_all(self.kept.iter_mut().map(settle)).await {
            settled?;
        }
        self.kept.retain(|kept| !kept.link.has_ended());
        if self.kept.is_empty() { Err(ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }

    /// Removes what the node should have removed.
    async fn make_up_for(&self, missed: &Missed) -> io::Result<()> {
        if missed.all && self.leaves_pinned {
            // What it has pinned outlives its restarts, too, and nobody knows which of it is outdated.
            return Err(io::Error::other(
                "it must be emptied, and a flush leaves what it has pinned: start it without pinned keys (--pinned off)",
            ));
        }
        if missed.all {
            return self.carry_out(Commands::flush).await;
        }
        let named = |what: Remove| -> Vec<&[u8]> {
            let named = missed.keys.iter().filter(|(_, remove)| **remove == what);
            named.map(|(key, _)| key.as_slice()).collect()
        };
        for keys in named(Remove::Whatever).chunks(MEMCACHED_CALL_COMMANDS_MAX) {
            self.carry_out(|commands| commands.remove_all(keys.iter().copied())).await?;
        }
        for keys in named(Remove::Placeholder).chunks(MEMCACHED_CALL_COMMANDS_MAX) {
            self.remove_placeholders(keys).await?;
        }
        Ok(())
    }

    /// Whoever was to fill one is refused, and the next reader loads.
    async fn remove_placeholders(&self, keys: &[&[u8]]) -> io::Result<()> {
        let found = self.ask(|commands| keys.iter().for_each(|key| commands.look(key))).await?;
        let known = |reply: &Received| {
            matches!(reply.code, Code::Hit | Code::Value | Code::Miss | Code::End | Code::NotFound)
        };
        if found.len() != keys.len() || !found.iter().all(known) {
            return Err(io::Error::other("it does not show what it must not keep"));
        }
        let placeholders = keys.iter().zip(&found).filter_map(|(key, reply)| match There::of(reply) {
            There::Placeholder(number) => Some((*key, number)),
            There::Nothing | There::Value(_) => None,
        });
        let placeholders: Vec<(&[u8], u64)> = placeholders.collect();
        if placeholders.is_empty() {
            return Ok(());
        }
        let remove = |commands: &mut Commands| {
            placeholders.iter().for_each(|(key, number)| commands.remove(key, Some(*number)));
        };
        self.carry_out(remove).await
    }

    /// Over any connection: nothing is on its way over another one.
    async fn ask(&self, say: impl FnOnce(&mut Commands)) -> io::Result<Vec<Received>> {
        let Some(kept) = self.kept.first() else { return Err(ErrorKind::ConnectionReset.into()) };
        let mut commands = self.node.commands(&kept.link);
        say(&mut commands);
        let replies = timeout(self.node.timeout, kept.link.call(commands)).await?;
        replies.ok_or(ErrorKind::ConnectionReset.into())
    }

    async fn carry_out(&self, say: impl FnOnce(&mut Commands)) -> io::Result<()> {
        let replies = self.ask(say).await?;
        // A quiet deletion says nothing, unless something was wrong. What has another number by now is not what was to go.
        let done =
            |reply: &Received| matches!(reply.code, Code::Ok | Code::Hit | Code::NotFound | Code::Exists);
        let done = replies.iter().all(done);
        if done { Ok(()) } else { Err(io::Error::other("it does not remove what it must not serve")) }
    }
}

#[cfg(test)]
mod tests {
    use forebay_runtime::clock::TokioClock;
    use futures_util::FutureExt;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};
    use tokio::net::TcpListener;

    use super::*;
    use crate::commands::Dialect;
    use crate::node::Trouble;

    /// The other end of a connection.
    struct Server(BufReader<DuplexStream>);

    impl Server {
        async fn hears(&mut self) -> String {
            let mut line = String::new();
            self.0.read_line(&mut line).await.unwrap();
            line
        }

        async fn says(&mut self, line: &str) {
            self.0.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        }

        /// Is asked whether it answers, and does.
        async fn is_asked(&mut self) {
            assert_eq!(self.hears().await, "mn\r\n");
            self.says("MN").await;
        }

        /// Is told to remove a key, which is to be answered.
        async fn is_to_remove(&mut self, key: &str) {
            let heard = self.hears().await;
            assert!(heard.starts_with(&format!("md {key} q")), "{heard}");
            assert_eq!(self.hears().await, "mn\r\n");
        }
    }

    /// What keeps a node of so many connections, and their other ends.
    fn connected<const N: usize>() -> (Supervisor, [Server; N]) {
        let node = Node::new("localhost".parse().unwrap(), N, Duration::from_secs(60), false);
        let mut supervisor = Supervisor::new(Arc::new(node), Arc::new(TokioClock::new()));
        let servers = std::array::from_fn(|id| {
            let (ours, server) = duplex(1 << 16);
            let (link, calls) = Link::new(id as u64, 0, Dialect::Meta { numbers_ours: true });
            tokio::spawn(carry(ours, calls));
            supervisor.keep(link);
            Server(BufReader::new(server))
        });
        (supervisor, servers)
    }

    #[tokio::test]
    async fn a_key_keeps_its_connection_while_others_end_and_come() {
        let node = Node::new("localhost".parse().unwrap(), 2, Duration::from_secs(1), false);
        let mut supervisor = Supervisor::new(Arc::new(node), Arc::new(TokioClock::new()));
        let link = |id| Link::new(id, 0, Dialect::Classic);
        let ((one, ends), (two, _stays), (three, _new)) = (link(1), link(2), link(3));
        supervisor.keep(one);
        supervisor.keep(two);
        supervisor.show_links();
        assert!(supervisor.node.set_up());
        let node = supervisor.node.clone();
        let ids = async |key: &[u8]| node.link(Some(key), Instant::now()).await.ok().map(|link| link.id);
        let keys = [b"0", b"1"];
        let (first, second) =
            if ids(keys[0]).await == Some(1) { (keys[0], keys[1]) } else { (keys[1], keys[0]) };
        assert_eq!((ids(first).await, ids(second).await), (Some(1), Some(2)));
        drop(ends);
        supervisor.forget_ended();
        assert_eq!((ids(first).await, ids(second).await), (Some(2), Some(2)));
        supervisor.keep(three);
        supervisor.show_links();
        assert_eq!((ids(first).await, ids(second).await), (Some(3), Some(2)));
    }

    #[tokio::test]
    async fn no_version_of_one_life_of_a_server_fits_another_one_whoever_numbers_them() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = server.local_addr().unwrap().to_string().parse().unwrap();
        let node = Node::new(settings, 1, Duration::from_secs(60), false);
        let mut supervisor = Supervisor::new(Arc::new(node), Arc::new(TokioClock::new()));
        let mut masks = Vec::new();
        for (process, uptime) in [(7, 20), (7, 21), (8, 20), (8, 10)] {
            let greet = async {
                let (mut connection, _) = server.accept().await.unwrap();
                let stats =
                    format!("STAT pid {process}\r\nSTAT uptime {uptime}\r\nSTAT time 1795303570\r\nEND\r\n");
                let words = format!("VERSION 1.6.39\r\nMN\r\nEN\r\n{stats}END\r\n");
                connection.write_all(words.as_bytes()).await.unwrap();
                connection
            };
            supervisor.kept.clear();
            let (connected, _connection) = tokio::join!(supervisor.connect_missing(), greet);
            connected.unwrap();
            masks.push(supervisor.kept[0].link.mask);
        }
        assert_eq!(masks[0], masks[1], "it rounds its uptime");
        assert!(masks[1] != masks[2] && masks[2] != masks[3]);
    }

    #[tokio::test]
    async fn what_was_sent_of_a_key_that_is_missed_while_the_node_is_made_fit_is_answered_before_it_is_removed()
     {
        let (mut supervisor, [mut one, mut two]) = connected();
        let node = supervisor.node.clone();
        node.miss(b"first", Remove::Whatever);
        let hear = async {
            one.is_asked().await;
            two.is_asked().await;
            one.is_to_remove("first").await;
            node.miss(b"second", Remove::Whatever);
            one.says("MN").await;
            one.is_asked().await;
            two.is_asked().await;
            one.is_to_remove("second").await;
            one.says("MN").await;
        };
        let (made_fit, ()) = tokio::join!(supervisor.make_fit(), hear);
        made_fit.unwrap();
        assert_eq!(node.state(), State::Up);
    }

    #[tokio::test]
    async fn of_what_was_touched_in_doubt_a_placeholder_is_removed_and_a_value_stays() {
        for (found, goes) in [("HD f0 c5", false), ("HD f0 c5 W", true), ("EN", false)] {
            let (mut supervisor, [mut server]) = connected();
            let node = supervisor.node.clone();
            node.miss(b"key", Remove::Placeholder);
            let hear = async {
                server.is_asked().await;
                let look = server.hears().await;
                assert!(look.starts_with("mg key f c O"), "{look}");
                let number = look.trim_end().rsplit_once(' ').unwrap().1.to_owned();
                server.says(&format!("{found} {number}")).await;
                if goes {
                    let removal = server.hears().await;
                    assert!(removal.starts_with("md key C5 O"), "{removal}");
                    let number = removal.trim_end().rsplit_once(' ').unwrap().1.to_owned();
                    server.says(&format!("HD {number}")).await;
                }
            };
            let (made_fit, ()) = tokio::join!(supervisor.make_fit(), hear);
            made_fit.unwrap();
            assert_eq!(node.state(), State::Up, "{found}");
        }
    }

    #[tokio::test]
    async fn callers_wait_while_a_node_that_was_away_is_made_fit() {
        let (mut supervisor, [mut server]) = connected();
        let node = supervisor.node.clone();
        node.set_away(State::Away, &"it was not there");
        node.miss(b"key", Remove::Whatever);
        let link = || node.link(None, Instant::now() + Duration::from_secs(60)).now_or_never();
        assert_eq!(link().unwrap().err(), Some(Trouble::Away));
        let hear = async {
            server.is_asked().await;
            server.is_to_remove("key").await;
            assert!(link().is_none(), "who fails at once is one more to make up for");
            server.says("MN").await;
        };
        let (made_fit, ()) = tokio::join!(supervisor.make_fit(), hear);
        made_fit.unwrap();
        assert!(link().unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_node_that_cannot_be_emptied_of_pinned_keys_is_made_fit_key_by_key_or_not_at_all() {
        for leaves_pinned in [false, true] {
            let (mut supervisor, [mut server]) = connected();
            supervisor.leaves_pinned = leaves_pinned;
            let node = supervisor.node.clone();
            node.miss(b"task:7", Remove::Whatever);
            let hear = async {
                server.is_asked().await;
                server.is_to_remove("task:7").await;
                server.says("MN").await;
            };
            let (made_fit, ()) = tokio::join!(supervisor.make_fit(), hear);
            made_fit.unwrap();
            // It gets keys back.
            node.keys_moved(true, false);
            node.keys_moved(false, true);
            let hear = async {
                server.is_asked().await;
                if !leaves_pinned {
                    for command in ["flush_all\r\n", "flush_all 1\r\n"] {
                        assert_eq!(server.hears().await, command);
                        server.says("OK").await;
                    }
                }
            };
            let (made_fit, ()) = tokio::join!(supervisor.make_fit(), hear);
            if leaves_pinned {
                let why = made_fit.unwrap_err().to_string();
                assert!(why.contains("without pinned keys"), "{why}");
                assert!(node.take_missed().all, "it is still to be emptied");
            } else {
                made_fit.unwrap();
            }
        }
    }

    #[test]
    fn pauses_grow_to_their_bound_and_differ() {
        assert!(pause(1, 0) >= MEMCACHED_RETRY_MIN / 2 && pause(1, u64::MAX) <= MEMCACHED_RETRY_MIN);
        assert!(pause(3, 0) > pause(1, u64::MAX));
        assert_eq!(pause(1_000_000, 0), MEMCACHED_RETRY_MAX / 2);
        assert!(pause(1_000_000, u64::MAX) <= MEMCACHED_RETRY_MAX);
        assert_ne!(pause(2, 1 << 60), pause(2, 1 << 61));
    }
}
