//! Single flight: of all who miss a key at one time, one leads and loads, the others wait for what it brings.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::cache::{FLIGHTS_MAX, WAITERS_MAX};
use forebay_core::payload::Payload;
use parking_lot::Mutex;

use crate::cache::printable;

/// What a load brought, for all who waited.
pub(crate) type Landing = std::result::Result<Option<Payload>, Arc<Error>>;

/// The loads of one cache that are under way. Locks are taken in the order table, flight; wakers are called with none.
#[derive(Default)]
pub(crate) struct Flights {
    by_key: Mutex<HashMap<Box<[u8]>, Arc<Flight>>>,
}

struct Flight {
    key: Box<[u8]>,
    state: Mutex<State>,
}

struct State {
    stage: Stage,
    /// Its load has begun.
    loads: bool,
    /// Who waits, by ticket; without a waker until first polled.
    waiters: HashMap<u64, Option<Waker>>,
    tickets: u64,
}

enum Stage {
    /// Somebody leads.
    Led,
    /// The leader is gone; the first who looks leads.
    Vacant,
    /// It is over.
    Landed(Landing),
}

/// A caller's part in a flight.
pub(crate) enum Part {
    Lead(Lead),
    Wait(Wait),
}

/// What a wait ends with.
pub(crate) enum Waited {
    Landed(Landing),
    Lead(Lead),
}

/// The duty to load. Dropped without landing, it passes to one of those who wait.
pub(crate) struct Lead {
    flights: Arc<Flights>,
    flight: Arc<Flight>,
    landed: bool,
}

/// Waits for the landing, or for the lead.
pub(crate) struct Wait {
    flights: Arc<Flights>,
    flight: Arc<Flight>,
    ticket: Option<u64>,
    late: bool,
}

impl Flights {
    /// Joins the flight for the key, or begins one. `Full`: too many keys are being loaded, or too many callers wait.
    pub(crate) fn join(self: &Arc<Self>, key: &[u8]) -> Result<Part> {
        let mut by_key = self.by_key.lock();
        let Some(flight) = by_key.get(key) else {
            return Ok(Part::Lead(self.begin(&mut by_key, key)?));
        };
        let mut state = flight.state.lock();
        if state.take_vacant() {
            return Ok(Part::Lead(self.lead_of(flight)));
        }
        if state.waiters.len() >= WAITERS_MAX {
            return Err(Error::new(Kind::Full, "wait for the load of key", printable(key)));
        }
        let (ticket, late) = (Some(state.ticket()), state.loads);
        Ok(Part::Wait(Wait { flights: self.clone(), flight: flight.clone(), ticket, late }))
    }

    /// Begins a flight for the key in place of the present one, which nobody joins from now on.
    pub(crate) fn begin_anew(self: &Arc<Self>, key: &[u8]) -> Result<Lead> {
        let mut by_key = self.by_key.lock();
        by_key.remove(key);
        self.begin(&mut by_key, key)
    }

    /// Begins a flight for the key, unless there is one that somebody leads, or there are too many.
    pub(crate) fn lead(self: &Arc<Self>, key: &[u8]) -> Option<Lead> {
        let mut by_key = self.by_key.lock();
        match by_key.get(key) {
            Some(flight) => flight.state.lock().take_vacant().then(|| self.lead_of(flight)),
            None => self.begin(&mut by_key, key).ok(),
        }
    }

    fn begin(self: &Arc<Self>, by_key: &mut HashMap<Box<[u8]>, Arc<Flight>>, key: &[u8]) -> Result<Lead> {
        if by_key.len() >= FLIGHTS_MAX {
            return Err(Error::new(Kind::Full, "begin the load of key", printable(key)));
        }
        let state = State { stage: Stage::Led, loads: false, waiters: HashMap::new(), tickets: 0 };
        let flight = Arc::new(Flight { key: key.into(), state: Mutex::new(state) });
        by_key.insert(key.into(), flight.clone());
        Ok(self.lead_of(&flight))
    }

    fn lead_of(self: &Arc<Self>, flight: &Arc<Flight>) -> Lead {
        Lead { flights: self.clone(), flight: flight.clone(), landed: false }
    }

    /// Nobody joins the present flight for the key from now on; those in it still get what it brings.
    pub(crate) fn detach(&self, key: &[u8]) {
        self.by_key.lock().remove(key);
    }

    /// Runs `change` on a flight's state with the table locked, takes the flight out of the table if it says so, and wakes
    /// those whom it returns.
    fn change(&self, flight: &Arc<Flight>, change: impl FnOnce(&mut State) -> (bool, Vec<Waker>)) {
        let mut by_key = self.by_key.lock();
        let (over, wakers) = change(&mut flight.state.lock());
        if over && by_key.get(&flight.key).is_some_and(|present| Arc::ptr_eq(present, flight)) {
            by_key.remove(&flight.key);
        }
        drop(by_key);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl State {
    /// Takes over a lead that nobody has.
    fn take_vacant(&mut self) -> bool {
        let vacant = matches!(self.stage, Stage::Vacant);
        if vacant {
            self.stage = Stage::Led;
            self.loads = false;
        }
        vacant
    }

    fn ticket(&mut self) -> u64 {
        let ticket = self.tickets;
        self.tickets += 1;
        self.waiters.insert(ticket, None);
        ticket
    }

    fn wakers(&mut self) -> Vec<Waker> {
        self.waiters.values_mut().filter_map(Option::take).collect()
    }
}

impl Lead {
    /// What is to be loaded.
    pub(crate) fn key(&self) -> &[u8] {
        &self.flight.key
    }

    /// A place among those who wait for this flight, for whoever has the load done elsewhere.
    pub(crate) fn wait(&self) -> Wait {
        let ticket = Some(self.flight.state.lock().ticket());
        Wait { flights: self.flights.clone(), flight: self.flight.clone(), ticket, late: false }
    }

    /// The load begins: who joins from now on comes after that.
    pub(crate) fn begins(&self) {
        self.flight.state.lock().loads = true;
    }

    /// Ends the flight: everybody in it gets this.
    pub(crate) fn land(mut self, landing: Landing) {
        self.landed = true;
        self.flights.change(&self.flight, |state| {
            state.stage = Stage::Landed(landing);
            (true, state.wakers())
        });
    }
}

impl Wait {
    /// Whether the load had begun before: then it may bring what was true before this caller came.
    pub(crate) fn is_late(&self) -> bool {
        self.late
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if self.landed {
            return;
        }
        self.flights.change(&self.flight, |state| {
            state.stage = Stage::Vacant;
            (state.waiters.is_empty(), state.wakers())
        });
    }
}

impl Future for Wait {
    type Output = Waited;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Waited> {
        let flight = self.flight.clone();
        let mut state = flight.state.lock();
        let waited = match &state.stage {
            Stage::Landed(landing) => Waited::Landed(landing.clone()),
            Stage::Vacant => {
                state.take_vacant();
                Waited::Lead(self.flights.lead_of(&flight))
            }
            Stage::Led => {
                if let Some(waker) = self.ticket.and_then(|ticket| state.waiters.get_mut(&ticket)) {
                    *waker = Some(context.waker().clone());
                }
                return Poll::Pending;
            }
        };
        if let Some(ticket) = self.ticket.take() {
            state.waiters.remove(&ticket);
        }
        Poll::Ready(waited)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        // If it was the last who could have taken a vacant lead, the flight is over.
        self.flights.change(&self.flight, |state| {
            state.waiters.remove(&ticket);
            (matches!(state.stage, Stage::Vacant) && state.waiters.is_empty(), Vec::new())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lead(flights: &Arc<Flights>) -> Lead {
        match flights.join(b"key") {
            Ok(Part::Lead(lead)) => lead,
            _ => panic!("the first to join leads"),
        }
    }

    fn wait(flights: &Arc<Flights>) -> Wait {
        match flights.join(b"key") {
            Ok(Part::Wait(wait)) => wait,
            _ => panic!("who joins later waits"),
        }
    }

    fn poll(wait: &mut Wait) -> Poll<Waited> {
        Pin::new(wait).poll(&mut Context::from_waker(Waker::noop()))
    }

    fn count(flights: &Flights) -> usize {
        flights.by_key.lock().len()
    }

    #[test]
    fn a_flight_without_anybody_is_forgotten() {
        let flights = Arc::new(Flights::default());
        drop(lead(&flights));
        assert_eq!(count(&flights), 0, "a lead dropped alone");
        lead(&flights).land(Ok(None));
        assert_eq!(count(&flights), 0, "a lead that landed");
        let leader = lead(&flights);
        let waiter = wait(&flights);
        drop(leader);
        assert_eq!(count(&flights), 1, "a vacant one with somebody to take over");
        drop(waiter);
        assert_eq!(count(&flights), 0, "a vacant one with nobody");
    }

    #[test]
    fn a_vacant_lead_goes_to_one_of_those_who_wait_or_come() {
        let flights = Arc::new(Flights::default());
        let leader = lead(&flights);
        let (mut first, mut second) = (wait(&flights), wait(&flights));
        assert!(poll(&mut first).is_pending());
        drop(leader);
        let Poll::Ready(Waited::Lead(taken)) = poll(&mut second) else { panic!("the lead was vacant") };
        assert!(poll(&mut first).is_pending());
        drop(taken);
        let comer = lead(&flights);
        assert!(poll(&mut first).is_pending());
        comer.land(Ok(None));
        assert!(matches!(poll(&mut first), Poll::Ready(Waited::Landed(Ok(None)))));
    }

    #[test]
    fn who_is_in_a_detached_flight_still_lands() {
        let flights = Arc::new(Flights::default());
        let leader = lead(&flights);
        let mut waiter = wait(&flights);
        flights.detach(b"key");
        let next = lead(&flights);
        leader.land(Ok(None));
        assert!(matches!(poll(&mut waiter), Poll::Ready(Waited::Landed(Ok(None)))));
        assert_eq!(count(&flights), 1, "the flight that came after stays");
        drop(next);
        assert_eq!(count(&flights), 0);
    }

    #[test]
    fn a_refresh_leads_only_where_nobody_does() {
        let flights = Arc::new(Flights::default());
        let leader = flights.lead(b"key").unwrap();
        assert!(flights.lead(b"key").is_none());
        let mut waiter = leader.wait();
        drop(leader);
        let taken = flights.lead(b"key").unwrap();
        assert!(poll(&mut waiter).is_pending(), "the lead is taken");
        taken.land(Ok(None));
        assert!(matches!(poll(&mut waiter), Poll::Ready(Waited::Landed(Ok(None)))));
        assert_eq!(count(&flights), 0);
    }

    #[test]
    fn flights_and_waiters_have_their_limits() {
        let flights = Arc::new(Flights::default());
        let keys: Vec<_> = (0..FLIGHTS_MAX).map(|number| number.to_be_bytes()).collect();
        let leads: Vec<_> = keys.iter().map(|key| flights.join(key)).collect();
        assert!(matches!(flights.join(b"one more"), Err(error) if error.kind() == Kind::Full));
        drop(leads);
        assert_eq!(count(&flights), 0);

        let _leader = lead(&flights);
        let waits: Vec<_> = (0..WAITERS_MAX).map(|_| wait(&flights)).collect();
        assert!(matches!(flights.join(b"key"), Err(error) if error.kind() == Kind::Full));
        drop(waits);
        let _waiter = wait(&flights);
    }
}
