//! The suite of the ports `Broker` and `BrokerAdmin`.

use std::sync::Arc;
use std::time::Duration;

use forebay_contract::broker::Rig;
use forebay_contract::broker::pace::Pace;
use forebay_contract::servers::moto::Moto;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::broker::{Broker, BrokerAdmin};
use forebay_core::ports::clock::Clock;
use forebay_core::time::Instant;
use forebay_sqs::broker::SqsBroker;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::ground::Ground;
use crate::moto::url;

/// How long SQS hides what a process has that has died.
const VISIBILITY: Duration = Duration::from_secs(2);

/// SQS counts in whole seconds: so the cases' times are some.
const PACE: Pace =
    Pace { late: Duration::from_millis(300), quiet: Duration::from_millis(300), ..Pace::SERVER };
/// The same for a process that dies while something waits, and may have it in its hands: that must be noticed before its time
/// has come.
const SLOW: Pace = Pace { a_while: VISIBILITY, ..PACE };
/// The cases of that.
const DIES: [&str; 2] = ["a_delay_survives", "the_order_of_a_key_survives_a_restart"];

/// In those cases alone: it would make the others long. Who cannot tell is slow.
fn pace() -> Pace {
    let thread = std::thread::current();
    let case = thread.name().filter(|name| name.starts_with("broker::")).unwrap_or_default();
    if case.is_empty() || DIES.iter().any(|dies| case.ends_with(dies)) { SLOW } else { PACE }
}

struct One {
    ground: Ground,
    url: String,
    broker: Option<SqsBroker>,
    works: Vec<JoinHandle<()>>,
    _claims: TempDir,
}

/// One asks for messages at a time, so that they come in order, and does not wait at the server: there a wait would go on
/// after a crash, and take messages for nobody.
fn one() -> One {
    let claims = tempfile::tempdir().unwrap();
    let options = format!(
        "poll_s=0&pollers=1&visibility_s={}&claims={}",
        VISIBILITY.as_secs(),
        claims.path().to_string_lossy()
    );
    let (ground, url) = (Ground::new(), url(Moto::shared().address, &options));
    let mut one = One { ground, url, broker: None, works: Vec::new(), _claims: claims };
    one.open();
    one
}

impl One {
    fn open(&mut self) {
        let (broker, works) = self.ground.broker(&self.url);
        (self.broker, self.works) = (Some(broker), works);
    }

    fn holds_something(&self) -> bool {
        let admin = self.broker.clone().unwrap();
        self.ground.run(admin.queues()).unwrap().iter().any(|info| info.stats.held > 0)
    }
}

impl Rig for One {
    fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(self.broker.clone().unwrap())
    }

    fn admin(&self) -> Option<Arc<dyn BrokerAdmin>> {
        Some(Arc::new(self.broker.clone().unwrap()))
    }

    fn now(&self) -> Instant {
        self.ground.clock.now()
    }

    fn pace(&self) -> Pace {
        pace()
    }

    fn pass(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn run(&self, future: BoxFuture<'_, ()>) {
        self.ground.run(future);
    }

    fn poll(&self, future: &mut BoxFuture<'_, ()>) -> bool {
        self.ground.run_for(PACE.quiet, future)
    }

    fn close(&self) {
        self.broker.as_ref().unwrap().close();
    }

    fn reopen(&mut self) {
        for work in std::mem::take(&mut self.works) {
            self.ground.run(work).unwrap();
        }
        self.open();
    }

    /// The process dies; what it held is ready again when SQS has heard nothing of it for its time.
    fn crash(&mut self) {
        let held = self.holds_something();
        self.works.drain(..).for_each(|work| work.abort());
        self.broker = None;
        if held {
            self.pass(VISIBILITY + PACE.late);
        }
        self.open();
    }
}

forebay_contract::broker!(one);
