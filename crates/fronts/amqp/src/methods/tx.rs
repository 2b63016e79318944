//! The class tx: what is published and settled takes effect with the commit, or never.

use forebay_wire::amqp::methods::{Arguments, tx};

use crate::channel::transaction::{Postponed, Transaction};
use crate::connection::session::Session;
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
            tx::Method::Commit(_) => self.commit(number).await,
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
    async fn commit(&mut self, number: u16) -> Result<()> {
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
        self.channel(number)?.is_committing = true;
        self.finish_commit(number).await
    }

    /// Goes on with the commits whose messages have all arrived.
    pub(crate) async fn finish_commits(&mut self) {
        let committing = self.channels.iter().filter(|(_, channel)| channel.is_committing);
        let numbers: Vec<_> = committing.map(|(number, _)| *number).collect();
        for number in numbers {
            if let Err(exception) = self.finish_commit(number).await {
                self.raise(number, exception.of(tx::Commit::ID)).await;
            }
        }
    }

    async fn finish_commit(&mut self, number: u16) -> Result<()> {
        let channel = self.channel(number)?;
        if !channel.publisher.is_done() {
            return Ok(());
        }
        channel.is_committing = false;
        if !channel.publisher.were_taken() {
            return Err(Exception::precondition("partial tx completion"));
        }
        let settled = channel.transaction.as_mut().map(Transaction::take_settled).unwrap_or_default();
        for (verdict, held) in settled {
            self.settle_all(number, &held, verdict)?;
        }
        self.await_settles().await?;
        self.send(number, &tx::CommitOk {});
        Ok(())
    }
}

fn not_transactional() -> Exception {
    Exception::precondition("channel is not transactional")
}

#[cfg(test)]
mod tests {
    use forebay_wire::amqp::methods::{basic, queue};
    use forebay_wire::amqp::table::{TableBuf, Value};
    use forebay_wire::amqp::text::{ShortBytes, ShortStr};

    use super::*;
    use crate::bench::{Bench, declare};

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
