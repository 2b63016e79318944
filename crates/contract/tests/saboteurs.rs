//! The saboteur of the store does harm, and none that its port forbids.

use std::sync::Arc;

use forebay_contract::saboteur::store::StoreSaboteur;
use forebay_contract::store::ask::{at, delete, get, set_if, write};
use forebay_contract::store::linear::record::Plan;
use forebay_contract::store::linear::search::{Memory, check};
use forebay_core::entry::{Condition, Mode, Version, Written};
use forebay_core::limits::VALUE_BYTES_MAX_DEFAULT;
use forebay_core::ports::local_store::LocalStore;
use forebay_memory::{Memory as Embedded, MemoryOptions};

fn sabotaged(seed: u64) -> StoreSaboteur {
    let options = MemoryOptions {
        bytes_max: 16 * 1024 * 1024,
        value_bytes_max: VALUE_BYTES_MAX_DEFAULT,
        first_version: Version(1),
    };
    StoreSaboteur::new(Arc::new(Embedded::new(options)), seed)
}

#[test]
fn whatever_it_forgets_and_refuses_it_never_goes_back() {
    for seed in 0..200 {
        let plan = Plan { seed, threads: 3, calls: 100, keys: 2, crowd: 0 };
        check(&sabotaged(seed), plan, Memory::Forgets);
    }
}

#[test]
fn it_forgets_and_refuses_in_every_way() {
    let store = sabotaged(1);
    let (mut forgot, mut no_room, mut too_large) = (0, 0, 0);
    for _ in 0..1_000 {
        match write(&store, Mode::Set, b"key", b"value", at(0)) {
            Written::Stored(_) => forgot += usize::from(get(&store, b"key", at(0)).is_none()),
            Written::NoRoom => no_room += 1,
            Written::TooLarge => too_large += 1,
            other => panic!("{other:?} to a plain set"),
        }
    }
    assert!(forgot > 100 && no_room > 10 && too_large > 10, "{forgot} {no_room} {too_large}");
}

#[test]
fn a_fill_over_an_invalidation_is_refused_also_here() {
    for seed in 0..200 {
        let store = sabotaged(seed);
        let lease = store.lease(b"key");
        delete(&store, b"key", at(0));
        let filled = set_if(&store, b"key", b"older", at(0), Condition::Lease(lease));
        assert_eq!(filled, Written::Exists, "seed {seed}");
    }
}
