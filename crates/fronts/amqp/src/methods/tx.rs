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
                channel.transaction.get_or_insert_with(Transaction::default);
                self.send(number, &tx::SelectOk {});
                Ok(())
            }
            tx::Method::Commit(_) => self.commit(number).await,
            tx::Method::Rollback(_) => {
                let channel = self.channel(number)?;
                let transaction = channel.transaction.as_mut().ok_or_else(not_transactional)?;
                drop(transaction.take_messages());
                // What was settled is in the client's hands again.
                for held in transaction.take_settled().into_iter().flat_map(|(_, held)| held) {
                    channel.unsettled.hold(held);
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
        for Postponed { outbound, returned } in transaction.take_messages() {
            if let Some((exchange, key)) = returned {
                self.give_back_to_publisher(number, &exchange, &key, &outbound.message);
            }
            if !outbound.queues.is_empty() {
                self.push(number, outbound)?;
            }
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
