//! The actions of SQS that are used, one function each.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message,
    MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName, SendMessageBatchRequestEntry,
};
use forebay_core::limits::sqs as limits;
use forebay_core::time::Instant;

use super::connect::Wire;
use super::refusal::Refusal;
use crate::message::envelope::{ATTRIBUTE, Packed};

type Result<T> = std::result::Result<T, Refusal>;

/// A message to be sent.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) packed: Packed,
    /// Whole seconds, 0 to 900; an ordered queue takes none.
    pub(crate) delay: Duration,
    /// The message group, and what SQS knows this sending by, in an ordered queue.
    pub(crate) group: Option<(String, String)>,
}

/// A message that was received.
pub(crate) struct Taken {
    pub(crate) id: String,
    pub(crate) receipt: String,
    pub(crate) body: String,
    pub(crate) attribute: Option<Vec<u8>>,
    /// How often SQS has handed it out, this time included.
    pub(crate) count: u32,
    pub(crate) sent_at: Instant,
}

/// How long a message is to be hidden from now.
pub(crate) struct Change {
    pub(crate) receipt: String,
    pub(crate) hide: Duration,
}

/// The depth of a queue, as SQS counts it: roughly.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Depth {
    pub(crate) visible: u64,
    pub(crate) hidden: u64,
    pub(crate) delayed: u64,
    /// The largest message that the queue takes.
    pub(crate) bytes_max: Option<usize>,
}

fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_secs()).unwrap_or(i32::MAX)
}

impl Wire {
    /// Where a queue of this name is.
    pub(crate) async fn find(&self, name: &str) -> Result<Option<String>> {
        let found = self.ask(|| {
            let find = self.client.get_queue_url().queue_name(name);
            find.set_queue_owner_aws_account_id(self.account.clone()).send()
        });
        match found.await {
            Ok(found) => Ok(found.queue_url),
            Err(Refusal::NoQueue) => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// Makes a queue that keeps messages as long as SQS can.
    pub(crate) async fn create(
        &self,
        name: &str,
        ordered: bool,
        tags: &HashMap<String, String>,
    ) -> Result<String> {
        let mut attributes = HashMap::from([(
            QueueAttributeName::MessageRetentionPeriod,
            limits::RETENTION.as_secs().to_string(),
        )]);
        if ordered {
            // Groups neither wait nor are counted together.
            attributes.extend([
                (QueueAttributeName::FifoQueue, "true".to_owned()),
                (QueueAttributeName::DeduplicationScope, "messageGroup".to_owned()),
                (QueueAttributeName::FifoThroughputLimit, "perMessageGroupId".to_owned()),
            ]);
        }
        let created = self.ask(|| {
            let create = self.client.create_queue().queue_name(name);
            create.set_attributes(Some(attributes.clone())).set_tags(Some(tags.clone())).send()
        });
        created.await?.queue_url.ok_or(Refusal::Away("its answer makes no sense"))
    }

    pub(crate) async fn tags(&self, url: &str) -> Result<HashMap<String, String>> {
        let tags = self.ask(|| self.client.list_queue_tags().queue_url(url).send()).await?;
        Ok(tags.tags.unwrap_or_default())
    }

    pub(crate) async fn tag(&self, url: &str, tags: &HashMap<String, String>) -> Result<()> {
        let tag = || self.client.tag_queue().queue_url(url).set_tags(Some(tags.clone())).send();
        self.ask(tag).await.map(drop)
    }

    pub(crate) async fn depth(&self, url: &str) -> Result<Depth> {
        use QueueAttributeName::{
            ApproximateNumberOfMessages, ApproximateNumberOfMessagesDelayed,
            ApproximateNumberOfMessagesNotVisible, MaximumMessageSize,
        };
        let asked = vec![
            ApproximateNumberOfMessages,
            ApproximateNumberOfMessagesDelayed,
            ApproximateNumberOfMessagesNotVisible,
            MaximumMessageSize,
        ];
        let told = self.ask(|| {
            self.client.get_queue_attributes().queue_url(url).set_attribute_names(Some(asked.clone())).send()
        });
        let told = told.await?.attributes.unwrap_or_default();
        let number = |name: &QueueAttributeName| told.get(name).and_then(|text| text.parse().ok());
        Ok(Depth {
            visible: number(&ApproximateNumberOfMessages).unwrap_or(0),
            hidden: number(&ApproximateNumberOfMessagesNotVisible).unwrap_or(0),
            delayed: number(&ApproximateNumberOfMessagesDelayed).unwrap_or(0),
            bytes_max: number(&MaximumMessageSize).and_then(|bytes| usize::try_from(bytes).ok()),
        })
    }

    /// Sends up to ten messages; those that SQS did not take come back with why.
    pub(crate) async fn send(&self, url: &str, entries: &[Entry]) -> Result<Vec<(usize, Refusal)>> {
        let built: std::result::Result<Vec<_>, _> =
            entries.iter().enumerate().map(|(number, entry)| entry.build(number)).collect();
        let built = built.map_err(|error| Refusal::Said("InvalidMessage".into(), error.to_string()))?;
        let sent = self.once(
            Duration::ZERO,
            self.client.send_message_batch().queue_url(url).set_entries(Some(built)).send(),
        );
        let sent = sent.await?;
        let taken: Vec<usize> = sent.successful.iter().filter_map(|entry| entry.id.parse().ok()).collect();
        let why = |number: usize| {
            let failed = sent.failed.iter().find(|failed| failed.id.parse() == Ok(number));
            failed.map_or(Refusal::Away("its answer leaves out a message"), |failed| {
                let said = failed.message.clone().unwrap_or_default();
                Refusal::by_word(failed.code.clone(), said, failed.sender_fault)
            })
        };
        let left = (0..entries.len()).filter(|number| !taken.contains(number));
        Ok(left.map(|number| (number, why(number))).collect())
    }

    /// Takes up to ten messages, waiting for them so long, and hides them from others so long.
    pub(crate) async fn receive(
        &self,
        url: &str,
        count: usize,
        wait: Duration,
        hide: Duration,
    ) -> Result<Vec<Taken>> {
        let asked = self.client.receive_message().queue_url(url);
        let asked = asked
            .max_number_of_messages(count.clamp(1, limits::BATCH_MAX) as i32)
            .wait_time_seconds(seconds(wait))
            .visibility_timeout(seconds(hide))
            .message_attribute_names(ATTRIBUTE)
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp);
        let received = self.once(wait, asked.send()).await?;
        Ok(received.messages.unwrap_or_default().into_iter().filter_map(Taken::read).collect())
    }

    /// Changes for how long up to ten messages are hidden. Says of each whether it was: one that is no longer ours is not.
    pub(crate) async fn change(&self, url: &str, changes: &[Change]) -> Result<Vec<bool>> {
        let built: std::result::Result<Vec<_>, _> = changes
            .iter()
            .enumerate()
            .map(|(number, change)| {
                ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(number.to_string())
                    .receipt_handle(&change.receipt)
                    .visibility_timeout(seconds(change.hide))
                    .build()
            })
            .collect();
        let built = built.map_err(|error| Refusal::Said("InvalidChange".into(), error.to_string()))?;
        let changed = self.once(
            Duration::ZERO,
            self.client.change_message_visibility_batch().queue_url(url).set_entries(Some(built)).send(),
        );
        let changed = changed.await?;
        whole(&changed.failed)?;
        let done: Vec<usize> = changed.successful.iter().filter_map(|entry| entry.id.parse().ok()).collect();
        Ok((0..changes.len()).map(|number| done.contains(&number)).collect())
    }

    /// The same, tried again for as long as a call may wait.
    pub(crate) async fn change_surely(&self, url: &str, changes: &[Change]) -> Result<Vec<bool>> {
        self.patiently(|| self.change(url, changes)).await
    }

    /// Deletes up to ten messages. Says of each whether it was: one that is no longer ours is not.
    pub(crate) async fn delete(&self, url: &str, receipts: &[String]) -> Result<Vec<bool>> {
        let built: std::result::Result<Vec<_>, _> = receipts
            .iter()
            .enumerate()
            .map(|(number, receipt)| {
                let entry = DeleteMessageBatchRequestEntry::builder().id(number.to_string());
                entry.receipt_handle(receipt).build()
            })
            .collect();
        let built = built.map_err(|error| Refusal::Said("InvalidReceipt".into(), error.to_string()))?;
        let delete = || async {
            let request = self.client.delete_message_batch().queue_url(url).set_entries(Some(built.clone()));
            let deleted = self.once(Duration::ZERO, request.send()).await?;
            whole(&deleted.failed)?;
            let done: Vec<usize> =
                deleted.successful.iter().filter_map(|entry| entry.id.parse().ok()).collect();
            Ok((0..receipts.len()).map(|number| done.contains(&number)).collect())
        };
        self.patiently(delete).await
    }

    pub(crate) async fn purge(&self, url: &str) -> Result<()> {
        self.ask(|| self.client.purge_queue().queue_url(url).send()).await.map(drop)
    }

    pub(crate) async fn delete_queue(&self, url: &str) -> Result<()> {
        self.ask(|| self.client.delete_queue().queue_url(url).send()).await.map(drop)
    }

    /// The addresses of all queues whose names begin so.
    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let prefix = Some(prefix).filter(|prefix| !prefix.is_empty()).map(str::to_owned);
        let (mut urls, mut next) = (Vec::new(), None);
        while urls.len() < forebay_core::limits::QUEUES_MAX {
            let listed = self.ask(|| {
                let list = self.client.list_queues().set_queue_name_prefix(prefix.clone());
                list.max_results(limits::LIST_MAX as i32).set_next_token(next.clone()).send()
            });
            let listed = listed.await?;
            urls.extend(listed.queue_urls.unwrap_or_default());
            next = listed.next_token;
            if next.is_none() {
                break;
            }
        }
        Ok(urls)
    }
}

/// A failure that passes is one of the whole request, which may be made again; what else failed is no longer ours.
fn whole(failed: &[BatchResultErrorEntry]) -> Result<()> {
    let mut refusals =
        failed.iter().map(|entry| Refusal::by_word(entry.code.clone(), String::new(), entry.sender_fault));
    refusals.find(Refusal::may_pass).map_or(Ok(()), Err)
}

impl Entry {
    fn build(
        &self,
        number: usize,
    ) -> std::result::Result<SendMessageBatchRequestEntry, aws_sdk_sqs::error::BuildError> {
        let attribute = MessageAttributeValue::builder()
            .data_type("Binary")
            .binary_value(Blob::new(self.packed.attribute.clone()))
            .build()?;
        let entry = SendMessageBatchRequestEntry::builder()
            .id(number.to_string())
            .message_body(&self.packed.body)
            .message_attributes(ATTRIBUTE, attribute);
        match &self.group {
            // An ordered queue takes no delay, not even none.
            Some((group, once)) => entry.message_group_id(group).message_deduplication_id(once).build(),
            None => entry.delay_seconds(seconds(self.delay)).build(),
        }
    }
}

impl Taken {
    fn read(message: Message) -> Option<Self> {
        let attribute = message.message_attributes.as_ref().and_then(|all| all.get(ATTRIBUTE));
        let system = |name: &MessageSystemAttributeName| -> Option<u64> {
            message.attributes.as_ref()?.get(name)?.parse().ok()
        };
        let count = system(&MessageSystemAttributeName::ApproximateReceiveCount).unwrap_or(1);
        let sent_at = system(&MessageSystemAttributeName::SentTimestamp).unwrap_or(0);
        Some(Self {
            attribute: attribute.and_then(|value| value.binary_value.clone()).map(Blob::into_inner),
            count: u32::try_from(count).unwrap_or(u32::MAX),
            sent_at: Instant::from_ms(sent_at),
            id: message.message_id.unwrap_or_default(),
            receipt: message.receipt_handle?,
            body: message.body.unwrap_or_default(),
        })
    }
}
