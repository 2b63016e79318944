//! Shared stores that are broken in the usual ways, each of which a case must find.

mod remote_rig;

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use forebay_contract::remote::Rig;
use forebay_contract::remote::model::ModelStore;
use forebay_contract::remote::subjects::{
    arithmetic, failover, fence, fill, get, lease, life, locks, negative, tags, write,
};
use forebay_core::entry::{Mode, Step, Version};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::payload::Payload;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::remote_store::{
    Addition, Asked, Changed, Fill, Filled, Grant, Put, RemoteCapabilities, RemoteStore, Shared, Sum,
};
use parking_lot::Mutex;
use remote_rig::Model;

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// Answers come in any order.
    Order,
    /// An empty value is taken for none.
    EmptyIsNone,
    /// The client's flags are lost.
    NoFlags,
    /// Line ends are taken off values.
    Trims,
    /// Every reader is told to load.
    AllGranted,
    /// Every reader is told to wait, also the first.
    NoneGranted,
    /// A refused fill is stored all the same.
    FillsOverAll,
    /// A fill is stored wherever nothing is.
    FillsWhereNothingIs,
    /// A grant from before a restart is good if its number is.
    NoIncarnation,
    /// A grant serves until somebody writes.
    ServesTwice,
    /// A fill lives as long as its lease.
    FillDies,
    /// A hold is forgotten.
    NoHold,
    /// A condition is looked at, then written without it.
    LooksThenWrites,
    /// An extended entry is a new one.
    ExtendsAnew,
    /// A condition is not looked at.
    NoCondition,
    /// A removal says that there was one.
    AlwaysDone,
    /// A placeholder counts as a value.
    PlaceholderIsValue,
    /// A counter is read, then written.
    LostCount,
    /// A counter stops at the top.
    Saturates,
    /// Counting begins what was not to be begun.
    AlwaysBegins,
    /// A touch changes nothing.
    NoTouch,
    /// A touch of a placeholder says yes.
    TouchesAll,
    /// A life of 0 has no end.
    ZeroIsEndless,
    /// Lives are cut to whole seconds, and end a second early.
    CutsLives,
    /// A life above thirty days is taken for a date.
    LongIsPast,
    /// Tags are lost.
    NoTags,
    /// A token is a random number.
    TokensFall,
    /// One dead node fails all keys of a call.
    AllFail,
    /// A node that is away has nothing.
    AwayIsMissing,
    /// Waits for a node longer than was said.
    Late,
    /// Takes calls after it was closed.
    NeverClosed,
}

struct Broken {
    store: Arc<ModelStore>,
    fault: Fault,
    last: Mutex<Option<Grant>>,
}

const SET: Put = Put { flags: 0, life: None, mode: Mode::Set, version: None };

/// Lets somebody else come in between.
async fn window() {
    let mut waited = false;
    poll_fn(|context| {
        if waited {
            return Poll::Ready(());
        }
        waited = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Broken {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn life(&self, life: Option<Duration>) -> Option<Duration> {
        match life {
            Some(Duration::ZERO) if self.is(Fault::ZeroIsEndless) => None,
            Some(life) if self.is(Fault::CutsLives) => {
                Some(Duration::from_secs(life.as_secs().saturating_sub(1)))
            }
            Some(life) if self.is(Fault::LongIsPast) && life.as_secs() > 30 * 24 * 3600 => {
                Some(Duration::ZERO)
            }
            life => life,
        }
    }

    async fn look(&self, key: &[u8]) -> Option<Shared> {
        self.store.get(&[key]).await.pop().and_then(|answer| answer.ok().flatten())
    }

    fn show(&self, shared: Option<Shared>) -> Option<Shared> {
        let mut shared = shared.filter(|shared| !(self.is(Fault::EmptyIsNone) && shared.value.is_empty()))?;
        if self.is(Fault::NoFlags) {
            shared.flags = 0;
        }
        if self.is(Fault::Trims) {
            shared.value = Payload::from(shared.value.trim_ascii_end());
        }
        Some(shared)
    }
}

impl RemoteStore for Broken {
    fn capabilities(&self) -> RemoteCapabilities {
        self.store.capabilities()
    }

    fn get<'a>(&'a self, keys: &'a [&'a [u8]]) -> BoxFuture<'a, Vec<Result<Option<Shared>>>> {
        Box::pin(async move {
            let mut answers = self.store.get(keys).await;
            if self.is(Fault::Order) {
                answers.reverse();
            }
            if self.is(Fault::AllFail) && answers.iter().any(Result::is_err) {
                answers = keys.iter().map(|_| Err(Error::new(Kind::Unavailable, "get", "all"))).collect();
            }
            if self.is(Fault::Late) && answers.iter().any(Result::is_err) {
                self.store.get(keys).await;
                self.store.get(keys).await;
                self.store.get(keys).await;
            }
            let answers = answers.into_iter().map(|answer| match answer {
                Err(error) if self.is(Fault::AwayIsMissing) && error.kind() == Kind::Unavailable => Ok(None),
                Err(error) if self.is(Fault::NeverClosed) && error.kind() == Kind::Closed => Ok(None),
                answer => answer.map(|shared| self.show(shared)),
            });
            answers.collect()
        })
    }

    fn get_or_lease<'a>(&'a self, key: &'a [u8], lease: Duration) -> BoxFuture<'a, Result<Asked>> {
        Box::pin(async move {
            let asked = self.store.get_or_lease(key, lease).await?;
            let last = self.last.lock().as_ref().copied();
            Ok(match asked {
                Asked::Granted(_) if self.is(Fault::NoneGranted) => Asked::Busy,
                Asked::Granted(grant) => {
                    *self.last.lock() = Some(grant);
                    Asked::Granted(grant)
                }
                Asked::Busy if self.is(Fault::AllGranted) => {
                    Asked::Granted(last.unwrap_or(Grant { token: 0, incarnation: 0 }))
                }
                Asked::Hit(shared) => self.show(Some(shared)).map_or(Asked::Busy, Asked::Hit),
                Asked::Busy => Asked::Busy,
            })
        })
    }

    fn fill<'a>(
        &'a self,
        key: &'a [u8],
        value: &'a [u8],
        mut fill: Fill<'a>,
        mut grant: Grant,
    ) -> BoxFuture<'a, Result<Filled>> {
        Box::pin(async move {
            fill.life = self.life(fill.life);
            if self.is(Fault::FillDies) {
                fill.life = Some(Duration::from_secs(2));
            }
            if self.is(Fault::NoTags) {
                fill.tags = &[];
            }
            if let (Fault::NoIncarnation, Some(last)) = (self.fault, *self.last.lock()) {
                grant.incarnation = last.incarnation;
            }
            let filled = self.store.fill(key, value, fill, grant).await?;
            let there = self.look(key).await.is_some();
            let over = match self.fault {
                Fault::FillsOverAll => true,
                Fault::FillsWhereNothingIs => !there,
                Fault::ServesTwice => there,
                _ => false,
            };
            if over && filled == Filled::Refused {
                self.store.put(key, value, SET).await?;
                return Ok(Filled::Stored(Version(1)));
            }
            Ok(filled)
        })
    }

    fn put<'a>(&'a self, key: &'a [u8], value: &'a [u8], mut put: Put) -> BoxFuture<'a, Result<Changed>> {
        Box::pin(async move {
            put.life = self.life(put.life);
            if self.is(Fault::NoCondition) {
                put.version = None;
            }
            if self.is(Fault::LooksThenWrites) && (put.version.is_some() || put.mode == Mode::Add) {
                let there = self.look(key).await;
                if put.mode == Mode::Add && there.is_some() {
                    return Ok(Changed::NotStored);
                }
                if put.version.is_some() && there.map(|shared| shared.version) != put.version {
                    return Ok(Changed::Exists);
                }
                window().await;
                put = Put { version: None, mode: Mode::Set, ..put };
            }
            if let (Mode::Append, Fault::ExtendsAnew | Fault::LooksThenWrites) = (put.mode, self.fault)
                && let Some(there) = self.look(key).await
            {
                window().await;
                let put = Put { mode: Mode::Set, ..put };
                return self.store.put(key, &[&there.value, value].concat(), put).await;
            }
            let placeholder = put.mode == Mode::Replace && self.is(Fault::PlaceholderIsValue);
            if placeholder && self.store.get_or_lease(key, Duration::ZERO).await? == Asked::Busy {
                put.mode = Mode::Set;
            }
            let changed = self.store.put(key, value, put).await;
            match changed {
                Ok(Changed::Done(Version(version))) if self.is(Fault::TokensFall) => {
                    Ok(Changed::Done(Version(u64::MAX - version)))
                }
                changed => changed,
            }
        })
    }

    fn remove<'a>(
        &'a self,
        key: &'a [u8],
        mut version: Option<Version>,
        mut hold: Duration,
    ) -> BoxFuture<'a, Result<Changed>> {
        Box::pin(async move {
            if self.is(Fault::NoHold) {
                hold = Duration::ZERO;
            }
            if self.is(Fault::NoCondition) {
                version = None;
            }
            let changed = self.store.remove(key, version, hold).await?;
            Ok(if self.is(Fault::AlwaysDone) { Changed::Done(Version(0)) } else { changed })
        })
    }

    fn remove_tag<'a>(&'a self, tag: &'a [u8]) -> BoxFuture<'a, Result<u64>> {
        self.store.remove_tag(tag)
    }

    fn add<'a>(&'a self, key: &'a [u8], mut addition: Addition) -> BoxFuture<'a, Result<Sum>> {
        Box::pin(async move {
            if self.is(Fault::AlwaysBegins) {
                addition.create = addition.create.or(Some((0, None)));
            }
            if self.is(Fault::LostCount)
                && let Some(shared) = self.look(key).await
            {
                let number =
                    std::str::from_utf8(&shared.value).ok().and_then(|text| text.parse::<u64>().ok());
                window().await;
                let Some(sum) = number.and_then(|number| number.checked_add(addition.delta)) else {
                    return Ok(Sum::NotNumber);
                };
                self.store.put(key, sum.to_string().as_bytes(), SET).await?;
                return Ok(Sum::Number(sum));
            }
            let before = self.look(key).await;
            let sum = self.store.add(key, addition).await?;
            let number =
                before.and_then(|shared| std::str::from_utf8(&shared.value).ok()?.parse::<u64>().ok());
            match (sum, number) {
                (Sum::Number(_), Some(number)) if self.is(Fault::Saturates) && addition.step == Step::Up => {
                    Ok(Sum::Number(number.saturating_add(addition.delta)))
                }
                _ => Ok(sum),
            }
        })
    }

    fn touch<'a>(&'a self, key: &'a [u8], life: Option<Duration>) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            if self.is(Fault::NoTouch) {
                return Ok(self.look(key).await.is_some());
            }
            Ok(self.store.touch(key, self.life(life)).await? || self.is(Fault::TouchesAll))
        })
    }
}

type Case = fn(&mut dyn Rig);

/// Each fault with a case that must find it.
const FOUND: &[(Fault, Case)] = &[
    (Fault::Order, get::many_keys_are_answered_in_their_order),
    (Fault::ExtendsAnew, write::an_extension_leaves_flags_and_life_alone),
    (Fault::LooksThenWrites, write::everybodys_extensions_count),
    (Fault::EmptyIsNone, get::an_empty_value_is_there),
    (Fault::EmptyIsNone, negative::that_there_is_none_is_told_from_not_knowing),
    (Fault::NoFlags, get::what_was_put_is_read_as_it_was),
    (Fault::NoFlags, fill::a_fill_is_read_as_it_was),
    (Fault::Trims, get::bytes_of_every_kind_come_back_equal),
    (Fault::AllGranted, lease::of_many_readers_at_once_one_is_granted_the_lease),
    (Fault::AllGranted, lease::of_two_readers_one_is_granted_the_lease_and_the_other_is_told_so),
    (Fault::NoneGranted, lease::after_a_removal_the_next_reader_is_granted_the_lease),
    (Fault::FillsOverAll, fence::a_load_and_an_invalidation_in_every_order),
    (Fault::FillsOverAll, fill::every_change_voids_the_lease_before_it),
    (Fault::FillsWhereNothingIs, fence::a_load_and_an_invalidation_in_every_order),
    (Fault::FillsWhereNothingIs, fence::a_load_an_invalidation_and_an_eviction_in_every_order),
    (Fault::FillsWhereNothingIs, fence::two_loads_and_an_invalidation_in_every_order),
    (Fault::FillsWhereNothingIs, fence::emptying_the_store_between_lease_and_fill_brings_nothing_older_back),
    (Fault::FillsWhereNothingIs, fence::a_pause_between_lease_and_fill_brings_nothing_older_back),
    (Fault::FillsWhereNothingIs, fence::an_invalidation_that_failed_and_was_repeated_counts),
    (
        Fault::FillsWhereNothingIs,
        fence::after_an_eviction_the_lease_goes_to_another_and_the_older_grant_is_void,
    ),
    (Fault::NoIncarnation, fence::a_restart_between_lease_and_fill_brings_nothing_older_back),
    (Fault::ServesTwice, fill::a_grant_serves_once),
    (Fault::ServesTwice, fill::who_fills_with_the_same_grant_at_the_same_time_fills_once),
    (Fault::FillDies, fill::a_filled_entry_outlives_its_lease),
    (Fault::NoHold, write::while_a_key_is_held_no_lease_is_granted),
    (Fault::LooksThenWrites, write::of_many_writes_over_one_version_one_is_done),
    (Fault::LooksThenWrites, write::of_many_adds_one_is_done),
    (Fault::NoCondition, write::a_write_over_a_version_needs_exactly_that_one),
    (Fault::NoCondition, write::a_removal_of_a_version_needs_exactly_that_one),
    (Fault::NoCondition, locks::a_lock_is_taken_once_until_its_time_is_over),
    (Fault::AlwaysDone, write::a_removal_says_whether_there_was_one),
    (Fault::PlaceholderIsValue, write::a_key_without_a_value_has_none_also_while_it_is_leased_or_held),
    (Fault::LostCount, arithmetic::everybodys_additions_count),
    (Fault::LostCount, arithmetic::counting_leaves_the_life_alone),
    (Fault::Saturates, arithmetic::up_it_wraps_and_down_it_stops_at_0),
    (Fault::AlwaysBegins, arithmetic::a_counter_that_is_not_there_is_begun_only_where_that_was_asked_for),
    (Fault::AlwaysBegins, arithmetic::a_placeholder_is_no_counter),
    (Fault::NoTouch, life::a_touch_gives_a_new_life_from_now),
    (Fault::TouchesAll, life::a_touch_says_whether_there_was_something),
    (Fault::TouchesAll, fill::a_touch_of_what_is_being_filled_finds_nothing_and_disturbs_nothing),
    (Fault::ZeroIsEndless, life::a_life_of_nothing_is_over_at_once),
    (Fault::CutsLives, life::a_part_of_a_second_is_rounded_up),
    (Fault::LongIsPast, life::very_long_lives_are_lives),
    (Fault::NoTags, tags::a_tag_takes_all_its_entries_and_no_others),
    (Fault::NoTags, tags::an_entry_that_is_filled_again_belongs_to_its_new_tags),
    (Fault::NoTags, tags::a_tag_takes_the_leases_of_its_keys_with_it),
    (Fault::TokensFall, locks::a_fencing_token_only_grows),
    (Fault::AllFail, failover::a_node_that_is_down_costs_its_own_keys_and_is_used_again_when_it_is_back),
    (
        Fault::AwayIsMissing,
        failover::a_node_that_stands_still_costs_its_own_keys_and_is_used_again_when_it_is_back,
    ),
    (Fault::Late, failover::a_node_that_stands_still_costs_its_own_keys_and_is_used_again_when_it_is_back),
    (Fault::NeverClosed, failover::a_closed_store_says_so),
];

fn broken(fault: Fault) -> Model<Broken> {
    Model::new(3, move |store| Arc::new(Broken { store, fault, last: Mutex::default() }))
}

#[test]
fn every_fault_is_found() {
    for (number, (fault, case)) in FOUND.iter().enumerate() {
        let found = catch_unwind(AssertUnwindSafe(|| case(&mut broken(*fault)))).is_err();
        assert!(found, "{fault:?} was not found by case {number} of the list");
    }
}

#[test]
fn where_nothing_is_wrong_nothing_is_found() {
    for (_, case) in FOUND {
        case(&mut broken(Fault::None));
    }
}
