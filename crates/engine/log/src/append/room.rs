//! Room for records: who may use the last of it, and waiting in line until there is some.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;

use crate::format;
use crate::log::Shared;
use crate::options::LogOptions;
use crate::state::{Phase, State};

/// What a record is for. When space runs out, the last of it is for those that give some back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// It brings something new.
    New,
    /// It frees nothing by itself, and is a step on the way to what does.
    Step,
    /// It frees space, now or later: the end of something, or a live record carried out of an old segment.
    Free,
}

impl Class {
    /// Segments that must be left, made ready, for the classes above.
    pub(crate) fn leaves(self) -> usize {
        match self {
            Self::New => limits::log::SEGMENTS_LEFT_BY_NEW,
            Self::Step => limits::log::SEGMENTS_LEFT_BY_STEPS,
            Self::Free => 0,
        }
    }

    fn index(self) -> usize {
        match self {
            Self::New => 0,
            Self::Step => 1,
            Self::Free => 2,
        }
    }
}

/// Whether records can be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// Now.
    Now,
    /// Soon, without anybody's help: the writer or the preparer is at it.
    Soon(&'static str),
    /// When space is freed.
    NoSpace,
}

/// Those who wait for room, by class, in the order in which they came.
#[derive(Default)]
pub(crate) struct Lines {
    lines: [VecDeque<Waiting>; 3],
    next: u64,
}

struct Waiting {
    place: u64,
    /// Segments that must be ready for it.
    segments: usize,
    waker: Waker,
}

impl Lines {
    /// True if nobody of that class, or only whoever has that place, is first in line.
    pub(crate) fn lets(&self, class: Class, place: Option<u64>) -> bool {
        let first = self.lines.get(class.index()).and_then(VecDeque::front);
        first.is_none_or(|first| Some(first.place) == place)
    }

    /// Segments that must be ready for the one whose turn is next.
    pub(crate) fn segments_wanted(&self) -> usize {
        self.lines.iter().filter_map(|line| line.front().map(|first| first.segments)).max().unwrap_or(0)
    }

    /// Those whose turn is next, to be woken once the lock is given up: they look whether there is room.
    pub(crate) fn first(&self) -> Vec<Waker> {
        self.lines.iter().filter_map(|line| line.front().map(|first| first.waker.clone())).collect()
    }

    /// Takes a place at the end, or keeps the one that is there; `None` if the line is too long.
    fn stand(&mut self, class: Class, place: Option<u64>, segments: usize, waker: &Waker) -> Option<u64> {
        let line = self.lines.get_mut(class.index())?;
        if let Some(place) = place {
            if let Ok(at) = line.binary_search_by_key(&place, |waiting| waiting.place)
                && let Some(waiting) = line.get_mut(at)
            {
                waiting.waker.clone_from(waker);
            }
            return Some(place);
        }
        if line.len() >= limits::log::WAITERS_MAX {
            return None;
        }
        self.next += 1;
        line.push_back(Waiting { place: self.next, segments, waker: waker.clone() });
        Some(self.next)
    }

    fn leave(&mut self, class: Class, place: u64) {
        if let Some(line) = self.lines.get_mut(class.index())
            && let Ok(at) = line.binary_search_by_key(&place, |waiting| waiting.place)
        {
            line.remove(at);
        }
    }
}

/// Room for some records, of which all or none are appended. As a future it is ready once there is room for them, in
/// the order in which the waiting of one class began; [`append_all`](crate::Log::append_all) with it then keeps others
/// from taking that room, until it is dropped. `Full`: only freeing space makes room, or too many wait.
/// `Poisoned`, `Closed`: as for appending.
#[must_use = "a future does nothing unless polled"]
pub struct Room {
    shared: Arc<Shared>,
    pub(crate) class: Class,
    sizes: Vec<u64>,
    segments: usize,
    pub(crate) place: Option<u64>,
}

impl Room {
    /// `TooLarge` if there can never be room for records of these lengths.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        class: Class,
        lengths: impl Iterator<Item = usize>,
    ) -> Result<Self> {
        let options = &shared.options;
        let sizes: Vec<_> = lengths.map(|length| format::record_size(length as u64)).collect();
        let largest = u64::from(options.segment_bytes - format::SEGMENT_HEADER_BYTES);
        let bytes = sizes.iter().sum::<u64>();
        let segments = rolls(0, options, sizes.iter().copied());
        let disk = (options.disk_bytes_max / u64::from(options.segment_bytes)) as usize;
        if sizes.iter().any(|size| *size > largest)
            || bytes > options.pending_bytes_max as u64
            || sizes.len() as u64 > u64::from(format::BATCH_RECORDS_MAX)
            || 1 + segments + class.leaves() > disk
        {
            let context = format!("{} records of {bytes} bytes together", sizes.len());
            return Err(Error::new(Kind::TooLarge, "append to log", context));
        }
        Ok(Self { shared: shared.clone(), class, sizes, segments, place: None })
    }

    /// New segments that the records need at most.
    pub fn segments(&self) -> usize {
        self.segments
    }

    fn look(&mut self, waker: &Waker) -> Poll<Result<()>> {
        let mut state = self.shared.state.lock();
        state.check_poison("append to log")?;
        state.check_running()?;
        let full = |what: &str| Poll::Ready(Err(Error::new(Kind::Full, "append to log", what)));
        let wanted = self.segments + self.class.leaves();
        self.place = state.lines.stand(self.class, self.place, wanted, waker);
        if self.place.is_none() {
            return full("too many wait for room");
        }
        if !state.lines.lets(self.class, self.place) {
            return Poll::Pending;
        }
        let fit = state.fit(self.class, &self.sizes, &self.shared.options);
        state.refusing |= fit == Fit::NoSpace;
        match fit {
            Fit::Now => Poll::Ready(Ok(())),
            Fit::NoSpace => full("no disk space"),
            Fit::Soon(_) => {
                drop(state);
                // It may have to make more ready than it does unasked.
                self.shared.preparer_wakes.notify_one();
                Poll::Pending
            }
        }
    }
}

impl Future for Room {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.look(context.waker())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        let mut state = self.shared.state.lock();
        state.lines.leave(self.class, place);
        let next = state.lines.first();
        drop(state);
        next.into_iter().for_each(Waker::wake);
    }
}

/// How many new segments records of these sizes need, `left` bytes being left in the present one.
fn rolls(left: u64, options: &LogOptions, sizes: impl Iterator<Item = u64>) -> usize {
    let whole = u64::from(options.segment_bytes - format::SEGMENT_HEADER_BYTES);
    let (mut left, mut count) = (left, 0);
    for size in sizes {
        if size > left {
            (left, count) = (whole, count + 1);
        }
        left = left.saturating_sub(size);
    }
    count
}

impl State {
    /// Whether records of these sizes can all be appended.
    pub(crate) fn fit(&self, class: Class, sizes: &[u64], options: &LogOptions) -> Fit {
        let bytes = sizes.iter().sum::<u64>();
        let pending_max = match class {
            Class::New => options.pending_bytes_max,
            Class::Step | Class::Free => {
                options.pending_bytes_max.saturating_add(options.pending_bytes_max / 4)
            }
        };
        if self.pending_bytes() as u64 + bytes > pending_max as u64 || !self.open.takes(sizes.len()) {
            return Fit::Soon("too much waits to be written");
        }
        let left = u64::from(self.tail.bytes - self.tail_offset);
        if self.prepared.len() >= rolls(left, options, sizes.iter().copied()) + class.leaves() {
            Fit::Now
        } else if self.no_room {
            Fit::NoSpace
        } else {
            Fit::Soon("the next segment is not ready")
        }
    }

    pub(crate) fn check_running(&self) -> Result<()> {
        if self.phase != Phase::Running {
            return Err(Error::new(Kind::Closed, "append to log", "the log is closed"));
        }
        Ok(())
    }
}
