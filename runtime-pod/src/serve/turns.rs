//! The turns of one thread: guests that computed beyond their first slice run one at a time, and
//! between two of them everything else on the thread goes first.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};

use tokio::{sync::Notify, task::yield_now};

use super::ring::Ring;
use crate::function::Runnable;

/// Which function a guest belongs to, as long as it runs.
pub(super) type Group = usize;

/// Who has the turn, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Turns {
    state: Mutex<State>,
    /// Whether `state` has anyone at all: asked by each guest that begins.
    is_wanted: AtomicBool,
    free: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: Ring<Group, Waiting>,
    holder: Option<(Group, u64)>,
    last_number: u64,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    waker: Waker,
}

impl Turns {
    /// Whether a guest of `group` has to wait for a turn from the start: others of its function
    /// wait already.
    pub(super) fn is_busy(&self, group: Group) -> bool {
        self.is_wanted.load(Ordering::Relaxed) && {
            let state = self.lock();
            state.waiting.has(group) || state.holder.is_some_and(|(holder, _)| holder == group)
        }
    }

    /// Asks for a turn; `runnable` counts as long as it is asked for or had. `waker` is woken when it comes. It comes at once for one that was not
    /// interrupted, if nobody else wants it.
    pub(super) fn ask(
        self: &Arc<Self>,
        group: Group,
        waker: &Waker,
        is_interrupted: bool,
        runnable: Runnable,
    ) -> Turn {
        let mut state = self.lock();
        state.last_number += 1;
        let number = state.last_number;
        if state.holder.is_none() && state.waiting.is_empty() && !is_interrupted {
            state.holder = Some((group, number));
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

    /// Gives turns, one after the other, for ever. What is ready on this thread goes before each,
    /// and so do requests that have arrived: yielding lets the executor look for them.
    pub(super) async fn give(&self) {
        loop {
            self.free.notified().await;
            yield_now().await;
            let next = {
                let mut state = self.lock();
                if state.holder.is_some() {
                    None
                } else {
                    let next = state.waiting.pop();
                    state.holder = next
                        .as_ref()
                        .map(|(group, waiting)| (*group, waiting.number));
                    next
                }
            };
            if let Some((_, waiting)) = next {
                waiting.waker.wake();
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
        if state.holder == Some((self.group, self.number)) {
            state.holder = None;
        } else {
            let number = self.number;
            state
                .waiting
                .remove(self.group, |waiting| waiting.number == number);
        }
        let is_free = state.holder.is_none();
        let is_empty = state.waiting.is_empty();
        if is_free && is_empty {
            self.turns.is_wanted.store(false, Ordering::Relaxed);
        }
        drop(state);
        if is_free && !is_empty {
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
    use std::{cell::RefCell, future::poll_fn, rc::Rc, task::Poll};
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

    #[tokio::test]
    async fn what_is_ready_goes_before_the_next_turn() {
        let turns = Arc::new(Turns::default());
        let order = Rc::new(RefCell::new(Vec::new()));
        LocalSet::new()
            .run_until(async {
                let giving = Arc::clone(&turns);
                spawn_local(async move { giving.give().await });
                let first = turn(&turns, 1).await;
                let (turns, noted) = (Arc::clone(&turns), Rc::clone(&order));
                let next = spawn_local(async move {
                    let _turn = turn(&turns, 1).await;
                    noted.borrow_mut().push("turn");
                });
                yield_now().await;
                drop(first);
                for _ in 0..3 {
                    let noted = Rc::clone(&order);
                    spawn_local(async move { noted.borrow_mut().push("request") });
                }
                next.await.unwrap();
            })
            .await;
        assert_eq!(*order.borrow(), ["request", "request", "request", "turn"]);
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
