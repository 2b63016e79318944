//! Queues that go when nobody has used them for their time.

use super::declare::OnlyIf;
use super::queue::Queue;
use super::registry::Vhost;

impl Vhost {
    /// Deletes the queues whose time has come.
    pub(crate) async fn expire_unused(&self) {
        for queue in self.expiring() {
            if !self.is_due(&queue) {
                continue;
            }
            let only_if = OnlyIf { overdue: true, ..OnlyIf::default() };
            if let Err(exception) = self.delete(&queue, only_if).await {
                tracing::warn!(queue = %queue.name, %exception, "unused queue could not be deleted");
            }
        }
    }

    /// Whether its time has come.
    pub(super) fn is_due(&self, queue: &Queue) -> bool {
        queue.expires_at().is_some_and(|at| at <= self.clock.now())
    }
}
