//! Requests of one function that wait for a pod that can begin them: bounded, first come first
//! served.
//!
//! A waiting request is told to try when something changes: pods or the function do, or a short
//! pause is over that grows with the waiting. How many try at the same time is [`Window`]'s to say.
//! When a request ends, its slot in the pod is offered to one that waits, to each function in its
//! turn ([`Turns`]).

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot, watch},
    time::Instant,
};
use wasmfn_crds::answer::AnswerReason;

mod cause;
mod place;
mod slot;
mod turns;
mod window;

#[cfg(test)]
mod fairness;
#[cfg(test)]
mod tests;

pub use cause::Cause;
pub use place::Place;
pub use slot::Slot;
pub use turns::{Offer, Turns};
pub use window::Window;

/// Shortest pause between two tries while nothing else happens.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
/// Longest pause between two tries while nothing else happens.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// A pause is this part of the time waited so far: what a request loses to pauses stays a small
/// part of what it has to wait for anyway.
const PAUSE_PART: u32 = 20;
/// Pause while there is no pod to ask: whatever brings one is a change, and that is told.
const PAUSE_WITHOUT_POD: Duration = Duration::from_secs(1);

/// The queue of one function.
#[derive(Debug, Default)]
pub struct Queue {
    state: Mutex<State>,
    /// Requests that wait or try, so that the common case takes no lock.
    size: AtomicUsize,
    /// The pause is to be another one.
    retimed: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: BTreeMap<u64, oneshot::Sender<Call>>,
    next_number: u64,
    window: Window,
    /// A task releases requests from time to time.
    paced: bool,
    /// Why the last one that tried was not begun.
    cause: Cause,
    /// Where the function takes its turn with others.
    turns: Option<Arc<Turns>>,
}

/// What a waiting request is told.
#[derive(Debug)]
enum Call {
    Try(Permit),
    GiveUp(AnswerReason),
}

/// What lets a request try.
#[derive(Debug)]
enum Permit {
    /// There is room in the window.
    Window,
    /// A slot has come free.
    Slot(Offer),
}

/// The queue is full.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct QueueFull;

impl Queue {
    /// Whether nobody waits, so that a new request may try at once.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.size.load(Ordering::Acquire) == 0
    }

    /// Takes the last place. With `refused`, the request has tried and no pod has begun it.
    ///
    /// # Errors
    /// [`QueueFull`] where `bound` requests wait already.
    pub fn join(
        self: &Arc<Self>,
        bound: usize,
        refused: Option<Cause>,
    ) -> Result<Place, QueueFull> {
        let mut state = self.state();
        if self.size.load(Ordering::Acquire) >= bound {
            return Err(QueueFull);
        }
        self.size.fetch_add(1, Ordering::AcqRel);
        if let Some(cause) = refused {
            state.cause = cause;
            state.window.block();
        }
        let number = state.next_number;
        state.next_number += 1;
        Ok(Place::new(self.clone(), number))
    }

    /// Why those that wait do so.
    #[must_use]
    pub fn cause(&self) -> Cause {
        self.state().cause
    }

    /// Has all that wait give up for `reason`, at once. Those that try find out themselves.
    pub fn dismiss(&self, reason: AnswerReason) {
        if self.is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut self.state().waiting);
        for call in waiting.into_values() {
            let _ = call.send(Call::GiveUp(reason));
        }
    }

    /// Something has changed that a waiting request may have missed.
    pub fn look_again(&self) {
        let mut state = self.state();
        state.window.unblock();
        state.release();
    }

    /// Offers a free slot to the request that has waited longest, or to whom it goes next.
    fn offer(&self, offer: Offer) {
        let first = self.state().waiting.pop_first();
        if let Some((_, call)) = first {
            // A request that is gone finds the offer in `Place::leave`.
            let _ = call.send(Call::Try(Permit::Slot(offer)));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nothing panics while it holds this lock")
    }

    /// Releases requests on every change and after each pause, until nobody waits.
    async fn pace(self: Arc<Self>, mut changes: watch::Receiver<()>) {
        let since = Instant::now();
        loop {
            let pause = self.cause().pause(since.elapsed());
            tokio::select! {
                changed = changes.changed() => if changed.is_err() {
                    // Nothing will ever change again; the pauses remain.
                    tokio::time::sleep(LONGEST_PAUSE).await;
                },
                () = self.retimed.notified() => continue,
                () = tokio::time::sleep(pause) => {}
            }
            let mut state = self.state();
            if self.is_empty() {
                state.paced = false;
                return;
            }
            state.window.unblock();
            state.release();
        }
    }
}

impl Cause {
    /// How long to wait for something to happen, after waiting for `waited` already.
    fn pause(self, waited: Duration) -> Duration {
        match self {
            Self::NoPod => PAUSE_WITHOUT_POD,
            Self::Loading | Self::Full => {
                (waited / PAUSE_PART).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
            }
        }
    }
}

impl State {
    fn release(&mut self) {
        while self.window.room() > 0 {
            let Some((_, call)) = self.waiting.pop_first() else {
                return;
            };
            self.window.started();
            // A request that is gone finds out in `Place::leave` that it counts as trying.
            let _ = call.send(Call::Try(Permit::Window));
        }
    }
}
