//! RabbitMQ keeps what every bus promises, on the real server, over its restarts, and tells what was lost.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod faults;
mod ground;

use std::sync::Arc;
use std::time::Duration;

use forebay_contract::bus::Rig;
use forebay_contract::servers::Restarts;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::bus::Bus;
use ground::Ground;
use tokio::time::sleep;

/// How long it takes to hand on what has come.
const QUIET: Duration = Duration::from_millis(5);
/// The same where the bus cannot be asked any more.
const QUIET_WHEN_CLOSED: Duration = Duration::from_millis(200);

impl Rig for Ground {
    fn bus(&self) -> Arc<dyn Bus> {
        Arc::new(self.bus.clone())
    }

    fn kept(&self) -> usize {
        ground::NOTICES
    }

    fn run(&self, future: BoxFuture<'_, ()>) {
        self.on(future);
    }

    fn poll(&self, future: &mut BoxFuture<'_, ()>) -> bool {
        let quiet = async {
            // Its answer has come back behind all that was published before.
            if self.bus.head().await.is_err() {
                sleep(QUIET_WHEN_CLOSED).await;
            }
            sleep(QUIET).await;
        };
        self.process.run_until(quiet, future)
    }

    fn close(&self) {
        self.bus.close();
    }

    fn restart(&mut self) {
        self.server.sync_log();
        self.server.kill();
        self.server.start_again();
        self.reopen();
    }
}

mod contract {
    use super::ground::Ground;

    fn bus() -> Ground {
        Ground::new()
    }

    forebay_contract::bus!(bus);
}
