//! What the cases say in one line each.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a suite fails by panicking")]

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use forebay_core::entry::{Mode, Step, Version};
use forebay_core::error::{Kind, Result};
use forebay_core::ports::BoxFuture;
use forebay_core::ports::remote_store::{
    Addition, Asked, Changed, Fill, Filled, Grant, Put, RemoteCapabilities, RemoteStore, Shared, Sum,
};
use parking_lot::Mutex;

use super::Rig;

/// A lease or hold that does not end within its case.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// The shortest lease and hold.
pub(crate) const SHORT: Duration = Duration::from_secs(2);
/// After it whatever lived so long at the shortest is over, also by a clock that ticks in seconds.
pub(crate) const OVER: Duration = Duration::from_millis(3_300);
/// The pause between two looks at something that will come.
const LOOK: Duration = Duration::from_millis(20);
/// What a time-out may be late by on a busy machine.
const LATE: Duration = Duration::from_millis(500);

/// A set.
pub(crate) const SET: Put = Put { flags: 0, life: None, mode: Mode::Set, version: None };
/// A fill.
pub(crate) const FILL: Fill<'static> = Fill { flags: 0, life: None, tags: &[] };

/// Runs a future to its end.
pub(crate) fn run<'a, T: Send + 'a>(rig: &dyn Rig, future: impl Future<Output = T> + Send + 'a) -> T {
    let output = Arc::new(Mutex::new(None));
    let put = output.clone();
    rig.run(Box::pin(async move { *put.lock() = Some(future.await) }));
    output.lock().take().unwrap()
}

/// Runs all futures at once.
pub(crate) fn together<'a, T: Send + Unpin + 'a>(rig: &dyn Rig, futures: Vec<BoxFuture<'a, T>>) -> Vec<T> {
    let mut running: Vec<(BoxFuture<'a, T>, Option<T>)> =
        futures.into_iter().map(|future| (future, None)).collect();
    run(rig, async move {
        poll_fn(|context| {
            let mut all = true;
            for (future, output) in running.iter_mut().filter(|(_, output)| output.is_none()) {
                match future.as_mut().poll(context) {
                    Poll::Ready(ready) => *output = Some(ready),
                    Poll::Pending => all = false,
                }
            }
            if all { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        running.into_iter().map(|(_, output)| output.unwrap()).collect()
    })
}

pub(crate) fn can(rig: &dyn Rig) -> RemoteCapabilities {
    rig.store().capabilities()
}

/// Whether the store has a capability; where not, `refused` must be `Unsupported`.
pub(crate) fn offered<T>(offered: bool, refused: impl FnOnce() -> Result<T>) -> bool {
    if !offered {
        assert_eq!(kind(refused()), Kind::Unsupported, "what is not offered is refused by name");
    }
    offered
}

/// The entry, if it is there.
pub(crate) fn shared(rig: &dyn Rig, key: &str) -> Option<Shared> {
    try_get(rig, key).unwrap()
}

/// Its bytes.
pub(crate) fn get(rig: &dyn Rig, key: &str) -> Option<Vec<u8>> {
    shared(rig, key).map(|shared| shared.value.to_vec())
}

pub(crate) fn try_get(rig: &dyn Rig, key: &str) -> Result<Option<Shared>> {
    let mut answers = get_all(rig, &[key.to_owned()]);
    assert_eq!(answers.len(), 1, "one answer for each key");
    answers.pop().unwrap()
}

pub(crate) fn get_all(rig: &dyn Rig, keys: &[String]) -> Vec<Result<Option<Shared>>> {
    let store = rig.store();
    let keys: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
    run(rig, store.get(&keys))
}

pub(crate) fn try_ask(rig: &dyn Rig, store: &dyn RemoteStore, key: &str, lease: Duration) -> Result<Asked> {
    run(rig, store.get_or_lease(key.as_bytes(), lease))
}

/// A read that would load.
pub(crate) fn ask(rig: &dyn Rig, key: &str) -> Asked {
    try_ask(rig, &*rig.store(), key, LONG).unwrap()
}

/// The same from the other process.
pub(crate) fn ask_other(rig: &dyn Rig, key: &str) -> Asked {
    try_ask(rig, &*rig.other(), key, LONG).unwrap()
}

/// A lease that must be granted.
pub(crate) fn lease(rig: &dyn Rig, key: &str) -> Grant {
    granted(ask(rig, key))
}

pub(crate) fn granted(asked: Asked) -> Grant {
    match asked {
        Asked::Granted(grant) => grant,
        other => panic!("{other:?} where a lease was to be granted"),
    }
}

pub(crate) fn hit(asked: Asked) -> Vec<u8> {
    match asked {
        Asked::Hit(shared) => shared.value.to_vec(),
        other => panic!("{other:?} where there is an entry"),
    }
}

pub(crate) fn fill_with(rig: &dyn Rig, key: &str, value: &str, fill: Fill<'_>, grant: Grant) -> Filled {
    let store = rig.store();
    run(rig, store.fill(key.as_bytes(), value.as_bytes(), fill, grant)).unwrap()
}

pub(crate) fn fill(rig: &dyn Rig, key: &str, value: &str, grant: Grant) -> Filled {
    fill_with(rig, key, value, FILL, grant)
}

/// A fill that must be taken.
pub(crate) fn filled(filled: Filled) -> Version {
    match filled {
        Filled::Stored(version) => version,
        Filled::Refused => panic!("a good fill was refused"),
    }
}

pub(crate) fn try_put(rig: &dyn Rig, key: &str, value: &[u8], put: Put) -> Result<Changed> {
    let store = rig.store();
    run(rig, store.put(key.as_bytes(), value, put))
}

pub(crate) fn put_with(rig: &dyn Rig, key: &str, value: &str, put: Put) -> Changed {
    try_put(rig, key, value.as_bytes(), put).unwrap()
}

/// A set that must be done.
pub(crate) fn put(rig: &dyn Rig, key: &str, value: &str) -> Version {
    done(put_with(rig, key, value, SET))
}

pub(crate) fn done(changed: Changed) -> Version {
    match changed {
        Changed::Done(version) => version,
        other => panic!("{other:?} to a change that nothing stands against"),
    }
}

pub(crate) fn try_remove(
    rig: &dyn Rig,
    key: &str,
    version: Option<Version>,
    hold: Duration,
) -> Result<Changed> {
    let store = rig.store();
    run(rig, store.remove(key.as_bytes(), version, hold))
}

pub(crate) fn remove(rig: &dyn Rig, key: &str) -> Changed {
    try_remove(rig, key, None, Duration::ZERO).unwrap()
}

/// The same from the other process, and as long as it takes until this one sees it.
pub(crate) fn remove_other(rig: &dyn Rig, key: &str) {
    let other = rig.other();
    run(rig, other.remove(key.as_bytes(), None, Duration::ZERO)).unwrap();
    rig.pass(rig.age_max());
}

pub(crate) fn try_add(rig: &dyn Rig, key: &str, addition: Addition) -> Result<Sum> {
    let store = rig.store();
    run(rig, store.add(key.as_bytes(), addition))
}

pub(crate) fn add(rig: &dyn Rig, key: &str, addition: Addition) -> Sum {
    try_add(rig, key, addition).unwrap()
}

pub(crate) const fn up(delta: u64) -> Addition {
    Addition { delta, step: Step::Up, create: None }
}

pub(crate) fn try_touch(rig: &dyn Rig, key: &str, life: Option<Duration>) -> Result<bool> {
    let store = rig.store();
    run(rig, store.touch(key.as_bytes(), life))
}

pub(crate) fn touch(rig: &dyn Rig, key: &str, life: Option<Duration>) -> bool {
    try_touch(rig, key, life).unwrap()
}

pub(crate) const fn seconds(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

pub(crate) fn kind<T>(result: Result<T>) -> Kind {
    result.map(|_| ()).unwrap_err().kind()
}

/// So many keys that no other case of the server has.
pub(crate) fn keys(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{name}:{number}")).collect()
}

/// Does something that must end within the store's time-out.
pub(crate) fn in_time<T>(rig: &dyn Rig, act: impl FnOnce() -> T) -> T {
    let begun = rig.now();
    let output = act();
    let took = rig.now() - begun;
    assert!(took <= rig.time_out() + LATE, "a call took {took:?}, the time-out is {:?}", rig.time_out());
    output
}

/// Tries until it works; a node that is there again must be used again soon.
pub(crate) fn soon<T>(rig: &dyn Rig, mut attempt: impl FnMut() -> Result<T>) -> T {
    let begun = rig.now();
    loop {
        match attempt() {
            Ok(output) => return output,
            Err(error) => {
                assert!(rig.now() - begun < rig.recovery(), "the node is there and not used: {error}");
                rig.pass(LOOK);
            }
        }
    }
}

/// Both stores use every node again.
pub(crate) fn settle(rig: &dyn Rig) {
    for key in one_of_each(rig) {
        for store in [rig.store(), rig.other()] {
            soon(rig, || run(rig, store.get(&[key.as_bytes()])).pop().unwrap());
        }
    }
}

/// A key of each node, in their order.
pub(crate) fn one_of_each(rig: &dyn Rig) -> Vec<String> {
    let find = |node| {
        (0..).map(|number: u32| format!("at:{number}")).find(|key| rig.node_of(key.as_bytes()) == node)
    };
    (0..rig.nodes()).map(|node| find(node).unwrap()).collect()
}

/// Stops a node and starts it again, and waits until it is used again.
pub(crate) fn restart(rig: &mut dyn Rig, node: usize) {
    rig.stop(node);
    rig.start(node);
    settle(rig);
}
