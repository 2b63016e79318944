//! Reads that come together go together: who asks while another one's answer is on its way waits for it with all others who do,
//! and then one command asks for all of them. Who is alone asks at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use forebay_core::error::{Kind, Result};
use forebay_core::limits;
use redis::{Cmd, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout_at;

use crate::connect::History;
use crate::link::{About, Link, bytes_of};
use crate::script::strange;

/// A read that waits for its turn.
struct Read {
    key: Vec<u8>,
    answer: oneshot::Sender<Result<Found>>,
}

/// What lies in the server, and the history that the server goes on with.
pub(super) type Found = (Value, History);

/// The readers' end.
pub(super) struct Reads {
    link: Arc<Link>,
    waiting: mpsc::Sender<Read>,
    /// Reads on their way, those that wait included.
    present: AtomicUsize,
}

/// The other end, which sends.
pub(super) struct Lane {
    link: Arc<Link>,
    coming: mpsc::Receiver<Read>,
}

/// One call of those that are present.
pub(super) struct Present<'a> {
    all: &'a AtomicUsize,
    is_alone: bool,
}

impl<'a> Present<'a> {
    pub(super) fn come(all: &'a AtomicUsize) -> Self {
        Self { all, is_alone: all.fetch_add(1, SeqCst) == 0 }
    }

    /// Whether nobody was there when it came.
    pub(super) fn is_alone(&self) -> bool {
        self.is_alone
    }
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(1, SeqCst);
    }
}

impl Reads {
    pub(super) fn new(link: Arc<Link>) -> (Self, Lane) {
        let (waiting, coming) = mpsc::channel(limits::redis::REQUESTS_MAX);
        (Self { link: link.clone(), waiting, present: AtomicUsize::new(0) }, Lane { link, coming })
    }

    /// What lies under the key in the server.
    pub(super) async fn read(&self, about: About<'_>, key: Vec<u8>) -> Result<Found> {
        let end = self.link.end_of(key.len());
        let present = Present::come(&self.present);
        if present.is_alone() {
            let mut command = Cmd::with_capacity(2, key.len() + 3);
            command.arg("GET").arg(key);
            return ask(&self.link, about, &command).await;
        }
        let (answer, answered) = oneshot::channel();
        let gone = || about.error(Kind::Closed);
        let answered = async {
            self.waiting.send(Read { key, answer }).await.map_err(|_| gone())?;
            answered.await.map_err(|_| gone())?.map_err(|error| about.again(&error))
        };
        let late = |_| Err(about.error(Kind::Unavailable).because("the server did not answer in time"));
        timeout_at(end, answered).await.unwrap_or_else(late)
    }
}

impl Lane {
    /// Serves until the link is closed or nobody can come any more.
    pub(super) async fn serve(mut self) {
        let mut came = Vec::new();
        loop {
            let count = tokio::select! {
                count = self.coming.recv_many(&mut came, limits::redis::READS_MAX) => count,
                () = self.link.closed() => return,
            };
            if count == 0 {
                return;
            }
            self.read(came.drain(..).filter(|read| !read.answer.is_closed()).collect()).await;
        }
    }

    async fn read(&self, reads: Vec<Read>) {
        if reads.is_empty() {
            return;
        }
        let about = About { operation: "read", on: "several keys" };
        let keys: Vec<&[u8]> = reads.iter().map(|read| &*read.key).collect();
        // Whoever does not wait any more does not get it.
        match read_all(&self.link, about, &keys).await {
            Ok((values, history)) => reads.into_iter().zip(values).for_each(|(read, value)| {
                let _ = read.answer.send(Ok((value, history)));
            }),
            Err(error) => reads.into_iter().for_each(|read| {
                let _ = read.answer.send(Err(about.again(&error)));
            }),
        }
    }
}

/// A value for each key.
async fn read_all(link: &Link, about: About<'_>, keys: &[&[u8]]) -> Result<(Vec<Value>, History)> {
    let mut command = redis::cmd("MGET");
    command.arg(keys);
    match ask(link, about, &command).await? {
        (Value::Array(values), history) if values.len() == keys.len() => Ok((values, history)),
        _ => Err(strange(about)),
    }
}

/// Asks over the connection that stands, whose history the answer is of.
async fn ask(link: &Link, about: About<'_>, command: &Cmd) -> Result<Found> {
    let standing = link.standing(about)?;
    let history = standing.facts.history;
    let value = link.ask_on(about, standing, command, link.end_of(bytes_of(command))).await?;
    Ok((value, history))
}
