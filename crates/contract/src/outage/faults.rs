//! What is done to a server, or to the wire to it, while what it serves is loaded; named by what must hold afterwards.

use std::time::Duration;

use super::{Outage, rounds};
use crate::servers::wire::{Does, Wire};
use crate::servers::{Pauses, Restarts};

/// One fault.
pub struct Fault<S> {
    name: &'static str,
    hurt: fn(&S, &Wire, &Outage),
}

impl Outage {
    /// Has the server, and the wire over which it is loaded, suffer the fault, waits each time until all is well, and ends the
    /// load.
    pub fn suffers<S>(&mut self, fault: &Fault<S>, backend: &str, server: &S, wire: &Wire) {
        for _ in 0..rounds() {
            (fault.hurt)(server, wire, self);
            self.goes_on("afterwards");
        }
        self.end(backend, fault.name);
    }
}

/// Its server is stopped, and started again once that was noticed.
pub fn a_restart_loses_nothing_and_leaves_nobody_deaf<S: Restarts>() -> Fault<S> {
    Fault {
        name: "stopped until publishes are refused, started again",
        hurt: |server, _, load| {
            server.stop();
            load.until_refused();
            server.start_again();
        },
    }
}

/// Its server is killed twice: once so briefly that publishes may wait for it.
pub fn a_kill_loses_nothing_and_leaves_nobody_deaf<S: Restarts>() -> Fault<S> {
    Fault {
        name: "SIGKILL, started again at once, and once publishes are refused",
        hurt: |server, _, load| {
            server.kill();
            server.start_again();
            load.goes_on("after a kill");
            server.kill();
            load.until_refused();
            server.start_again();
        },
    }
}

/// Its server answers nothing until that was noticed.
pub fn a_server_that_stands_still_loses_nothing_and_leaves_nobody_deaf<S: Pauses>() -> Fault<S> {
    Fault {
        name: "SIGSTOP until publishes are refused",
        hurt: |server, _, load| {
            server.pause();
            load.until_refused();
            server.resume();
        },
    }
}

/// Its server answers nothing for less than a call may take.
pub fn a_server_that_stands_still_for_a_moment_is_waited_for<S: Pauses>() -> Fault<S> {
    Fault {
        name: "SIGSTOP for half a second",
        hurt: |server, _, load| {
            server.pause();
            load.lasts(Duration::from_millis(500));
            server.resume();
        },
    }
}

/// Its connections end, again and again, and for a while none can be made.
pub fn a_wire_that_is_cut_again_and_again_loses_nothing_and_leaves_nobody_deaf<S>() -> Fault<S> {
    Fault {
        name: "wire cut three times, once until publishes are refused",
        hurt: |_, wire, load| {
            wire.cut(Does::Pass);
            load.goes_on("after a cut");
            wire.cut(Does::Refuse);
            load.until_refused();
            wire.set(Does::Pass);
            load.goes_on("after a wire that takes nobody");
            wire.cut(Does::Pass);
        },
    }
}

/// Its server hears everything, and what it says is lost: nobody knows what was done.
pub fn answers_that_are_lost_cost_no_message_and_leave_nobody_deaf<S>() -> Fault<S> {
    Fault {
        name: "answers lost until publishes are refused, then cut",
        hurt: |_, wire, load| {
            wire.set(Does::Swallow);
            load.until_refused();
            wire.cut(Does::Pass);
        },
    }
}

/// Nothing arrives, and then everything does.
pub fn a_wire_that_carries_nothing_loses_nothing_and_leaves_nobody_deaf<S>() -> Fault<S> {
    Fault {
        name: "wire carries nothing until publishes are refused, then all of it; again for 1.5 s",
        hurt: |_, wire, load| {
            wire.set(Does::Hold);
            load.until_refused();
            wire.set(Does::Pass);
            load.goes_on("after the first hole");
            wire.set(Does::Hold);
            load.lasts(Duration::from_millis(1_500));
            wire.set(Does::Pass);
        },
    }
}

/// Makes a test of each fault by its name; `$survives` takes it, sets up the load, and has that suffer it.
#[macro_export]
macro_rules! outage {
    ($survives:ident: $($fault:ident)*) => {
        $(
            #[test]
            fn $fault() {
                $survives(&$crate::outage::faults::$fault());
            }
        )*
    };
}
