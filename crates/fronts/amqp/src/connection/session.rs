//! The state of a connection, and what all methods need of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use forebay_core::delivery::{Delivery, DeliveryId, Outcome};
use forebay_core::error;
use forebay_core::limits;
use forebay_core::ports::BoxFuture;
use forebay_core::queue::QueueName;
use forebay_core::time::Instant;
use forebay_wire::amqp::frame::FRAME_BYTES_MIN;
use forebay_wire::amqp::methods::{Arguments, MethodId, channel, connection};
use forebay_wire::amqp::reply::ReplyCode;
use forebay_wire::amqp::text::ShortStr;
use forebay_wire::amqp::write;
use futures_util::future::{Aborted, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::gate::Gate;
use super::output::Output;
use super::phase::Phase;
use crate::access::permissions::Permissions;
use crate::channel::parked::Parked;
use crate::channel::publisher::Arrived;
use crate::channel::state::Channel;
use crate::channel::transaction::Allowance;
use crate::exception::{Exception, Result};
use crate::replies::Mailbox;
use crate::shared::Shared;
use crate::vhost::registry::Vhost;

/// A batch of a channel that has arrived, with the channel's number and generation.
pub(crate) type Batch = (u16, u64, Arrived);
/// A commit whose deliveries are settled, with its channel's number and generation; true where all of it is durable.
pub(crate) type Committed = (u16, u64, bool);
/// What a consumer was handed, with its channel's number and its own.
pub(crate) type Received = (u16, u64, std::result::Result<error::Result<Vec<Delivery>>, Aborted>);

/// One connection.
pub(crate) struct Session {
    pub(crate) shared: Arc<Shared>,
    /// Tells it from all others of the process.
    pub(crate) number: u64,
    pub(crate) user: String,
    pub(crate) phase: Phase,
    /// What was agreed, or the least that any peer takes.
    pub(crate) frame_bytes_max: u32,
    pub(crate) channels_max: u16,
    /// How often a sign of life is to be given; 0 is never.
    pub(crate) heartbeat_seconds: u16,
    /// The client wants to be told when a consumer ends by itself.
    pub(crate) tells_cancels: bool,
    /// The client wants to be told when what it publishes must wait.
    pub(crate) tells_blocked: bool,
    /// It was told so.
    pub(crate) is_told_blocked: bool,
    /// The client wants to be told why it may not come in.
    pub(crate) tells_refusals: bool,
    pub(crate) out: Output,
    pub(crate) channels: BTreeMap<u16, Channel>,
    /// What its channels have said and must wait.
    pub(crate) parked: Parked,
    /// Batches on their way into the queues.
    pub(crate) batches: FuturesUnordered<BoxFuture<'static, Batch>>,
    /// Settled deliveries on their way into the log; true for those that got there.
    pub(crate) settles: FuturesUnordered<BoxFuture<'static, bool>>,
    /// Commits that settle deliveries.
    pub(crate) commits: FuturesUnordered<BoxFuture<'static, Committed>>,
    /// Consumers that wait.
    pub(crate) receives: FuturesUnordered<BoxFuture<'static, Received>>,
    /// Replies that come straight to its channels.
    pub(crate) mailbox: Arc<Mailbox>,
    /// Publishes that must wait.
    pub(crate) gate: Arc<Gate>,
    /// The virtual host that it is in.
    pub(crate) vhost: Arc<Vhost>,
    /// What its user may do there; nothing before it is in.
    pub(crate) permissions: Option<Permissions>,
    /// No delivery in the client's hands becomes overdue before that.
    pub(crate) overdue_at: Option<Instant>,
    /// What the transactions of its channels may have.
    pub(crate) allowance: Arc<Allowance>,
    /// Messages published and not yet arrived, and the memory that they take.
    pub(crate) publishing: (usize, usize),
    numbers: u64,
}

impl Session {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            number: shared.next_number(),
            vhost: shared.default_vhost(),
            permissions: None,
            allowance: Arc::new(Allowance::new(Arc::clone(&shared.bodies))),
            shared,
            user: String::new(),
            phase: Phase::Greeting,
            frame_bytes_max: FRAME_BYTES_MIN,
            channels_max: limits::amqp::CHANNELS_MAX,
            heartbeat_seconds: 0,
            tells_cancels: false,
            tells_blocked: false,
            is_told_blocked: false,
            tells_refusals: false,
            out: Output::default(),
            channels: BTreeMap::new(),
            parked: Parked::default(),
            batches: FuturesUnordered::new(),
            settles: FuturesUnordered::new(),
            commits: FuturesUnordered::new(),
            receives: FuturesUnordered::new(),
            mailbox: Arc::default(),
            gate: Arc::default(),
            overdue_at: None,
            publishing: (0, 0),
            numbers: 0,
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.shared.clock.now()
    }

    /// A number that nothing else of this connection has.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Sends a method.
    pub(crate) fn send<'m>(&mut self, channel: u16, method: &impl Arguments<'m>) {
        write::method(self.out.frames(), channel, method);
    }

    /// The channel that a method came on: it was seen to be open before the method was looked at.
    pub(crate) fn channel(&mut self, number: u16) -> Result<&mut Channel> {
        self.channels
            .get_mut(&number)
            .ok_or_else(|| Exception::new(ReplyCode::ChannelError, "expected 'channel.open'"))
    }

    /// True where more of what the client says may be carried out.
    pub(crate) fn may_take(&self) -> bool {
        let (messages, bytes) = self.publishing;
        !self.out.is_over()
            && messages < limits::amqp::PUBLISHING_MESSAGES_MAX
            && bytes < limits::amqp::PUBLISHING_BYTES_MAX
            && self.settles.len() < limits::amqp::SETTLING_MAX
    }

    /// Says why the channel or the connection ends, and ends it as far as that is done from here.
    pub(crate) async fn raise(&mut self, channel: u16, exception: Exception) {
        let text = exception.to_string();
        tracing::info!(connection = self.number, channel, %text, "amqp refused");
        if channel == 0 || exception.code.closes_connection() {
            return self.close(&exception);
        }
        let (reply_code, reply_text) = (exception.code.number(), ShortStr::cut(&text));
        let MethodId { class: class_id, method: method_id } = exception.method;
        self.release(channel).await;
        self.send(channel, &channel::Close { reply_code, reply_text, class_id, method_id });
        if let Some(channel) = self.channels.get_mut(&channel) {
            channel.closing = true;
        }
    }

    /// Says why the connection ends; only the client's answer is awaited.
    pub(crate) fn close(&mut self, exception: &Exception) {
        let text = exception.to_string();
        let (reply_code, reply_text) = (exception.code.number(), ShortStr::cut(&text));
        let MethodId { class: class_id, method: method_id } = exception.method;
        self.send(0, &connection::Close { reply_code, reply_text, class_id, method_id });
        self.phase = Phase::Closing(self.now() + limits::amqp::CLOSE_WAIT_MAX);
    }

    /// Answers a client that closes the connection. The queues that it has for itself go before it hears that: whoever comes
    /// then may declare them anew.
    pub(crate) fn close_ok(&mut self) {
        self.vhost.owned_by(self.number).iter().for_each(|queue| queue.go());
        self.send(0, &connection::CloseOk {});
        self.phase = Phase::Ended;
    }

    /// Carries out the outcome of a delivery. The client is not told when: AMQP has no word for it.
    pub(crate) fn settle(&self, queue: &QueueName, id: DeliveryId, outcome: Outcome) {
        self.settle_together(Some(queue), vec![id], outcome);
    }

    /// The same of several deliveries of one queue.
    pub(crate) fn settle_together(&self, queue: Option<&QueueName>, ids: Vec<DeliveryId>, outcome: Outcome) {
        let Some(queue) = queue.cloned() else { return };
        let (broker, clock) = (Arc::clone(&self.shared.broker), Arc::clone(&self.shared.clock));
        self.settles.push(Box::pin(async move {
            loop {
                match broker.settle_many(&queue, &ids, outcome).await {
                    Ok(_) => return true,
                    Err(error) if error.kind() == error::Kind::NotFound => return true,
                    Err(error) if matches!(error.kind(), error::Kind::Full | error::Kind::Unavailable) => {
                        tracing::debug!(%error, "settle by amqp is tried again");
                    }
                    Err(error) => {
                        tracing::warn!(%error, "settle by amqp failed");
                        return false;
                    }
                }
                // A hold has no end of its own: what is not settled now would be held until the process ends.
                clock.sleep_until(clock.now() + limits::BROKER_PAUSE).await;
            }
        }));
    }

    /// Lets every settled delivery reach its queue, so that what is asked next finds it there.
    pub(crate) fn apply_settles(&mut self) {
        while let Some(Some(_)) = self.settles.next().now_or_never() {}
    }
}
