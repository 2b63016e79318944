//! Telling publishers that they must wait.

use forebay_core::pressure::Rung;
use forebay_wire::amqp::methods::connection;
use forebay_wire::amqp::text::ShortStr;

use super::phase::Phase;
use super::session::Session;

impl Session {
    /// Tells the client that what it publishes waits, or no longer does, if that is news and it wants to know.
    pub(crate) fn tell_blocked(&mut self) {
        let is_blocked = self.gate.is_shut();
        if self.phase != Phase::Running || !self.tells_blocked || self.is_told_blocked == is_blocked {
            return;
        }
        self.is_told_blocked = is_blocked;
        if is_blocked {
            let is_memory = self.shared.pressure.stats().rung == Rung::PublishesRefused;
            let reason = if is_memory { "low on memory" } else { "low on disk" };
            self.send(0, &connection::Blocked { reason: ShortStr::cut(reason) });
        } else {
            self.send(0, &connection::Unblocked {});
        }
    }
}
