//! The turns of one thread: guests that computed beyond their first slice run one at a time, and
//! everything else on the thread goes first once they have had a slice together: one that uses all
//! of it, or many short ones.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};

use tokio::{sync::Notify, task::yield_now};

use super::{debts::Debts, ring::Ring, slice::SLICE};
use crate::function::Runnable;

/// Which function a guest belongs to, as long as it runs.
pub(super) type Group = usize;

/// Who has the turn, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Turns {
    state: Mutex<State>,
    /// Whether `state` has anyone at all, or anyone owes: asked by each guest that begins.
    is_wanted: AtomicBool,
    free: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: Ring<Group, Waiting>,
    holder: Option<(Group, u64)>,
    last_number: u64,
    debts: Debts,
    /// When everything else last went first.
    slice_began_at: Option<Instant>,
}

impl State {
    /// Gives the turn to the next one, whose waker this is.
    fn give(&mut self) -> Option<Waker> {
        let (group, waiting) = self.waiting.pop()?;
        self.holder = Some((group, waiting.number));
        Some(waiting.waker)
    }

    /// Whether another turn still belongs to the slice that others wait for.
    fn has_time(&self, now: Instant) -> bool {
        self.slice_began_at
            .is_some_and(|began_at| now.saturating_duration_since(began_at) < SLICE)
    }
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    waker: Waker,
}

impl Turns {
    /// Whether a guest of `group` has to wait for a turn from the start: others of its function
    /// wait already, or have just taken much.
    pub(super) fn is_busy(&self, group: Group) -> bool {
        self.is_wanted.load(Ordering::Relaxed) && {
            let (mut state, now) = (self.lock(), Instant::now());
            let is_busy = state.waiting.has(group)
                || state.holder.is_some_and(|(holder, _)| holder == group)
                || state.debts.has(group, now);
            self.rest(&mut state, now);
            is_busy
        }
    }

    /// A guest of `group` has taken so long at once, until now.
    pub(super) fn charge(&self, group: Group, took: Duration) {
        self.lock().debts.charge(group, took, Instant::now());
        self.is_wanted.store(true, Ordering::Relaxed);
    }

    /// Nobody has to ask where nobody is.
    fn rest(&self, state: &mut State, now: Instant) {
        if state.holder.is_none() && state.waiting.is_empty() && state.debts.are_paid(now) {
            self.is_wanted.store(false, Ordering::Relaxed);
        }
    }

    /// Asks for a turn; `runnable` counts as long as it is asked for or had. `waker` is woken when it
    /// comes. It comes at once if nobody else wants it, unless `others_first`: for one that was interrupted, or
    /// whose function owes.
    pub(super) fn ask(
        self: &Arc<Self>,
        group: Group,
        waker: &Waker,
        others_first: bool,
        runnable: Runnable,
    ) -> Turn {
        let mut state = self.lock();
        state.last_number += 1;
        let number = state.last_number;
        if state.holder.is_none() && state.waiting.is_empty() && !others_first {
            state.holder = Some((group, number));
            state.slice_began_at = Some(Instant::now());
        } else {
            let waker = waker.clone();
            state.waiting.push(group, Waiting { number, waker });
        }
        self.is_wanted.store(true, Ordering::Relaxed);
        let is_free = state.holder.is_none();
        drop(state);
        if is_free {
            self.free.notify_one();
        }
        Turn {
            turns: Arc::clone(self),
            group,
            number,
            _runnable: runnable,
        }
    }

    /// Gives slices, one after the other, for ever. What is ready on this thread goes before each,
    /// and so do requests that have arrived: yielding lets the executor look for them.
    pub(super) async fn give(&self) {
        loop {
            self.free.notified().await;
            yield_now().await;
            let mut state = self.lock();
            if state.holder.is_some() {
                continue;
            }
            state.slice_began_at = Some(Instant::now());
            let next = state.give();
            drop(state);
            if let Some(waker) = next {
                waker.wake();
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue, then a turn; both end when this is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Arc<Turns>,
    group: Group,
    number: u64,
    _runnable: Runnable,
}

impl Turn {
    /// Whether the turn has come; otherwise `waker` is woken when it does.
    pub(super) fn has_come(&self, waker: &Waker) -> bool {
        let mut state = self.turns.lock();
        if state.holder == Some((self.group, self.number)) {
            return true;
        }
        let place = state
            .waiting
            .group_mut(self.group)
            .find(|waiting| waiting.number == self.number);
        if let Some(waiting) = place
            && !waiting.waker.will_wake(waker)
        {
            waiting.waker = waker.clone();
        }
        false
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.turns.lock();
        let mut next = None;
        if state.holder == Some((self.group, self.number)) {
            state.holder = None;
            if state.has_time(Instant::now()) {
                next = state.give();
            }
        } else {
            let number = self.number;
            state
                .waiting
                .remove(self.group, |waiting| waiting.number == number);
        }
        let is_free = state.holder.is_none();
        let is_empty = state.waiting.is_empty();
        self.turns.rest(&mut state, Instant::now());
        drop(state);
        if let Some(waker) = next {
            waker.wake();
        } else if is_free && !is_empty {
            self.turns.free.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        function::{Function, id_of},
        samples,
    };
    use std::{cell::RefCell, future::poll_fn, rc::Rc, task::Poll, time::Duration};
    use tokio::task::{LocalSet, spawn_local};

    fn runnable() -> Runnable {
        let id = id_of(&samples::function("hello"));
        Function::new(id, Arc::default(), Arc::default()).runnable(&Arc::default())
    }

    /// Waits for a turn of `group` as one that was interrupted.
    async fn turn(turns: &Arc<Turns>, group: Group) -> Turn {
        let mut asked = None;
        poll_fn(|context| {
            let waker = context.waker();
            let turn = asked.get_or_insert_with(|| turns.ask(group, waker, true, runnable()));
            if turn.has_come(waker) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        asked.expect("it was asked for")
    }

    #[tokio::test]
    async fn one_function_waits_for_one_turn_of_another_that_has_a_hundred() {
        let turns = Arc::new(Turns::default());
        let order = Rc::new(RefCell::new(Vec::new()));
        LocalSet::new()
            .run_until(async {
                let giving = Arc::clone(&turns);
                spawn_local(async move { giving.give().await });
                let mut guests = Vec::new();
                for group in std::iter::repeat_n(1, 100).chain([2]) {
                    let (turns, order) = (Arc::clone(&turns), Rc::clone(&order));
                    guests.push(spawn_local(async move {
                        for _ in 0..3 {
                            let _turn = turn(&turns, group).await;
                            order.borrow_mut().push(group);
                        }
                    }));
                }
                for guest in guests {
                    guest.await.unwrap();
                }
            })
            .await;
        let order = order.borrow();
        let places: Vec<_> = (0..order.len())
            .filter(|place| order[*place] == 2)
            .collect();
        assert_eq!(order.len(), 303);
        assert!(places[2] < 8, "{places:?}");
        assert!(!turns.is_busy(1));
    }

    /// What happened, in order, after a turn that took so long.
    async fn after_a_turn_of(length: Duration) -> Vec<&'static str> {
        let turns = Arc::new(Turns::default());
        let order = Rc::new(RefCell::new(Vec::new()));
        LocalSet::new()
            .run_until(async {
                let giving = Arc::clone(&turns);
                spawn_local(async move { giving.give().await });
                let first = turn(&turns, 1).await;
                let begun_at = Instant::now();
                let (turns, noted) = (Arc::clone(&turns), Rc::clone(&order));
                let next = spawn_local(async move {
                    let _turn = turn(&turns, 1).await;
                    noted.borrow_mut().push("turn");
                });
                yield_now().await;
                while begun_at.elapsed() < length {}
                drop(first);
                for _ in 0..2 {
                    let noted = Rc::clone(&order);
                    spawn_local(async move { noted.borrow_mut().push("request") });
                }
                next.await.unwrap();
            })
            .await;
        order.take()
    }

    #[tokio::test]
    async fn what_is_ready_goes_before_the_next_slice() {
        assert_eq!(after_a_turn_of(SLICE).await, ["request", "request", "turn"]);
    }

    #[test]
    fn short_turns_share_a_slice() {
        let now = Instant::now();
        let mut state = State::default();
        assert!(!state.has_time(now));
        state.slice_began_at = Some(now);
        assert!(state.has_time(now + SLICE / 2));
        assert!(!state.has_time(now + SLICE));
    }

    #[tokio::test]
    async fn who_was_not_interrupted_has_a_free_turn_at_once() {
        let turns = Arc::new(Turns::default());
        let waker = Waker::noop();
        let first = turns.ask(1, waker, false, runnable());
        assert!(first.has_come(waker));
        assert!(turns.is_busy(1));
        assert!(!turns.is_busy(2));
        let second = turns.ask(2, waker, false, runnable());
        assert!(!second.has_come(waker));
        drop(second);
        drop(first);
        assert!(!turns.is_busy(1));
    }
}
