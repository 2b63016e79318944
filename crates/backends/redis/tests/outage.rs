//! One Redis as a shared store, or the wire to it, suffers while many read, load and invalidate: nothing that was invalidated is
//! served, and all goes on afterwards.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use forebay_contract::ground::Ground;
use forebay_contract::outage::faults::Fault;
use forebay_contract::outage::store::Stores;
use forebay_contract::outage::{Bounds, Outage};
use forebay_contract::servers::redis::{Keeps, Redis};
use forebay_contract::servers::wire::Wire;
use forebay_core::ports::remote_store::RemoteStore;
use forebay_redis::settings::Settings;
use forebay_redis::store;
use forebay_runtime::clock::TokioClock;

const KEYS: usize = 40;
const TIMEOUT: Duration = Duration::from_millis(500);
/// What a call may be late by on a busy machine.
const LATE: Duration = Duration::from_secs(2);
/// How long the server may take until it is of use.
const READY_MAX: Duration = Duration::from_secs(30);
/// No call of this test takes longer, and after it nobody may be deaf any more.
const DEAF_MAX: Duration = Duration::from_secs(60);
/// What is stated of calls under load.
const BOUNDS: Bounds =
    Bounds { wait: TIMEOUT, slack: LATE, consumers: 3, well: 60, pace: Duration::from_millis(2) };

/// Loads a server that keeps what it confirms, over a wire, does something to either, and looks whether all is well afterwards.
fn survives(fault: &Fault<Redis>) {
    let (redis, ground) = (Redis::start(Keeps::Everything, &[]), Ground::new(DEAF_MAX));
    let wire = Wire::to(redis.address);
    let url = format!("redis://{}?timeout_ms={}", wire.address, TIMEOUT.as_millis());
    let open = || {
        let clock = ground.run(async { Arc::new(TokioClock::new()) });
        let (store, work) = store::open(Settings::parse(&url).expect("a good URL"), clock);
        ground.spawn(vec![work]);
        ground.run(store.ready(READY_MAX)).expect("it is there");
        store as Arc<dyn RemoteStore>
    };
    let keys = (0..KEYS).map(|number| format!("load:{number}")).collect();
    let all = [open(), open()];
    // What could not be invalidated is only refused: whoever asked is to ask again.
    let stores = Stores { all, keys, elsewhere: Vec::new(), makes_up: false, deaf_max: DEAF_MAX };
    let mut load = Outage::begin_on_stores(ground.handle(), &stores, BOUNDS);
    load.suffers(fault, "Redis as a store", &redis, &wire);
}

forebay_contract::outage! { survives:
    a_restart_loses_nothing_and_leaves_nobody_deaf
    a_kill_loses_nothing_and_leaves_nobody_deaf
    a_server_that_stands_still_loses_nothing_and_leaves_nobody_deaf
    a_wire_that_is_cut_again_and_again_loses_nothing_and_leaves_nobody_deaf
    answers_that_are_lost_cost_no_message_and_leave_nobody_deaf
    a_wire_that_carries_nothing_loses_nothing_and_leaves_nobody_deaf
}
