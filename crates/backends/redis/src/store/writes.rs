//! Plain writes that come together go together: who writes while another one does goes into one pipeline with all others who
//! come at about the same time, and the next pipeline does not wait for the answers to that one. Who is alone writes at once.
//!
//! A write that was given up must not happen after what its caller does next. So it is taken from those that wait and handed to
//! the connection, whose order all calls share, in one step, and whoever gives up waits that step out: its write has its place
//! before all that comes, or is never sent.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::Poll;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use redis::{Cmd, Pipeline, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{unconstrained, yield_now};
use tokio::time::timeout_at;

use super::reads::Present;
use crate::connect::History;
use crate::link::{About, Link};
use crate::script::strange;

/// Each writer's own error names its key.
const TOGETHER: About<'static> = About { operation: "write", on: "several keys" };

/// A write that waits for its turn.
struct Write {
    command: Cmd,
    answer: oneshot::Sender<Result<Value>>,
}

/// The writers' end.
pub(super) struct Writes {
    link: Arc<Link>,
    waiting: mpsc::Sender<Write>,
    present: AtomicUsize,
    handing: Arc<Mutex<()>>,
}

/// The other end, which sends.
pub(super) struct Lane {
    link: Arc<Link>,
    coming: mpsc::Receiver<Write>,
    /// Held while writes are handed over.
    handing: Arc<Mutex<()>>,
}

/// One who waits for an answer, or gives up.
struct Waits<'a> {
    answered: oneshot::Receiver<Result<Value>>,
    /// Whether there was one.
    is_over: bool,
    handing: &'a Mutex<()>,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.answered.close();
            // Whoever hands it over just now has done so.
            drop(self.handing.lock());
        }
    }
}

impl Writes {
    pub(super) fn new(link: Arc<Link>) -> (Self, Lane) {
        let (waiting, coming) = mpsc::channel(limits::redis::REQUESTS_MAX);
        let handing = Arc::new(Mutex::new(()));
        let lane = Lane { link: link.clone(), coming, handing: handing.clone() };
        (Self { link, waiting, present: AtomicUsize::new(0), handing }, lane)
    }

    /// What the server answers to a command for its present history. `size` is about what that has in bytes: a large one waits
    /// for no others.
    ///
    /// One that waits while the connection is made anew may come with a history that is over: then nobody reads what it wrote.
    pub(super) async fn write(
        &self,
        about: About<'_>,
        size: usize,
        command: impl Fn(History) -> Cmd,
    ) -> Result<Value> {
        let end = self.link.end_of(size);
        let standing = self.link.standing(about)?;
        let command = command(standing.facts.history);
        let present = Present::come(&self.present);
        if present.is_alone() || size > limits::redis::WRITE_BYTES_TOGETHER_MAX {
            return self.link.ask_on(about, standing, &command, end).await;
        }
        drop(standing);
        let (answer, answered) = oneshot::channel();
        let mut waits = Waits { answered, is_over: false, handing: &self.handing };
        let gone = || about.error(Kind::Closed);
        let answered = async {
            self.waiting.send(Write { command, answer }).await.map_err(|_| gone())?;
            let answer = (&mut waits.answered).await;
            waits.is_over = true;
            answer.map_err(|_| gone())?.map_err(|error| about.again(&error))
        };
        let late = |_| Err(about.error(Kind::Unavailable).because("the server did not answer in time"));
        timeout_at(end, answered).await.unwrap_or_else(late)
    }
}

impl Lane {
    /// Serves until the link is closed or nobody can come any more.
    pub(super) async fn serve(mut self) {
        let (mut came, mut sent) = (Vec::new(), FuturesUnordered::new());
        let mut closed = pin!(self.link.closed());
        loop {
            let has_room = sent.len() < limits::redis::WRITES_SENT_MAX;
            tokio::select! {
                biased;
                () = &mut closed => return,
                Some(()) = sent.next(), if !sent.is_empty() => continue,
                count = self.coming.recv_many(&mut came, limits::redis::WRITES_MAX), if has_room => if count == 0 { return },
            }
            // Whoever is about to write as well has its turn first: then it goes into the same pipeline.
            yield_now().await;
            while came.len() < limits::redis::WRITES_MAX
                && let Ok(write) = self.coming.try_recv()
            {
                came.push(write);
            }
            let mut batch = Box::pin(unconstrained(send(&self.link, std::mem::take(&mut came))));
            if begin_under(&self.handing, batch.as_mut()).await.is_pending() {
                sent.push(batch);
            }
        }
    }
}

/// Hands over what is not given up before it waits for anything.
async fn send(link: &Link, came: Vec<Write>) {
    let (pipeline, answers) = still_wanted(came);
    if answers.is_empty() {
        return;
    }
    let about = TOGETHER;
    let asked = match link.standing(about) {
        Ok(standing) => link.ask_all(about, standing, &pipeline, link.end_of(0)).await,
        Err(error) => Err(error),
    };
    // Whoever does not wait any more does not get it.
    match asked {
        Ok(values) if values.len() == answers.len() => {
            answers.into_iter().zip(values).for_each(|(answer, value)| {
                let _ = answer.send(value);
            });
        }
        Ok(_) => fail(answers, &strange(about)),
        Err(error) => fail(answers, &error),
    }
}

/// The commands of those who have not given up, and where their answers go.
fn still_wanted(came: Vec<Write>) -> (Pipeline, Vec<oneshot::Sender<Result<Value>>>) {
    let mut pipeline = Pipeline::with_capacity(came.len());
    let mut answers = Vec::with_capacity(came.len());
    for Write { command, answer } in came.into_iter().filter(|write| !write.answer.is_closed()) {
        pipeline.add_command(command);
        answers.push(answer);
    }
    (pipeline, answers)
}

fn fail(answers: Vec<oneshot::Sender<Result<Value>>>, error: &Error) {
    for answer in answers {
        let _ = answer.send(Err(TOGETHER.again(error)));
    }
}

/// Does what comes before the first wait under the lock. No budget may make that wait earlier.
async fn begin_under<T>(lock: &Mutex<()>, mut work: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    poll_fn(|context| {
        let _lock = lock.lock();
        Poll::Ready(work.as_mut().poll(context))
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering::SeqCst;
    use std::thread;
    use std::time::Duration;

    use forebay_contract::servers::within;

    use super::*;

    const SOON: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn the_first_step_is_under_the_lock_and_no_later_one() {
        let lock = Mutex::new(());
        let work = async {
            assert!(lock.is_locked());
            tokio::task::yield_now().await;
            assert!(!lock.is_locked());
            7
        };
        let mut work = Box::pin(work);
        assert!(begin_under(&lock, work.as_mut()).await.is_pending());
        assert_eq!(work.await, 7);
    }

    #[test]
    fn whoever_gives_up_waits_until_what_is_being_handed_over_has_been() {
        let handing = Mutex::new(());
        let (answer, answered) = oneshot::channel();
        let is_handed = AtomicBool::new(false);
        thread::scope(|scope| {
            let held = handing.lock();
            let waits = Waits { answered, is_over: false, handing: &handing };
            let given_up = scope.spawn(|| {
                drop(waits);
                is_handed.load(SeqCst)
            });
            within(SOON, "it gives up", || answer.is_closed());
            is_handed.store(true, SeqCst);
            drop(held);
            assert!(given_up.join().unwrap(), "it was done with before");
        });
    }

    #[test]
    fn what_was_given_up_while_it_waited_is_not_sent() {
        let asked = |key: &str| {
            let (answer, answered) = oneshot::channel();
            let mut command = redis::cmd("SET");
            command.arg(key).arg("value");
            (Write { command, answer }, answered)
        };
        let ((one, _wanted), (given_up, nobody), (two, _wanted_too)) =
            (asked("one"), asked("none"), asked("two"));
        drop(nobody);
        let (pipeline, answers) = still_wanted(vec![one, given_up, two]);
        let sent = String::from_utf8(pipeline.get_packed_pipeline()).unwrap();
        assert!(sent.contains("one") && sent.contains("two") && !sent.contains("none"), "{sent}");
        assert_eq!(answers.len(), 2);
    }

    #[test]
    fn whoever_has_its_answer_waits_for_nobody() {
        let handing = Mutex::new(());
        let _held = handing.lock();
        let (_answer, answered) = oneshot::channel();
        drop(Waits { answered, is_over: true, handing: &handing });
    }
}
