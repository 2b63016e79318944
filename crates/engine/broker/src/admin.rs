//! What an operator asks and does.

use forebay_core::delivery::DeliveryId;
use forebay_core::error::{Kind, Result};
use forebay_core::limits;
use forebay_core::ports::broker::{Peeked, QueueInfo};
use forebay_core::queue::QueueName;

use crate::engine::Engine;
use crate::receive::Handed;
use crate::records::Record;
use crate::topology::Queue;

impl Engine {
    /// All queues by name. One that is removed meanwhile is left out.
    pub(crate) fn infos(&self) -> Vec<QueueInfo> {
        self.topology.all().iter().filter_map(|queue| self.info(queue).ok()).collect()
    }

    pub(crate) fn info(&self, queue: &Queue) -> Result<QueueInfo> {
        let state = queue.lock()?;
        Ok(QueueInfo { settings: state.settings.clone(), stats: state.stats(self.clock.now()) })
    }

    /// The first ready messages, as the next receivers would get them.
    pub(crate) fn peek(&self, name: &QueueName, count_max: usize) -> Result<Vec<Peeked>> {
        let queue = self.topology.find(name)?;
        let now = self.clock.now();
        let handed: Vec<_> = {
            let state = queue.lock()?;
            let mut bytes = 0;
            let within = |bytes_so_far: &mut usize, bytes: usize| {
                *bytes_so_far += bytes;
                *bytes_so_far <= limits::RECEIVE_BYTES_MAX || *bytes_so_far == bytes
            };
            let entries = state.ready.after(0).filter(|entry| entry.expires_at > now);
            let entries = entries.take(count_max.min(limits::RECEIVE_DELIVERIES_MAX));
            let entries = entries.take_while(|entry| within(&mut bytes, entry.stored().bytes as usize));
            entries
                .map(|entry| {
                    let id = DeliveryId { position: entry.position, token: 0 };
                    Handed::new(id, entry, entry.body.clone(), now, state.settings.retry).into_next_attempt()
                })
                .collect()
        };
        let looked = handed.into_iter().map(|handed| self.load(&queue, handed));
        // Taken and released since it was seen.
        let looked = looked.filter(|loaded| !matches!(loaded, Err(error) if error.kind() == Kind::NotFound));
        looked.map(|loaded| loaded.map(|delivery| Peeked { delivery })).collect()
    }

    /// Removes all ready and delayed messages. Returns how many, and the sequence that makes it durable.
    pub(crate) fn purge(&self, name: &QueueName) -> Result<(u64, u64)> {
        let queue = self.topology.find(name)?;
        let mut state = queue.lock()?;
        let position = self.journal.append(&Record::Purge { queue: queue.number })?;
        let purged = state.purge().map(|entry| self.forget(entry)).count();
        Ok((purged as u64, position.sequence))
    }

    /// Sends dead letters back, each in a step of its own. Returns how many, and the sequence that makes it durable.
    /// Those that cannot be read, or whose queue is gone or at its length, stay.
    pub(crate) fn redrive(&self, name: &QueueName, count_max: usize) -> Result<(u64, u64)> {
        let queue = self.topology.find(name)?;
        let (newest, mut behind) = (self.journal.last(), 0);
        let (mut redriven, mut last) = (0, 0);
        while redriven < count_max as u64 {
            let next = queue.lock()?.ready.after(behind).next().map(|entry| entry.position);
            let Some(position) = next.filter(|position| *position <= newest) else { break };
            behind = position;
            match self.redrive_one(&queue, position) {
                Ok(Some(sequence)) => {
                    redriven += 1;
                    last = sequence;
                }
                Ok(None) => {}
                Err(error) if matches!(error.kind(), Kind::Damaged | Kind::Io) => {}
                Err(error) if redriven == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok((redriven, last))
    }

    /// Removes the queue and its messages. Returns the sequence that makes it durable.
    pub(crate) fn delete(&self, name: &QueueName) -> Result<u64> {
        let (queue, sequence) = self.topology.delete(&self.journal, name)?;
        let mut state = queue.state.lock();
        let messages: Vec<_> = state.ready.clear().chain(state.unsettled.clear()).collect();
        let declared = state.declared.take();
        state.alarm.take().into_iter().for_each(|at| self.timers.unset(queue.number, at));
        drop(state);
        messages.into_iter().for_each(|entry| self.forget(entry));
        declared.into_iter().for_each(|declared| self.journal.died(declared));
        queue.arrivals.notify_waiters();
        Ok(sequence)
    }
}
