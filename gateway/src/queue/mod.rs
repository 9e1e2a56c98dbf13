//! Requests of one function that wait for a pod that can begin them: bounded, first come first
//! served.
//!
//! A waiting request is told to try when something changes: pods or the function do, one of its
//! requests ends, or a short pause is over that grows with the waiting. How many try at the same
//! time is [`Window`]'s to say.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};

mod window;

#[cfg(test)]
mod tests;

pub use window::Window;

/// Shortest pause between two tries while nothing else happens.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
/// Longest pause between two tries while nothing else happens.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// A pause is this part of the time waited so far: what a request loses to pauses stays a small
/// part of what it has to wait for anyway.
const PAUSE_PART: u32 = 20;

/// The queue of one function.
#[derive(Debug, Default)]
pub struct Queue {
    state: Mutex<State>,
    /// Requests that wait or try, so that the common case takes no lock.
    size: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    waiting: BTreeMap<u64, oneshot::Sender<()>>,
    next_number: u64,
    window: Window,
    /// A task releases requests from time to time.
    paced: bool,
}

/// The queue is full.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct QueueFull;

/// A request's place in the queue, kept until it is dropped.
#[derive(Debug)]
pub struct Place {
    queue: Arc<Queue>,
    number: u64,
    standing: Standing,
}

/// How a place stands towards its queue.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Standing {
    /// Counted, and neither waiting nor trying.
    Joined,
    /// Waiting while its number is in [`State::waiting`], trying once it is not.
    Called,
    /// Not counted: a pod has it.
    Out,
}

impl Queue {
    /// Whether nobody waits, so that a new request may try at once.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.size.load(Ordering::Acquire) == 0
    }

    /// Takes the last place. With `refused`, no pod accepts right now as far as the request knows.
    ///
    /// # Errors
    /// [`QueueFull`] where `bound` requests wait already.
    pub fn join(self: &Arc<Self>, bound: usize, refused: bool) -> Result<Place, QueueFull> {
        let mut state = self.state();
        if self.size.load(Ordering::Acquire) >= bound {
            return Err(QueueFull);
        }
        self.size.fetch_add(1, Ordering::AcqRel);
        if refused {
            state.window.block();
        }
        let number = state.next_number;
        state.next_number += 1;
        Ok(Place {
            queue: self.clone(),
            number,
            standing: Standing::Joined,
        })
    }

    /// One of the function's requests has ended: a waiting one may have its slot.
    pub fn slot_freed(&self) {
        if !self.is_empty() {
            let mut state = self.state();
            state.window.unblock();
            state.release();
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
            tokio::select! {
                changed = changes.changed() => if changed.is_err() {
                    // Nothing will ever change again; the pauses remain.
                    tokio::time::sleep(LONGEST_PAUSE).await;
                },
                () = tokio::time::sleep(pause(since.elapsed())) => {}
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

/// How long to wait for something to happen, after waiting for `waited` already.
fn pause(waited: Duration) -> Duration {
    (waited / PAUSE_PART).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}

impl State {
    fn release(&mut self) {
        while self.window.room() > 0 {
            let Some((_, turn)) = self.waiting.pop_first() else {
                return;
            };
            // One whose receiver is gone finds out in `leave` that it counts as trying.
            self.window.started();
            let _ = turn.send(());
        }
    }
}

impl Place {
    /// Waits for the request's turn to try. `changes` tells when pods or functions change.
    pub async fn turn(&mut self, changes: &watch::Receiver<()>) {
        let (sender, turn) = oneshot::channel();
        let pace = {
            let queue = self.queue.clone();
            let mut state = queue.state();
            self.leave(&mut state);
            queue.size.fetch_add(1, Ordering::AcqRel);
            self.standing = Standing::Called;
            state.waiting.insert(self.number, sender);
            state.release();
            !std::mem::replace(&mut state.paced, true)
        };
        if pace {
            let queue = self.queue.clone();
            // Takes changes from here on as seen: the request tried just before.
            tokio::spawn(queue.pace(changes.clone()));
        }
        // The sender is only ever dropped by sending.
        let _ = turn.await;
    }

    /// A pod has begun the request, or seems to have.
    pub fn accepted(&mut self) {
        let queue = self.queue.clone();
        let mut state = queue.state();
        if self.standing == Standing::Called {
            state.window.accepted();
            self.standing = Standing::Joined;
        }
        self.leave(&mut state);
        state.release();
    }

    /// No pod would begin the request.
    pub fn refused(&mut self) {
        let queue = self.queue.clone();
        let mut state = queue.state();
        if self.standing == Standing::Called {
            state.window.refused();
            self.standing = Standing::Joined;
        } else {
            state.window.block();
        }
    }

    /// Ends what the place counts for.
    fn leave(&mut self, state: &mut State) {
        if self.standing == Standing::Called && state.waiting.remove(&self.number).is_none() {
            state.window.gave_up();
        }
        if self.standing != Standing::Out {
            self.queue.size.fetch_sub(1, Ordering::AcqRel);
        }
        self.standing = Standing::Out;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let queue = self.queue.clone();
        let mut state = queue.state();
        self.leave(&mut state);
        state.release();
    }
}
