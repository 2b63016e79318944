//! The circuit breaker: a source that fails too often is left alone for a while, then tried with a few loads.
//!
//! It holds no clock and no lock: every event brings its moment, and the same events give the same answers.

use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::time::Instant;

/// The parts of the window; the oldest is forgotten as a whole.
const PARTS: u64 = 10;
/// Most probes that can be asked for.
const PROBES_MAX: u32 = 1_000;

/// When a circuit breaker opens, and how it closes again.
///
/// ```
/// use std::time::Duration;
/// use forebay_cache::BreakerOptions;
///
/// // Rests for a minute once one load in ten has failed.
/// let breaker = BreakerOptions { failure_share: 0.1, open_for: Duration::from_secs(60), ..BreakerOptions::default() };
/// # assert_eq!(breaker.probes, 3);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerOptions {
    /// It opens when this share of the loads in the window has failed, 0.0 (excluded) to 1.0.
    pub failure_share: f64,
    /// With fewer loads in the window it does not open.
    pub loads_min: u64,
    /// How far back loads count.
    pub window: Duration,
    /// How long the source is left alone.
    pub open_for: Duration,
    /// How many loads then try it. If all succeed the breaker closes; one that fails opens it again.
    pub probes: u32,
}

impl Default for BreakerOptions {
    /// Half of at least 20 loads in 10 seconds; open for 5 seconds; 3 probes.
    fn default() -> Self {
        Self {
            failure_share: 0.5,
            loads_min: 20,
            window: Duration::from_secs(10),
            open_for: Duration::from_secs(5),
            probes: 3,
        }
    }
}

/// How a circuit breaker stands.
///
/// ```
/// use forebay_cache::{BreakerState, Policy, ReadThrough, ReadThroughOptions};
/// # use forebay_contract::runner::Runner;
/// # let runner = Runner::new();
/// # runner.block_on(async {
/// # use std::sync::Arc;
/// # use forebay_memory::{Memory, MemoryOptions};
/// # let first_version = forebay_core::entry::Version(1);
/// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
/// # let clock = forebay_contract::clock::SimClock::new(1);
/// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
/// # let spawn = runner.clone();
/// let load = |_key| async { Ok(Some("teapot".into())) };
/// let products = ReadThrough::new(cache, spawn, Arc::new(load), ReadThroughOptions::new(Policy::default()))?;
/// assert_eq!(products.stats().breaker, Some(BreakerState::Closed));
/// # Ok::<(), forebay_core::error::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Loads go through.
    Closed,
    /// No load goes through.
    Open,
    /// A few loads go through, to see.
    HalfOpen,
}

/// What became of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The source answered.
    Answered,
    /// It did not, or not in time.
    Failed,
    /// Nobody knows: the load was cut off.
    Abandoned,
}

/// The right to load once, to be given back with the verdict. It means nothing to a breaker that has changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Admission {
    epoch: u64,
}

#[derive(Debug)]
pub(crate) struct Breaker {
    options: BreakerOptions,
    phase: Phase,
    /// What the loads came to while it was closed.
    window: Window,
    /// Counts the phases, so that a late verdict is known as one.
    epoch: u64,
}

#[derive(Debug)]
enum Phase {
    Closed,
    Open { until: Instant },
    HalfOpen { running: u32, answered: u32 },
}

/// The loads of the last while, in parts.
#[derive(Debug, Default)]
struct Window {
    parts: [Part; PARTS as usize],
}

#[derive(Clone, Copy, Debug, Default)]
struct Part {
    /// Which stretch of time it is about.
    number: u64,
    loads: u64,
    failures: u64,
}

impl Breaker {
    /// `Invalid` names the option that is out of range.
    pub(crate) fn new(options: BreakerOptions) -> Result<Self> {
        let refuse = |what: &str| Err(Error::new(Kind::Invalid, "make circuit breaker", what));
        if !(options.failure_share > 0.0 && options.failure_share <= 1.0) {
            return refuse("failure_share must be above 0.0 and up to 1.0");
        }
        if options.loads_min == 0 || options.window < Duration::from_millis(PARTS) {
            return refuse("loads_min must be at least 1, window at least 10 ms");
        }
        if !(1..=PROBES_MAX).contains(&options.probes) {
            return refuse("probes must be 1 to 1,000");
        }
        Ok(Self { options, phase: Phase::Closed, window: Window::default(), epoch: 0 })
    }

    /// Whether a load would be refused now.
    pub(crate) fn refuses(&self, now: Instant) -> bool {
        match &self.phase {
            Phase::Closed => false,
            Phase::Open { until } => now < *until,
            Phase::HalfOpen { running, answered } => running + answered >= self.options.probes,
        }
    }

    /// The right to load now, if there is one. Whoever has it must settle it.
    pub(crate) fn admit(&mut self, now: Instant) -> Option<Admission> {
        if self.refuses(now) {
            return None;
        }
        if let Phase::Open { .. } = self.phase {
            self.enter(Phase::HalfOpen { running: 0, answered: 0 });
        }
        if let Phase::HalfOpen { running, .. } = &mut self.phase {
            *running += 1;
        }
        Some(Admission { epoch: self.epoch })
    }

    /// Takes note of what became of a load.
    pub(crate) fn settle(&mut self, admission: Admission, verdict: Verdict, now: Instant) {
        if admission.epoch != self.epoch {
            return;
        }
        let options = self.options;
        let opens = match (&mut self.phase, verdict) {
            (Phase::Closed, Verdict::Abandoned) | (Phase::Open { .. }, _) => false,
            (Phase::Closed, verdict) => self.window.note(verdict == Verdict::Failed, now, &options),
            (Phase::HalfOpen { running, answered }, verdict) => {
                *running = running.saturating_sub(1);
                if verdict == Verdict::Answered {
                    *answered += 1;
                }
                verdict == Verdict::Failed
            }
        };
        if opens {
            self.enter(Phase::Open { until: now + options.open_for });
        } else if matches!(self.phase, Phase::HalfOpen { answered, .. } if answered >= options.probes) {
            self.enter(Phase::Closed);
        }
    }

    pub(crate) fn state(&self, now: Instant) -> BreakerState {
        match &self.phase {
            Phase::Closed => BreakerState::Closed,
            Phase::Open { until } if now < *until => BreakerState::Open,
            Phase::Open { .. } | Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.window = Window::default();
        self.epoch += 1;
    }
}

impl Window {
    /// Counts a load, and says whether too many have failed.
    fn note(&mut self, failed: bool, now: Instant, options: &BreakerOptions) -> bool {
        let part_ms = u64::try_from(options.window.as_millis()).unwrap_or(u64::MAX) / PARTS;
        let number = now.as_ms() / part_ms.max(1);
        if let Some(part) = self.parts.get_mut((number % PARTS) as usize) {
            if part.number != number {
                *part = Part { number, ..Part::default() };
            }
            part.loads += 1;
            part.failures += u64::from(failed);
        }
        let recent = self.parts.iter().filter(|part| number - part.number.min(number) < PARTS);
        let (loads, failures) =
            recent.fold((0, 0), |(loads, failures), part| (loads + part.loads, failures + part.failures));
        failed && loads >= options.loads_min && failures as f64 >= options.failure_share * loads as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Abandoned, Answered, Failed};

    const OPTIONS: BreakerOptions = BreakerOptions {
        failure_share: 0.5,
        loads_min: 4,
        window: Duration::from_millis(1_000),
        open_for: Duration::from_millis(500),
        probes: 2,
    };

    fn at(ms: u64) -> Instant {
        Instant::from_ms(1_000_000 + ms)
    }

    fn breaker() -> Breaker {
        Breaker::new(OPTIONS).unwrap()
    }

    fn load(breaker: &mut Breaker, verdict: Verdict, ms: u64) {
        let admission = breaker.admit(at(ms)).unwrap();
        breaker.settle(admission, verdict, at(ms));
    }

    fn opened() -> Breaker {
        let mut breaker = breaker();
        (0..4).for_each(|_| load(&mut breaker, Failed, 0));
        assert_eq!(breaker.state(at(0)), BreakerState::Open);
        breaker
    }

    #[test]
    fn it_opens_at_its_share_of_failures_and_not_before() {
        let mut breaker = breaker();
        for verdict in [Answered, Answered, Answered, Failed, Failed] {
            load(&mut breaker, verdict, 0);
            assert_eq!(breaker.state(at(0)), BreakerState::Closed);
        }
        load(&mut breaker, Failed, 0);
        assert_eq!(breaker.state(at(0)), BreakerState::Open);
        assert_eq!(breaker.admit(at(499)), None);
    }

    #[test]
    fn few_loads_do_not_open_it() {
        let mut breaker = breaker();
        (0..3).for_each(|_| load(&mut breaker, Failed, 0));
        assert_eq!(breaker.state(at(0)), BreakerState::Closed);
    }

    #[test]
    fn failures_beyond_the_window_are_forgotten() {
        let mut breaker = breaker();
        (0..3).for_each(|_| load(&mut breaker, Failed, 0));
        load(&mut breaker, Failed, 1_000);
        assert_eq!(breaker.state(at(1_000)), BreakerState::Closed);
        (0..3).for_each(|_| load(&mut breaker, Failed, 1_900));
        assert_eq!(breaker.state(at(1_900)), BreakerState::Open);
    }

    #[test]
    fn after_its_rest_only_the_probes_go_through_and_their_success_closes_it() {
        let mut breaker = opened();
        assert_eq!(breaker.state(at(500)), BreakerState::HalfOpen);
        let probes = [breaker.admit(at(500)).unwrap(), breaker.admit(at(500)).unwrap()];
        assert_eq!(breaker.admit(at(500)), None);
        breaker.settle(probes[0], Answered, at(510));
        assert_eq!(breaker.admit(at(510)), None, "the second probe is still out");
        breaker.settle(probes[1], Answered, at(520));
        assert_eq!(breaker.state(at(520)), BreakerState::Closed);
        (0..3).for_each(|_| load(&mut breaker, Failed, 530));
        assert_eq!(breaker.state(at(530)), BreakerState::Closed, "what was before is forgotten");
    }

    #[test]
    fn a_probe_that_fails_opens_it_again() {
        let mut breaker = opened();
        load(&mut breaker, Answered, 500);
        load(&mut breaker, Failed, 510);
        assert_eq!(breaker.state(at(1_009)), BreakerState::Open);
        assert_eq!(breaker.state(at(1_010)), BreakerState::HalfOpen);
    }

    #[test]
    fn a_probe_that_was_cut_off_leaves_its_place_to_another() {
        let mut breaker = opened();
        for ms in 500..600 {
            load(&mut breaker, Abandoned, ms);
        }
        load(&mut breaker, Answered, 600);
        load(&mut breaker, Answered, 600);
        assert_eq!(breaker.state(at(600)), BreakerState::Closed);
    }

    #[test]
    fn a_load_from_before_it_opened_says_nothing_about_the_probes() {
        let mut breaker = breaker();
        let early = breaker.admit(at(0)).unwrap();
        (0..4).for_each(|_| load(&mut breaker, Failed, 0));
        let _probe = breaker.admit(at(500)).unwrap();
        breaker.settle(early, Failed, at(501));
        assert_eq!(breaker.state(at(501)), BreakerState::HalfOpen);
        breaker.settle(early, Answered, at(502));
        assert!(breaker.admit(at(502)).is_some());
        assert!(breaker.admit(at(502)).is_none());
    }

    #[test]
    fn options_out_of_range_are_refused() {
        for options in [
            BreakerOptions { failure_share: 0.0, ..OPTIONS },
            BreakerOptions { failure_share: 1.1, ..OPTIONS },
            BreakerOptions { failure_share: f64::NAN, ..OPTIONS },
            BreakerOptions { loads_min: 0, ..OPTIONS },
            BreakerOptions { window: Duration::ZERO, ..OPTIONS },
            BreakerOptions { probes: 0, ..OPTIONS },
        ] {
            assert!(Breaker::new(options).is_err(), "{options:?}");
        }
        assert!(Breaker::new(BreakerOptions::default()).is_ok());
    }
}
