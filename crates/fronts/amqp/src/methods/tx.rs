//! The class tx: what is published and settled takes effect with the commit, or never.

use std::future::ready;

use forebay_wire::amqp::methods::{Arguments, tx};
use forebay_wire::amqp::reply::ReplyCode;
use futures_util::stream::StreamExt;

use crate::channel::state::Commit;
use crate::channel::transaction::{Postponed, Transaction};
use crate::connection::session::{Committed, Session};
use crate::exception::{Exception, Result};

impl Session {
    pub(super) async fn tx_method(&mut self, number: u16, method: &tx::Method) -> Result<()> {
        match method {
            tx::Method::Select(_) => {
                let channel = self.channel(number)?;
                if channel.publisher.confirms() {
                    return Err(Exception::precondition("cannot switch from confirm to tx mode"));
                }
                if channel.transaction.is_none() {
                    channel.publisher.were_taken();
                    channel.transaction = Some(Transaction::default());
                }
                self.send(number, &tx::SelectOk {});
                Ok(())
            }
            tx::Method::Commit(_) => self.commit(number),
            tx::Method::Rollback(_) => {
                let transaction = self.channel(number)?.transaction.as_mut().ok_or_else(not_transactional)?;
                drop(transaction.take_messages());
                // What was settled is in the client's hands again.
                for held in transaction.take_settled().into_iter().flat_map(|(_, held)| held) {
                    self.hold(number, held);
                }
                self.send(number, &tx::RollbackOk {});
                Ok(())
            }
            tx::Method::SelectOk(_) | tx::Method::CommitOk(_) | tx::Method::RollbackOk(_) => {
                Err(Exception::command_invalid("unimplemented method"))
            }
        }
    }

    /// Publishes, and settles once all is durable; then answers. Where not all could be published nothing is settled: it
    /// is given back with the channel.
    fn commit(&mut self, number: u16) -> Result<()> {
        let transaction = self.channel(number)?.transaction.as_mut().ok_or_else(not_transactional)?;
        for Postponed { outbound, returned, room } in transaction.take_messages() {
            if let Some((exchange, key)) = returned {
                self.give_back_to_publisher(number, &exchange, &key, &outbound.message);
            }
            if !outbound.queues.is_empty() {
                self.push(number, outbound)?;
            }
            // It is counted with what is published from now on.
            drop(room);
        }
        self.channel(number)?.commit = Some(Commit::Publishing);
        self.settle_commit(number)
    }

    /// Goes on with the commits whose messages have all arrived.
    pub(crate) async fn settle_commits(&mut self) {
        let publishing =
            self.channels.iter().filter(|(_, channel)| channel.commit == Some(Commit::Publishing));
        let numbers: Vec<_> = publishing.map(|(number, _)| *number).collect();
        for number in numbers {
            if let Err(exception) = self.settle_commit(number) {
                self.raise(number, exception.of(tx::Commit::ID)).await;
            }
        }
    }

    fn settle_commit(&mut self, number: u16) -> Result<()> {
        let channel = self.channel(number)?;
        if !channel.publisher.is_done() {
            return Ok(());
        }
        channel.commit = None;
        if !channel.publisher.were_taken() {
            return Err(Exception::precondition("partial tx completion"));
        }
        channel.commit = Some(Commit::Settling);
        let generation = channel.generation;
        let settled = channel.transaction.as_mut().map(Transaction::take_settled).unwrap_or_default();
        // What the connection settles besides is nothing to the commit.
        let others = std::mem::take(&mut self.settles);
        let mut settled = settled.into_iter();
        let carried_out = settled.try_for_each(|(verdict, held)| self.settle_all(number, &held, verdict));
        let own = std::mem::replace(&mut self.settles, others);
        carried_out?;
        self.commits.push(Box::pin(async move {
            let is_durable = own.fold(true, |all, is_durable| ready(all && is_durable)).await;
            (number, generation, is_durable)
        }));
        Ok(())
    }

    /// Answers a commit, unless its channel was closed meanwhile.
    pub(crate) async fn committed(&mut self, (number, generation, is_durable): Committed) {
        let channel = self.channels.get_mut(&number).filter(|channel| channel.generation == generation);
        let is_awaited = channel.and_then(|channel| channel.commit.take()).is_some() && !self.phase.is_over();
        match is_durable {
            true if is_awaited => self.send(number, &tx::CommitOk {}),
            false if is_awaited => {
                let exception = Exception::new(ReplyCode::ResourceError, "not all could be settled");
                self.raise(number, exception.of(tx::Commit::ID)).await;
            }
            _ => {}
        }
    }
}

fn not_transactional() -> Exception {
    Exception::precondition("channel is not transactional")
}

#[cfg(test)]
mod tests {
    use forebay_core::limits;
    use forebay_core::ports::broker::BrokerAdmin;
    use forebay_core::queue::QueueName;
    use forebay_log::LogOptions;
    use forebay_wire::amqp::methods::{basic, channel, connection, queue};
    use forebay_wire::amqp::table::{TableBuf, Value};
    use forebay_wire::amqp::text::{ShortBytes, ShortStr};
    use forebay_wire::amqp::write;

    use super::*;
    use crate::bench::{Bench, Client, declare, rest};

    /// A transaction on channel 1 that has settled what was in the queue, and published something else.
    async fn transact(bench: &Bench) -> Client {
        let mut client = bench.connect(1).await;
        client.say(1, &declare("q")).await;
        client.expect::<queue::DeclareOk<'_>>(1).await;
        client.publish(1, "", "q", b"settled").await;
        rest().await;
        client.say(1, &tx::Select {}).await;
        client.expect::<tx::SelectOk>(1).await;
        client.say(1, &basic::Get { ticket: 0, queue: ShortStr::cut("q"), no_ack: false }).await;
        client.expect::<basic::GetOk<'_>>(1).await;
        client.ack(1, 1).await;
        client.publish(1, "", "q", b"published").await;
        client
    }

    #[tokio::test]
    async fn what_follows_a_commit_is_carried_out_when_it_is_answered() {
        let bench = Bench::new();
        let mut octets = Vec::new();
        let mut client = transact(&bench).await;
        write::method(&mut octets, 1, &tx::Commit {});
        let close =
            channel::Close { reply_code: 200, reply_text: ShortStr::default(), class_id: 0, method_id: 0 };
        write::method(&mut octets, 1, &close);
        client.say_octets(&octets).await;
        client.expect::<tx::CommitOk>(1).await;
        client.expect::<channel::CloseOk>(1).await;
        let stats = bench.broker.queue(&QueueName::new("q").unwrap()).await.unwrap().stats;
        assert_eq!((stats.ready, stats.held, stats.acked), (1, 0, 1));
    }

    #[tokio::test]
    async fn a_connection_is_closed_when_its_commits_are_answered() {
        let bench = Bench::new();
        let mut octets = Vec::new();
        let mut client = transact(&bench).await;
        write::method(&mut octets, 1, &tx::Commit {});
        let close =
            connection::Close { reply_code: 200, reply_text: ShortStr::default(), class_id: 0, method_id: 0 };
        write::method(&mut octets, 0, &close);
        client.say_octets(&octets).await;
        client.expect::<tx::CommitOk>(1).await;
        client.expect::<connection::CloseOk>(0).await;
    }

    #[tokio::test]
    async fn a_commit_that_cannot_be_settled_yet_holds_up_only_its_channel() {
        let segment_bytes = 4096;
        let disk_bytes_max = 1000 * u64::from(segment_bytes);
        let bench = Bench::with(LogOptions { segment_bytes, disk_bytes_max, ..LogOptions::default() });
        let (mut client, q) = (bench.connect(3).await, QueueName::new("q").unwrap());
        client.say(1, &declare("q")).await;
        client.expect::<queue::DeclareOk<'_>>(1).await;
        for number in 1..=2 {
            client.say(number, &tx::Select {}).await;
            client.expect::<tx::SelectOk>(number).await;
        }
        for number in [1, 3] {
            client.publish(3, "", "q", b"m").await;
            rest().await;
            client.say(number, &basic::Get { ticket: 0, queue: ShortStr::cut("q"), no_ack: false }).await;
            client.expect::<basic::GetOk<'_>>(number).await;
        }
        bench.files.limit_bytes(Some(bench.files.used_bytes()));
        while bench.broker.purge(&q).await.is_ok() {}
        let nack = basic::Nack { delivery_tag: 1, multiple: false, requeue: true };
        client.say(3, &nack).await;
        client.say(2, &tx::Commit {}).await;
        client.expect::<tx::CommitOk>(2).await;
        client.say(1, &nack).await;
        client.say(1, &tx::Commit {}).await;
        client.say(2, &tx::Rollback {}).await;
        client.expect::<tx::RollbackOk>(2).await;
        assert!(client.hears_nothing().await);
        bench.files.limit_bytes(None);
        bench.pass(limits::BROKER_PAUSE).await;
        client.expect::<tx::CommitOk>(1).await;
    }

    #[tokio::test]
    async fn a_message_that_was_refused_before_the_first_transaction_does_not_fail_it() {
        let bench = Bench::new();
        let mut client = bench.connect(1).await;
        let (mut arguments, name) = (TableBuf::new(), |name: &'static [u8]| ShortBytes::new(name).unwrap());
        arguments.push(name(b"x-max-length"), Value::I32(1));
        arguments.push(name(b"x-overflow"), Value::Text(b"reject-publish"));
        client.say(1, &queue::Declare { arguments: arguments.as_table(), ..declare("full") }).await;
        client.expect::<queue::DeclareOk<'_>>(1).await;
        client.say(1, &declare("q")).await;
        client.expect::<queue::DeclareOk<'_>>(1).await;
        client.publish(1, "", "full", b"taken").await;
        client.publish(1, "", "full", b"refused").await;
        client.say(1, &tx::Select {}).await;
        client.expect::<tx::SelectOk>(1).await;
        client.publish(1, "", "q", b"m").await;
        client.say(1, &tx::Commit {}).await;
        client.expect::<tx::CommitOk>(1).await;
        client.say(1, &basic::Get { ticket: 0, queue: ShortStr::cut("q"), no_ack: true }).await;
        client.expect::<basic::GetOk<'_>>(1).await;
    }
}
