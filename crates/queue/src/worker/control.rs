//! What a worker's handle, its taker and its handlers tell each other.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use parking_lot::Mutex;

#[derive(Debug, Default)]
pub(super) struct Control {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) paused: bool,
    pub(super) stopped: bool,
    pub(super) running: usize,
    /// The taker is gone: nothing will be begun any more.
    ended: bool,
    /// The taker, when it waits.
    taker: Option<Waker>,
    /// Who waits for the end: there is one handle, and waiting uses it up.
    stopper: Option<Waker>,
}

impl Control {
    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        let wakers = {
            let mut state = self.state.lock();
            change(&mut state);
            [state.taker.take(), state.stopper.take()]
        };
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    pub(super) fn running(&self) -> usize {
        self.state.lock().running
    }

    /// The taker waits until `look` finds what it looks for.
    pub(super) async fn until<T>(&self, look: impl Fn(&State) -> Option<T>) -> T {
        poll_fn(|context| {
            let mut state = self.state.lock();
            if let Some(found) = look(&state) {
                return Poll::Ready(found);
            }
            state.taker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// The handle waits until nothing runs and nothing will.
    pub(super) async fn over(&self) {
        poll_fn(|context| {
            let mut state = self.state.lock();
            if state.ended && state.running == 0 {
                return Poll::Ready(());
            }
            state.stopper = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    pub(super) fn begin(self: &Arc<Self>) -> Option<Running> {
        let mut state = self.state.lock();
        if state.stopped || state.paused {
            return None;
        }
        state.running += 1;
        Some(Running { control: self.clone() })
    }
}

/// One handler's place among the running; given back also when its task is dropped.
pub(super) struct Running {
    control: Arc<Control>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.control.change(|state| state.running -= 1);
    }
}

/// Says that the taker is gone, however it went.
pub(super) struct End(pub(super) Arc<Control>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.change(|state| state.ended = true);
    }
}
