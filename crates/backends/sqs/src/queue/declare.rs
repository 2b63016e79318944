//! Finding and declaring queues.

use std::collections::HashMap;
use std::sync::Arc;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::sqs as limits;
use forebay_core::queue::{Order, QueueName, QueueSettings};
use forebay_envelope::record::compare;

use super::names::Names;
use super::{Queue, record};
use crate::inner::Inner;
use crate::wire::refusal::Refusal;

const DECLARE: &str = "declare queue";
const FIND: &str = "find queue";
const DELETE: &str = "delete queue";

/// A queue of SQS's of the name that was asked for.
struct There {
    url: String,
    ordered: bool,
    /// What was declared of it; `None` if somebody else has made it.
    settings: Option<QueueSettings>,
}

impl Inner {
    /// A queue as it is known here, or is on SQS. `NotFound` if it has not been declared.
    pub(crate) async fn queue(&self, name: &QueueName, operation: &'static str) -> Result<Arc<Queue>> {
        self.check_open(operation)?;
        match self.known(name) {
            Some(queue) => Ok(queue),
            None => self.queue_anew(name, operation).await,
        }
    }

    /// A queue as it is on SQS now, whatever is remembered of it.
    pub(crate) async fn queue_anew(&self, name: &QueueName, operation: &'static str) -> Result<Arc<Queue>> {
        let names = Names::new(&self.settings.prefix, name)?;
        let there = self.look_for(&names, name).await?;
        let Some((url, settings)) = there.and_then(|there| Some((there.url, there.settings?))) else {
            self.forget(name);
            return Err(Error::new(Kind::NotFound, operation, name.as_str()));
        };
        self.take_in(&names, settings, url).await
    }

    /// Declares a queue.
    pub(crate) async fn declare(&self, settings: &QueueSettings) -> Result<Arc<Queue>> {
        record::check(settings)?;
        let names = Names::new(&self.settings.prefix, &settings.name)?;
        // Where its dead letters go must be possible before there is one.
        settings.dead_letter.iter().try_for_each(|to| Names::new(&self.settings.prefix, to).map(drop))?;
        let ordered = settings.order == Order::Key;
        let asked_for = record::write(settings);
        let refused = |refusal: Refusal| refusal.during(DECLARE, settings.name.as_str());
        let url = match self.look_for(&names, &settings.name).await? {
            Some(There { settings: Some(present), url, .. }) => {
                compare(&present, settings)?;
                return self.take_in(&names, present, url).await;
            }
            // It is somebody's, who knows nothing of us: it is taken as it is.
            Some(There { settings: None, url, ordered: present }) => {
                if present != ordered {
                    let context =
                        format!("{}: order is {}, not {}", settings.name, kind(present), kind(ordered));
                    return Err(Error::new(Kind::Conflict, DECLARE, context));
                }
                self.wire.tag(&url, &asked_for).await.map_err(refused)?;
                url
            }
            None => {
                let name = if ordered { &names.fifo } else { &names.plain };
                self.wire.create(name, ordered, &asked_for).await.map_err(refused)?
            }
        };
        // Two that declare it at one time: what SQS has kept counts.
        let tags = self.wire.tags(&url).await.map_err(refused)?;
        let kept = record::read(&settings.name, &tags)?.unwrap_or_else(|| settings.clone());
        compare(&kept, settings)?;
        self.take_in(&names, kept, url).await
    }

    /// Deletes a queue. Where its messages wait goes before it does: what is left if this fails half-way can be deleted again, and
    /// a queue that is declared anew finds nothing of it.
    pub(crate) async fn undeclare(&self, name: &QueueName) -> Result<()> {
        let names = Names::new(&self.settings.prefix, name)?;
        let there = self.look_for(&names, name).await?.filter(|there| there.settings.is_some());
        let delete = async {
            let Some(there) = there else { return Err(Refusal::NoQueue) };
            if let Some(later) = self.wire.find(&names.later).await? {
                match self.wire.delete_queue(&later).await {
                    Err(Refusal::NoQueue) => {}
                    deleted => deleted?,
                }
            }
            self.wire.delete_queue(&there.url).await
        };
        let deleted = delete.await;
        self.forget(name);
        deleted.map_err(|refusal| refusal.during(DELETE, name.as_str()))
    }

    async fn look_for(&self, names: &Names, name: &QueueName) -> Result<Option<There>> {
        for (on_sqs, ordered) in [(&names.plain, false), (&names.fifo, true)] {
            let look = async {
                let Some(url) = self.wire.find(on_sqs).await? else { return Ok(None) };
                Ok(Some((self.wire.tags(&url).await?, url)))
            };
            let found: std::result::Result<_, Refusal> = look.await;
            match found {
                Ok(Some((tags, url))) => {
                    let settings = record::read(name, &tags)?;
                    return Ok(Some(There { url, ordered, settings }));
                }
                // It went between the two.
                Ok(None) | Err(Refusal::NoQueue) => {}
                Err(refusal) => return Err(refusal.during(FIND, name.as_str())),
            }
        }
        Ok(None)
    }

    /// Remembers a queue that is there, with the one beside it in which its messages wait for their time.
    async fn take_in(&self, names: &Names, settings: QueueSettings, url: String) -> Result<Arc<Queue>> {
        if let Some(known) = self.known(&settings.name) {
            if known.settings == settings && known.url == url {
                return Ok(known);
            }
            self.forget(&settings.name);
        }
        let name = settings.name.clone();
        let look = async {
            let later = match self.wire.find(&names.later).await? {
                Some(later) => later,
                None => self.wire.create(&names.later, false, &HashMap::new()).await?,
            };
            let takes = [self.wire.depth(&url).await?.bytes_max, self.wire.depth(&later).await?.bytes_max];
            Ok((later, takes.into_iter().flatten().min().unwrap_or(limits::MESSAGE_BYTES_DEFAULT)))
        };
        let looked: std::result::Result<_, Refusal> = look.await;
        let (later, bytes_max) = looked.map_err(|refusal| refusal.during(FIND, name.as_str()))?;
        self.check_open(FIND)?;
        Ok(self.remember(Queue::new(settings, url, later, bytes_max)))
    }
}

fn kind(ordered: bool) -> &'static str {
    if ordered { "Key" } else { "Arrival" }
}
