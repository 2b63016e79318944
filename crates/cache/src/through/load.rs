//! The task that asks the source. It belongs to nobody who waits: a caller that gives up does not end it.

use std::ops::ControlFlow;
use std::sync::Arc;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::payload::Payload;
use forebay_core::ports::clock::{Run, Work};
use forebay_core::ports::loader::{BatchLoader, Loader};
use forebay_core::time::Instant;

use crate::fill::{Errand, Terms};
use crate::flight::Lead;
use crate::many::ask;
use crate::protect::breaker::{Admission, Verdict};
use crate::through::freshness::judge;
use crate::through::policy::Policy;
use crate::through::read_through::Inner;
use crate::through::within::{caught, within};

/// Where a read-through cache gets its values.
#[derive(Clone)]
pub(crate) enum Source {
    Single(Arc<dyn Loader>),
    Batch(Arc<dyn BatchLoader>),
}

impl Inner {
    /// Loads all of these in the background: in one batch where the source takes batches, else each by itself.
    pub(crate) fn start(self: &Arc<Self>, leads: Vec<Lead>, policy: &Policy) {
        match self.source {
            Source::Batch(_) if !leads.is_empty() => self.spawn(leads, *policy),
            Source::Batch(_) => {}
            Source::Single(_) => leads.into_iter().for_each(|lead| self.spawn(vec![lead], *policy)),
        }
    }

    fn spawn(self: &Arc<Self>, leads: Vec<Lead>, policy: Policy) {
        let inner = Arc::clone(self);
        let task = async move { inner.run(leads, &policy).await };
        self.spawn.spawn(Work { name: "cache load", run: Run::Task(Box::pin(task)) });
    }

    async fn run(&self, leads: Vec<Lead>, policy: &Policy) {
        let mut errands = Vec::with_capacity(leads.len());
        for lead in leads {
            let claimed = self.cache.claim(lead, |entry, now| judge(entry, now, policy).needs_no_load());
            if let ControlFlow::Continue(errand) = claimed {
                errands.push(errand);
            }
        }
        if errands.is_empty() {
            return;
        }
        let give_up_at = self.cache.clock.now() + policy.hard_timeout;
        let loaded = self.load(&errands, give_up_at).await;
        match loaded {
            Ok(values) => {
                for (errand, value) in errands.into_iter().zip(values) {
                    let terms = self.terms(policy, value.is_none());
                    self.cache.settle(errand, Ok(value), &terms);
                }
            }
            Err(error) => {
                let (error, retry_at) = (Arc::new(error), self.cache.clock.now() + policy.retry_after);
                for errand in errands {
                    self.cache.note_failure(errand.key(), retry_at);
                    self.cache.settle(errand, Err(error.clone()), &policy.terms());
                }
            }
        }
    }

    /// Asks the source once the breaker, the budget and the time allow it.
    async fn load(&self, errands: &[Errand], give_up_at: Instant) -> Result<Vec<Option<Payload>>> {
        let (clock, counters) = (&*self.cache.clock, &self.cache.counters);
        let resting = || {
            counters.refused_by_breaker.add();
            refused(Kind::Unavailable, "while its circuit breaker is open")
        };
        // Asked before the line, so that it does not fill up while the source rests, and again at its end.
        if self.breaker.as_ref().is_some_and(|breaker| breaker.lock().refuses(clock.now())) {
            return Err(resting());
        }
        let Some(turn) = self.budget.enter() else {
            counters.refused_by_budget.add();
            return Err(refused(Kind::Full, "while too many loads wait"));
        };
        let late = || {
            counters.load_timeouts.add();
            refused(Kind::Unavailable, "within the hard time-out")
        };
        let _place = within(clock, give_up_at, turn).await.ok_or_else(late)?;
        let mut admitted = Admitted::new(self).ok_or_else(resting)?;
        let begun = self.cache.load_begun();
        let answer = match within(clock, give_up_at, caught(self.ask(errands))).await {
            Some(Some(answer)) => answer,
            Some(None) => Err(refused(Kind::Unavailable, "because its loader panicked")),
            None => Err(late()),
        };
        self.cache.load_ended(begun, answer.is_err());
        admitted.verdict = verdict(&answer);
        answer
    }

    async fn ask(&self, errands: &[Errand]) -> Result<Vec<Option<Payload>>> {
        match &self.source {
            Source::Batch(loader) => ask(&**loader, errands).await,
            Source::Single(loader) => {
                let mut values = Vec::with_capacity(errands.len());
                for errand in errands {
                    values.push(loader.load(self.own(errand.key())).await?);
                }
                Ok(values)
            }
        }
    }

    /// The terms of what was loaded: an absence is remembered only while not too many are.
    fn terms(&self, policy: &Policy, absent: bool) -> Terms {
        let mut terms = policy.terms();
        if let (true, Some(negative_for)) = (absent, policy.negative_for)
            && !self.negatives.lock().admit(self.cache.clock.now(), negative_for)
        {
            self.cache.counters.negatives_dropped.add();
            terms.negative_for = None;
        }
        terms
    }
}

/// A load that the breaker let through. However it ends, the breaker hears of it.
struct Admitted<'a> {
    inner: &'a Inner,
    admission: Option<Admission>,
    verdict: Verdict,
}

impl<'a> Admitted<'a> {
    fn new(inner: &'a Inner) -> Option<Self> {
        let admission = match &inner.breaker {
            Some(breaker) => Some(breaker.lock().admit(inner.cache.clock.now())?),
            None => None,
        };
        Some(Self { inner, admission, verdict: Verdict::Abandoned })
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        if let (Some(breaker), Some(admission)) = (&self.inner.breaker, self.admission) {
            breaker.lock().settle(admission, self.verdict, self.inner.cache.clock.now());
        }
    }
}

/// What an answer says about the source. A request that was wrong in itself was answered all the same.
fn verdict<T>(answer: &Result<T>) -> Verdict {
    match answer.as_ref().map_err(Error::kind) {
        Ok(_) | Err(Kind::Invalid | Kind::NotFound | Kind::Conflict | Kind::TooLarge | Kind::Unsupported) => {
            Verdict::Answered
        }
        Err(_) => Verdict::Failed,
    }
}

fn refused(kind: Kind, why: &str) -> Error {
    Error::new(kind, "ask source", why)
}
