//! How many may load at one time: places, and a line before them, in order and of bounded length.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

pub(crate) struct Budget {
    running_max: usize,
    waiting_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Places taken, those granted and not yet taken up included.
    running: usize,
    tickets: u64,
    /// Who waits, in order; without a waker until first polled.
    line: BTreeMap<u64, Option<Waker>>,
    granted: BTreeSet<u64>,
}

/// A place. Dropped, it goes to the first in the line.
pub(crate) struct Place {
    budget: Arc<Budget>,
}

/// Waits for a place.
pub(crate) struct Turn {
    budget: Arc<Budget>,
    /// `None` once it has become a place.
    ticket: Option<u64>,
}

impl Budget {
    pub(crate) fn new(running_max: usize, waiting_max: usize) -> Self {
        Self { running_max, waiting_max, state: Mutex::default() }
    }

    /// Takes a place, or stands in line for one; `None` where the line is full.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Turn> {
        let mut state = self.state.lock();
        let ticket = state.tickets;
        if state.running < self.running_max {
            state.running += 1;
            state.granted.insert(ticket);
        } else if state.line.len() < self.waiting_max {
            state.line.insert(ticket, None);
        } else {
            return None;
        }
        state.tickets += 1;
        Some(Turn { budget: self.clone(), ticket: Some(ticket) })
    }

    /// How many load, and how many wait for their turn.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.running, state.line.len())
    }

    /// A place is free: it goes to the first in the line.
    fn release(&self) {
        let waker = {
            let mut state = self.state.lock();
            match state.line.pop_first() {
                Some((ticket, waker)) => {
                    state.granted.insert(ticket);
                    waker
                }
                None => {
                    state.running = state.running.saturating_sub(1);
                    None
                }
            }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Future for Turn {
    type Output = Place;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Place> {
        let budget = self.budget.clone();
        let mut state = budget.state.lock();
        let Some(ticket) = self.ticket else { return Poll::Pending };
        if state.granted.remove(&ticket) {
            self.ticket = None;
            drop(state);
            return Poll::Ready(Place { budget });
        }
        if let Some(waker) = state.line.get_mut(&ticket) {
            *waker = Some(context.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let granted = {
            let mut state = self.budget.state.lock();
            state.line.remove(&ticket);
            state.granted.remove(&ticket)
        };
        if granted {
            self.budget.release();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.budget.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(turn: &mut Turn) -> Option<Place> {
        match Pin::new(turn).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(place) => Some(place),
            Poll::Pending => None,
        }
    }

    #[test]
    fn no_more_than_its_places_are_taken_and_they_are_passed_on_in_order() {
        let budget = Arc::new(Budget::new(2, 2));
        let mut turns: Vec<_> = (0..4).map(|_| budget.enter().unwrap()).collect();
        assert!(budget.enter().is_none(), "the line is full");
        let first = poll(&mut turns[0]).unwrap();
        let second = poll(&mut turns[1]).unwrap();
        assert!(poll(&mut turns[2]).is_none() && poll(&mut turns[3]).is_none());
        assert_eq!(budget.counts(), (2, 2));
        drop(first);
        assert!(poll(&mut turns[3]).is_none(), "the third comes first");
        let third = poll(&mut turns[2]).unwrap();
        drop((second, third));
        assert!(poll(&mut turns[3]).is_some());
        assert_eq!(budget.counts(), (0, 0));
    }

    #[test]
    fn who_leaves_the_line_costs_no_place() {
        let budget = Arc::new(Budget::new(1, 9));
        let mut first = budget.enter().unwrap();
        let (second, third) = (budget.enter().unwrap(), budget.enter().unwrap());
        let mut fourth = budget.enter().unwrap();
        let place = poll(&mut first).unwrap();
        drop(second);
        drop(place);
        assert!(poll(&mut fourth).is_none(), "it is the third's turn");
        drop(third);
        assert!(poll(&mut fourth).is_some(), "the third left with its place granted");
        assert_eq!(budget.counts(), (0, 0));
    }

    #[test]
    fn a_place_granted_and_never_taken_up_is_free_again() {
        let budget = Arc::new(Budget::new(1, 0));
        drop(budget.enter().unwrap());
        assert!(budget.enter().is_some());
    }
}
