//! Carrying out outcomes. Acknowledgements that come together go together: one script ends them all, while those that come
//! meanwhile wait for the next.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;

use forebay_core::delivery::{DeliveryId, Outcome, Settled};
use forebay_core::error::{Kind, Result};
use forebay_core::limits;
use forebay_core::ports::BoxFuture;
use forebay_core::queue::QueueName;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::moment_text;
use super::session::{Session, token_text};
use crate::link::About;
use crate::script::strange;

const OPERATION: &str = "settle delivery";

/// An acknowledgement that waits for its turn.
pub(super) struct Ack {
    queue: QueueName,
    id: DeliveryId,
    answer: oneshot::Sender<Result<Settled>>,
}

/// Carries out an outcome that is not [`Outcome::Done`].
pub(super) async fn settle(
    session: &Session,
    queue: &QueueName,
    delivery: DeliveryId,
    outcome: Outcome,
    note: Option<&str>,
) -> Result<Settled> {
    let (outcome, detail) = match outcome {
        Outcome::Done => ("done", String::new()),
        Outcome::Return { seen: false } => ("return", String::new()),
        Outcome::Return { seen: true } => ("seen", String::new()),
        Outcome::RetryAt(at) => ("retry", moment_text(Some(at))),
        Outcome::DeadLetter(reason) => ("dead", reason.as_str().to_owned()),
    };
    let (position, token) = (delivery.position.to_string(), token_text(delivery.token));
    let [fresh, wait] = session.moving();
    let rest = [position.as_bytes(), token.as_bytes(), outcome.as_bytes(), detail.as_bytes()];
    let arguments = [&[fresh, wait], &rest[..], &[cut(note.unwrap_or("")).as_bytes()]].concat();
    match session.run(OPERATION, &session.scripts.settle, queue, &arguments).await? {
        Value::Int(1) => Ok(Settled::Done),
        Value::Int(0) => Ok(Settled::NotHeld),
        _ => Err(strange(about(queue))),
    }
}

/// Has a delivery acknowledged together with others.
pub(super) async fn acknowledge(
    session: &Session,
    acks: &mpsc::Sender<Ack>,
    queue: &QueueName,
    id: DeliveryId,
) -> Result<Settled> {
    session.check_open(about(queue))?;
    let settings = &session.link.settings;
    let answered = async {
        let (answer, answered) = oneshot::channel();
        let gone = || about(queue).error(Kind::Closed);
        acks.send(Ack { queue: queue.clone(), id, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    };
    timeout(settings.patience + settings.timeout, answered).await.unwrap_or_else(|_| {
        Err(about(queue).error(Kind::Unavailable).because("the server did not answer in time"))
    })
}

/// Sends acknowledgements, for each queue one script at a time.
pub(super) struct Acks {
    session: Arc<Session>,
    coming: mpsc::Receiver<Ack>,
    /// Those that wait for the script that is on its way, of every queue that has one; an empty one is about to begin.
    lines: HashMap<QueueName, Vec<Ack>>,
    waiting: usize,
    /// Each is ready with its queue.
    scripts: FuturesUnordered<BoxFuture<'static, QueueName>>,
}

impl Acks {
    pub(super) fn new(session: Arc<Session>, coming: mpsc::Receiver<Ack>) -> Self {
        let (lines, scripts) = (HashMap::new(), FuturesUnordered::new());
        Self { session, coming, lines, waiting: 0, scripts }
    }

    /// Serves until the broker is closed or dropped. Who waits then is told so.
    pub(super) async fn serve(mut self) {
        let session = self.session.clone();
        let mut closing = pin!(session.closing());
        let mut came = Vec::new();
        loop {
            let room = limits::redis::ACKS_WAITING_MAX.saturating_sub(self.waiting);
            tokio::select! {
                biased;
                () = &mut closing => return,
                Some(queue) = self.scripts.next() => self.go_on(queue),
                count = self.coming.recv_many(&mut came, room), if room > 0 => {
                    if count == 0 {
                        return;
                    }
                    came.drain(..).for_each(|ack| self.enter(ack));
                }
            }
        }
    }

    fn enter(&mut self, ack: Ack) {
        self.waiting += 1;
        match self.lines.get_mut(&ack.queue) {
            Some(line) => line.push(ack),
            None => {
                let queue = ack.queue.clone();
                self.lines.insert(queue.clone(), vec![ack]);
                self.scripts.push(Box::pin(async { queue }));
            }
        }
    }

    /// A queue's script is over: the next one is for those who came meanwhile.
    fn go_on(&mut self, queue: QueueName) {
        let Some(line) = self.lines.get_mut(&queue) else { return };
        let acks: Vec<Ack> = line.drain(..line.len().min(limits::redis::ACKS_MAX)).collect();
        if acks.is_empty() {
            self.lines.remove(&queue);
            return;
        }
        self.waiting -= acks.len();
        let session = self.session.clone();
        self.scripts.push(Box::pin(async move {
            acknowledge_all(&session, &queue, acks).await;
            queue
        }));
    }
}

/// Acknowledges all of them, and tells each who waits what became of it.
async fn acknowledge_all(session: &Session, queue: &QueueName, acks: Vec<Ack>) {
    // Who has given up before it was sent need not have it sent.
    let acks: Vec<Ack> = acks.into_iter().filter(|ack| !ack.answer.is_closed()).collect();
    if acks.is_empty() {
        return;
    }
    let texts: Vec<String> =
        acks.iter().flat_map(|ack| [ack.id.position.to_string(), token_text(ack.id.token)]).collect();
    let arguments: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
    let about = about(queue);
    let answer = session.run_until_done(about, &session.scripts.ack, queue, &arguments, None);
    let settled = answer.await.and_then(|answer| match answer {
        Value::BulkString(each) if each.len() == acks.len() => Ok(each),
        _ => Err(strange(about)),
    });
    for (place, ack) in acks.into_iter().enumerate() {
        let answer = match &settled {
            Ok(each) if each.get(place) == Some(&b'1') => Ok(Settled::Done),
            Ok(_) => Ok(Settled::NotHeld),
            Err(error) => Err(about.again(error)),
        };
        // Whoever does not wait any more does not get it.
        let _ = ack.answer.send(answer);
    }
}

fn about(queue: &QueueName) -> About<'_> {
    About { operation: OPERATION, on: queue.as_str() }
}

/// A note may be long and is cut where a character begins.
fn cut(note: &str) -> &str {
    let mut end = note.len().min(limits::NOTE_BYTES_MAX);
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    &note[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_cut_where_a_character_begins() {
        assert_eq!(cut("short"), "short");
        let long = "ä".repeat(limits::NOTE_BYTES_MAX);
        let odd = format!("x{long}");
        assert_eq!(cut(&long).len(), limits::NOTE_BYTES_MAX);
        assert_eq!(cut(&odd).len(), limits::NOTE_BYTES_MAX - 1);
    }
}
