//! Leases: the right to fill what was missed, and how every change takes it away.

use forebay_core::entry::{
    Arithmetic, Claim, Condition, Counted, Delete, Deleted, Lease, Mode, Read, State, Step, Version, Written,
};
use forebay_core::ports::local_store::LocalStore;

use super::ask::{
    Make, ROOMY, arithmetic, at, delete, get, get_or_lease, get_to_load, mark_stale, number, read, set,
    set_if, set_until, stored, sweep_all, up, value, write,
};

fn fill(store: &dyn LocalStore, key: &[u8], value: &[u8], lease: Lease) -> Written {
    set_if(store, key, value, at(10), Condition::Lease(lease))
}

/// The plain case.
pub fn a_fill_with_its_lease_is_stored(make: Make<'_>) {
    let store = make(ROOMY);
    assert_eq!(get(&*store, b"key", at(0)), None);
    let lease = store.lease(b"key");
    stored(fill(&*store, b"key", b"value", lease));
    assert_eq!(value(&*store, b"key", at(10)).unwrap(), b"value");
    // A present value may be filled anew: it is what the lease was taken over.
    let lease = store.lease(b"key");
    stored(fill(&*store, b"key", b"newer", lease));
    assert_eq!(value(&*store, b"key", at(10)).unwrap(), b"newer");
}

/// Of two loaders with one lease, the first one fills.
pub fn a_lease_fills_once(make: Make<'_>) {
    let store = make(ROOMY);
    let lease = store.lease(b"key");
    stored(fill(&*store, b"key", b"first", lease));
    assert_eq!(fill(&*store, b"key", b"second", lease), Written::Exists);
    delete(&*store, b"key", at(10));
    assert_eq!(fill(&*store, b"key", b"third", lease), Written::Exists);
}

/// A busy store must not refuse every fill.
pub fn writes_of_other_keys_leave_a_lease_good(make: Make<'_>) {
    let store = make(ROOMY);
    let lease = store.lease(b"key");
    for number in 0..1_000u32 {
        set(&*store, &number.to_be_bytes(), b"value", at(1));
        set(&*store, &number.to_be_bytes(), b"value", at(1));
    }
    stored(fill(&*store, b"key", b"value", lease));
}

fn voids(make: Make<'_>, change: impl Fn(&dyn LocalStore)) {
    let store = make(ROOMY);
    let before = store.lease(b"key");
    change(&*store);
    let refused = fill(&*store, b"key", b"loaded before the change", before);
    assert_eq!(refused, Written::Exists);
    let after = store.lease(b"key");
    stored(fill(&*store, b"key", b"loaded after the change", after));
}

/// Any write.
pub fn a_write_voids_the_leases_before_it(make: Make<'_>) {
    voids(make, |store| _ = set(store, b"key", b"written", at(1)));
    voids(make, |store| _ = stored(write(store, Mode::Add, b"key", b"written", at(1))));
    voids(make, |store| {
        number(store.count(b"key", Arithmetic { create: Some((1, None)), ..arithmetic(at(1), Step::Up, 1) }));
    });
    let store = make(ROOMY);
    set(&*store, b"key", b"1", at(0));
    let changes: [fn(&dyn LocalStore); 3] = [
        |store| _ = number(up(store, b"key", 1, at(1))),
        |store| _ = stored(write(store, Mode::Append, b"key", b"1", at(1))),
        |store| _ = stored(write(store, Mode::Replace, b"key", b"1", at(1))),
    ];
    for change in changes {
        let lease = store.lease(b"key");
        change(&*store);
        assert_eq!(fill(&*store, b"key", b"older", lease), Written::Exists);
    }
}

/// Deletion of what is there.
pub fn a_deletion_voids_the_leases_before_it(make: Make<'_>) {
    let store = make(ROOMY);
    set(&*store, b"key", b"value", at(0));
    let lease = store.lease(b"key");
    assert_eq!(delete(&*store, b"key", at(1)), Deleted::Done);
    assert_eq!(fill(&*store, b"key", b"older", lease), Written::Exists);
    assert_eq!(get(&*store, b"key", at(10)), None);
}

/// The usual race: the key is absent because it is being loaded.
pub fn a_deletion_of_nothing_voids_the_leases_before_it(make: Make<'_>) {
    voids(make, |store| assert_eq!(delete(store, b"key", at(1)), Deleted::NotFound));
    voids(make, |store| assert_eq!(mark_stale(store, b"key", at(1)), Deleted::NotFound));
    voids(make, |store| {
        let versioned = Delete { version: Some(Version(1)), ..Delete::at(at(1)) };
        assert_eq!(store.delete(b"key", versioned), Deleted::NotFound);
    });
}

/// A mark as stale.
pub fn an_invalidation_voids_the_leases_before_it(make: Make<'_>) {
    let store = make(ROOMY);
    set(&*store, b"key", b"value", at(0));
    let lease = store.lease(b"key");
    assert_eq!(mark_stale(&*store, b"key", at(1)), Deleted::Done);
    assert_eq!(fill(&*store, b"key", b"older", lease), Written::Exists);
    assert_eq!(get(&*store, b"key", at(10)).unwrap().state, State::Stale);
    let lease = store.lease(b"key");
    stored(fill(&*store, b"key", b"newer", lease));
    assert_eq!(get(&*store, b"key", at(10)).unwrap().state, State::Fresh);
}

/// A flush invalidates every key, those that are absent too.
pub fn a_flush_voids_the_leases_before_it(make: Make<'_>) {
    let store = make(ROOMY);
    let lease = store.lease(b"key");
    store.flush(at(5), at(5));
    assert_eq!(fill(&*store, b"key", b"older", lease), Written::Exists);
    assert_eq!(get(&*store, b"key", at(10)), None);
    let lease = store.lease(b"key");
    stored(fill(&*store, b"key", b"newer", lease));
}

/// The newer value has come and gone by itself.
pub fn an_expired_newer_value_voids_the_leases_before_it(make: Make<'_>) {
    voids(make, |store| _ = set_until(store, b"key", b"newer", at(1), at(9)));
    voids(make, |store| {
        set_until(store, b"key", b"newer", at(1), at(9));
        assert_eq!(sweep_all(store, at(9)), 1);
    });
}

/// The newer value has come and was pushed out.
pub fn an_evicted_newer_value_voids_the_leases_before_it(make: Make<'_>) {
    let store = make(4 * 1024 * 1024);
    let lease = store.lease(b"key");
    set(&*store, b"key", b"newer", at(1));
    let filler = vec![0; 64 * 1024];
    let gone = (0..10_000u32).any(|number| {
        set(&*store, &number.to_be_bytes(), &filler, at(2));
        read(&*store, b"key", Read { counts: false, ..Read::at(at(2)) }).is_none()
    });
    assert!(gone, "the newer value was to be evicted");
    assert_eq!(fill(&*store, b"key", b"older", lease), Written::Exists);
    assert_eq!(get(&*store, b"key", at(10)), None);
}

/// A write that is absent at once is a write.
pub fn a_write_without_life_voids_the_leases_before_it(make: Make<'_>) {
    voids(make, |store| _ = set_until(store, b"key", b"newer", at(1), at(1)));
}

/// Nothing happened.
pub fn a_refused_deletion_leaves_a_lease_good(make: Make<'_>) {
    let store = make(ROOMY);
    set(&*store, b"key", b"value", at(0));
    let lease = store.lease(b"key");
    let other = Delete { version: Some(Version(1)), ..Delete::at(at(1)) };
    assert_eq!(store.delete(b"key", other), Deleted::Exists);
    assert_eq!(write(&*store, Mode::Add, b"key", b"x", at(1)), Written::NotStored);
    stored(fill(&*store, b"key", b"value", lease));
}

/// What stands is not touched.
pub fn a_refused_fill_leaves_the_newer_value(make: Make<'_>) {
    let store = make(ROOMY);
    let lease = store.lease(b"key");
    let version = set(&*store, b"key", b"newer", at(1));
    assert_eq!(fill(&*store, b"key", b"older", lease), Written::Exists);
    let seen = get(&*store, b"key", at(10)).unwrap();
    assert_eq!((seen.value.as_slice(), seen.version), (&b"newer"[..], version));
}

/// An operator sees how often the fence held.
pub fn refused_fills_are_counted(make: Make<'_>) {
    let store = make(ROOMY);
    let lease = store.lease(b"key");
    stored(fill(&*store, b"key", b"value", lease));
    for _ in 0..3 {
        fill(&*store, b"key", b"value", lease);
    }
    assert_eq!(store.stats().fills_refused, 3);
}

/// One of many readers loads.
pub fn the_first_reader_wins_the_placeholder_and_others_lose(make: Make<'_>) {
    let store = make(ROOMY);
    let won = get_or_lease(&*store, b"key", at(0), Some(at(100)));
    assert_eq!((won.state, won.claim, won.expires_at), (State::Leased, Claim::Won, Some(at(100))));
    assert!(won.value.is_empty());
    for now in [at(0), at(99)] {
        let lost = get_or_lease(&*store, b"key", now, Some(at(500)));
        assert_eq!((lost.state, lost.claim), (State::Leased, Claim::Lost));
        assert_eq!((lost.version, lost.expires_at), (won.version, won.expires_at));
    }
    assert_eq!(get(&*store, b"key", at(50)).unwrap().claim, Claim::Lost);
    assert_eq!(store.stats().hits, 0, "a placeholder is not a value");
}

/// As memcached's `ms C<cas>` after `mg N`.
pub fn a_placeholder_is_filled_over_its_version(make: Make<'_>) {
    let store = make(ROOMY);
    let won = get_or_lease(&*store, b"key", at(0), Some(at(100)));
    stored(set_if(&*store, b"key", b"value", at(1), Condition::Version(won.version)));
    let seen = get_or_lease(&*store, b"key", at(1_000), None);
    assert_eq!((seen.value.as_slice(), seen.state, seen.claim), (&b"value"[..], State::Fresh, Claim::None));
    assert_eq!(seen.expires_at, None, "the placeholder's end is not the value's");
    let again = set_if(&*store, b"key", b"value", at(1), Condition::Version(won.version));
    assert_eq!(again, Written::Exists);
}

/// The invalidation came while the winner was loading.
pub fn a_deleted_placeholder_is_not_filled(make: Make<'_>) {
    let store = make(ROOMY);
    let won = get_or_lease(&*store, b"key", at(0), None);
    assert_eq!(delete(&*store, b"key", at(0)), Deleted::Done);
    let late = set_if(&*store, b"key", b"older", at(1), Condition::Version(won.version));
    assert_eq!(late, Written::NotFound);
    let next = get_or_lease(&*store, b"key", at(1), None);
    assert_eq!(next.claim, Claim::Won);
    let late = set_if(&*store, b"key", b"older", at(1), Condition::Version(won.version));
    assert_eq!(late, Written::Exists);
    stored(set_if(&*store, b"key", b"newer", at(1), Condition::Version(next.version)));
}

/// As memcached has it.
pub fn a_placeholder_counts_as_a_value_for_add_and_replace(make: Make<'_>) {
    let store = make(ROOMY);
    get_or_lease(&*store, b"key", at(0), None);
    assert_eq!(write(&*store, Mode::Add, b"key", b"value", at(0)), Written::NotStored);
    assert_eq!(up(&*store, b"key", 1, at(0)), Counted::NotNumber);
    stored(write(&*store, Mode::Replace, b"key", b"value", at(0)));
    let seen = get(&*store, b"key", at(0)).unwrap();
    assert_eq!((seen.value.as_slice(), seen.state, seen.claim), (&b"value"[..], State::Fresh, Claim::None));
    get_or_lease(&*store, b"other", at(0), None);
    stored(write(&*store, Mode::Append, b"other", b"value", at(0)));
    assert_eq!(get(&*store, b"other", at(0)).unwrap().state, State::Fresh);
}

/// A winner that died does not block the key for ever.
pub fn a_placeholder_ends_and_the_next_reader_wins(make: Make<'_>) {
    let store = make(ROOMY);
    let first = get_or_lease(&*store, b"key", at(0), Some(at(100)));
    let second = get_or_lease(&*store, b"key", at(100), Some(at(200)));
    assert_eq!(second.claim, Claim::Won);
    assert!(second.version > first.version);
    let late = set_if(&*store, b"key", b"older", at(101), Condition::Version(first.version));
    assert_eq!(late, Written::Exists);
}

/// As memcached's `md I` on a vivified key: stale without a value.
pub fn an_invalidated_placeholder_has_a_new_winner(make: Make<'_>) {
    let store = make(ROOMY);
    let first = get_or_lease(&*store, b"key", at(0), None);
    assert_eq!(mark_stale(&*store, b"key", at(0)), Deleted::Done);
    let second = get_or_lease(&*store, b"key", at(0), None);
    assert_eq!((second.state, second.claim), (State::Stale, Claim::Won));
    assert!(second.value.is_empty() && second.version > first.version);
    assert_eq!(get_or_lease(&*store, b"key", at(0), None).claim, Claim::Lost);
    let late = set_if(&*store, b"key", b"older", at(0), Condition::Version(first.version));
    assert_eq!(late, Written::Exists);
    stored(set_if(&*store, b"key", b"newer", at(0), Condition::Version(second.version)));
}

/// Who asks for a lease on a hit gets the value.
pub fn a_value_is_shown_and_not_leased(make: Make<'_>) {
    let store = make(ROOMY);
    let version = set_until(&*store, b"key", b"value", at(0), at(100));
    let seen = get_or_lease(&*store, b"key", at(1), Some(at(500)));
    assert_eq!((seen.value.as_slice(), seen.state, seen.claim), (&b"value"[..], State::Fresh, Claim::None));
    assert_eq!((seen.version, seen.expires_at), (version, Some(at(100))));
}

/// Recaching ahead of the end: one reader, until the next write.
pub fn a_value_near_its_end_grants_one_refresh(make: Make<'_>) {
    let store = make(ROOMY);
    let refresh =
        |now, below| read(&*store, b"key", Read { refresh_below_ms: Some(below), ..Read::at(now) }).unwrap();
    let version = set_until(&*store, b"key", b"value", at(0), at(100));
    assert_eq!(refresh(at(70), 30).claim, Claim::None, "exactly as much life left as asked for");
    let won = refresh(at(71), 30);
    assert_eq!((won.claim, won.state, won.version), (Claim::Won, State::Fresh, version));
    assert_eq!(refresh(at(71), 30).claim, Claim::Lost);
    assert_eq!(refresh(at(71), 0).claim, Claim::Lost);
    stored(set_if(&*store, b"key", b"newer", at(80), Condition::Version(version)));
    assert_eq!(refresh(at(80), u64::MAX).claim, Claim::None, "no end is never near");
}

/// It would not load, and everybody else would wait for it in vain.
pub fn a_plain_read_is_never_granted_a_lease(make: Make<'_>) {
    let store = make(ROOMY);
    set(&*store, b"key", b"value", at(0));
    mark_stale(&*store, b"key", at(0));
    for _ in 0..2 {
        assert_eq!(get(&*store, b"key", at(0)).unwrap().claim, Claim::None);
    }
    assert_eq!(get_to_load(&*store, b"key", at(0)).unwrap().claim, Claim::Won);
    assert_eq!(get(&*store, b"key", at(0)).unwrap().claim, Claim::Lost);
}
