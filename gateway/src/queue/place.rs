use std::sync::{Arc, MutexGuard, atomic::Ordering};

use tokio::sync::{oneshot, watch};
use wasmfn_crds::answer::AnswerReason;

use super::{Call, Cause, Offer, Permit, Queue, State, Turns};

/// A request's place in the queue, kept until it is dropped.
#[derive(Debug)]
pub struct Place {
    queue: Arc<Queue>,
    number: u64,
    standing: Standing,
}

/// How a place stands towards its queue.
#[derive(Debug)]
enum Standing {
    /// Counted, and neither waiting nor trying.
    Joined,
    /// Waits to be called.
    Waiting(oneshot::Receiver<Call>),
    /// Was called and tries.
    Trying(Permit),
    /// Not counted: a pod has it.
    Out,
}

impl Place {
    pub(super) const fn new(queue: Arc<Queue>, number: u64) -> Self {
        Self {
            queue,
            number,
            standing: Standing::Joined,
        }
    }

    /// Begins to wait: whatever changes from here on is not missed. The function takes its turn with
    /// others in `turns`; `changes` tells when pods or functions change.
    pub fn line_up(&mut self, turns: &Arc<Turns>, changes: &watch::Receiver<()>) {
        let queue = self.queue.clone();
        let mut state = queue.state();
        match self.standing {
            Standing::Waiting(_) => return,
            Standing::Out => {
                queue.size.fetch_add(1, Ordering::AcqRel);
            }
            Standing::Joined | Standing::Trying(_) => {}
        }
        let (sender, receiver) = oneshot::channel();
        self.standing = Standing::Waiting(receiver);
        state.waiting.insert(self.number, sender);
        state.enlist(&queue, turns);
        state.release();
        if !std::mem::replace(&mut state.paced, true) {
            tokio::spawn(queue.clone().pace(changes.clone()));
        }
    }

    /// Waits for the request's turn to try, after it has lined up.
    ///
    /// # Errors
    /// Why waiting is of no use any more.
    pub async fn turn(&mut self) -> Result<(), AnswerReason> {
        let Standing::Waiting(receiver) = &mut self.standing else {
            return Ok(());
        };
        // Who waits is called before its sender goes.
        let Ok(call) = receiver.await else {
            return Ok(());
        };
        let (standing, turn) = match call {
            Call::Try(permit) => (Standing::Trying(permit), Ok(())),
            Call::GiveUp(reason) => (Standing::Joined, Err(reason)),
        };
        self.standing = standing;
        turn
    }

    /// A pod has begun the request, or seems to have.
    pub fn accepted(&mut self) {
        let queue = self.queue.clone();
        let mut state = queue.state();
        match std::mem::replace(&mut self.standing, Standing::Out) {
            Standing::Out => return,
            Standing::Trying(Permit::Window) => state.window.accepted(),
            Standing::Trying(Permit::Slot(offer)) => offer.take(),
            Standing::Joined | Standing::Waiting(_) => {}
        }
        self.uncount(&mut state);
        state.release();
    }

    /// No pod would begin the request, for `cause`.
    pub fn refused(&mut self, cause: Cause) {
        let queue = self.queue.clone();
        let mut state = queue.state();
        if std::mem::replace(&mut state.cause, cause) != cause {
            queue.retimed.notify_one();
        }
        let passed_on = match &mut self.standing {
            Standing::Trying(permit) => {
                let permit = std::mem::replace(permit, Permit::Window);
                self.standing = Standing::Joined;
                match permit {
                    Permit::Window => {
                        state.window.refused();
                        None
                    }
                    Permit::Slot(offer) => Some(offer),
                }
            }
            Standing::Out | Standing::Joined | Standing::Waiting(_) => {
                state.window.block();
                None
            }
        };
        // Goes to another queue, which has a lock of its own.
        drop(state);
        drop(passed_on);
    }

    /// Ends what the place counts for. Gives back a slot that it was offered and has not used.
    fn leave(&mut self, state: &mut MutexGuard<'_, State>) -> Option<Offer> {
        let permit = match std::mem::replace(&mut self.standing, Standing::Out) {
            Standing::Out => return None,
            Standing::Joined => None,
            Standing::Trying(permit) => Some(permit),
            Standing::Waiting(mut receiver) => {
                if state.waiting.remove(&self.number).is_some() {
                    None
                } else {
                    match receiver.try_recv() {
                        Ok(Call::Try(permit)) => Some(permit),
                        Ok(Call::GiveUp(_)) | Err(_) => None,
                    }
                }
            }
        };
        self.uncount(state);
        match permit? {
            Permit::Slot(offer) => Some(offer),
            Permit::Window => {
                state.window.gave_up();
                None
            }
        }
    }

    fn uncount(&self, state: &mut MutexGuard<'_, State>) {
        if self.queue.size.fetch_sub(1, Ordering::AcqRel) == 1 {
            state.withdraw(&self.queue);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let queue = self.queue.clone();
        let mut state = queue.state();
        let offer = self.leave(&mut state);
        state.release();
        drop(state);
        if let Some(offer) = offer {
            // The next in line may have the slot.
            queue.offer(offer);
        }
    }
}

impl State {
    fn enlist(&mut self, queue: &Arc<Queue>, turns: &Arc<Turns>) {
        let is_enlisted = self
            .turns
            .as_ref()
            .is_some_and(|enlisted| Arc::ptr_eq(enlisted, turns));
        if !is_enlisted {
            self.withdraw(queue);
            turns.enlist(queue.clone());
            self.turns = Some(turns.clone());
        }
    }

    fn withdraw(&mut self, queue: &Arc<Queue>) {
        if let Some(turns) = self.turns.take() {
            turns.withdraw(queue);
        }
    }
}
