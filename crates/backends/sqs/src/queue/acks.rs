//! Acknowledgements on their way: what comes while a request is made goes with the next one, up to ten together.

use std::sync::Arc;

use forebay_core::limits::sqs as limits;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Queue;
use super::shelf::Letter;
use crate::inner::Inner;
use crate::wire::refusal::Refusal;

/// Whether it was still ours, or why that is not known.
type Answer = Result<bool, Refusal>;

/// Those that wait for a request.
#[derive(Default)]
pub(crate) struct Acks {
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    waiting: Vec<(String, oneshot::Sender<Answer>)>,
    requests: usize,
}

impl Line {
    /// The next ten; `None` where there are none, and whoever asks ends.
    fn next(&mut self) -> Option<Vec<(String, oneshot::Sender<Answer>)>> {
        if self.waiting.is_empty() {
            self.requests -= 1;
            return None;
        }
        let count = self.waiting.len().min(limits::BATCH_MAX);
        Some(self.waiting.drain(..count).collect())
    }
}

/// Deletes a message from its queue.
pub(crate) async fn delete(inner: &Arc<Inner>, queue: &Arc<Queue>, letter: &Letter) -> Answer {
    let deleted = delete_by(inner, queue, letter.receipt.clone()).await;
    if matches!(deleted, Ok(true)) {
        queue.change_quietly(|shelf| shelf.forget(letter));
    }
    deleted
}

async fn delete_by(inner: &Arc<Inner>, queue: &Arc<Queue>, receipt: String) -> Answer {
    let (answer, answered) = oneshot::channel();
    let begin = {
        let mut line = queue.acks.line.lock();
        line.waiting.push((receipt, answer));
        let begin = line.requests < limits::REQUESTS_MAX;
        line.requests += usize::from(begin);
        begin
    };
    if begin {
        inner.run(flush(inner.clone(), queue.clone()));
    }
    answered.await.unwrap_or(Err(Refusal::Away("closed")))
}

async fn flush(inner: Arc<Inner>, queue: Arc<Queue>) {
    loop {
        let Some(batch) = queue.acks.line.lock().next() else { return };
        let (receipts, answers): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let deleted = inner.wire.delete(&queue.url, &receipts).await;
        for (number, answer) in answers.into_iter().enumerate() {
            let one = match &deleted {
                Ok(deleted) => Ok(deleted.get(number).copied().unwrap_or(false)),
                Err(refusal) => Err(refusal.clone()),
            };
            // Who asked may be gone.
            let _ = answer.send(one);
        }
    }
}
