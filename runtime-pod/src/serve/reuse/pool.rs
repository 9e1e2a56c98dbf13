//! Instances that wait for their next request: on the thread where they served the last one, and
//! known to all, so that they can be let go.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use tokio::{sync::Notify, time::sleep};

use super::{Discard, Instance, shelf::Shelf};
use crate::{
    budget::Relief, engine::Slots, function::Version, metrics::Metrics, serve::shared::Open,
};

/// Instances of one function that wait on one thread: as many as a thread can have begun on while
/// each waits for its own calls out, for most functions.
const MOST_EACH: usize = 32;

/// How often a thread looks for instances that have waited for too long. `idleSeconds` are at least
/// twice that.
const SWEEP: Duration = Duration::from_millis(500);

/// The instances that wait on one thread.
#[derive(Debug)]
pub(in crate::serve) struct Pool {
    shelf: Mutex<Shelf<usize, Box<Instance>>>,
    /// Woken when the first one begins to wait.
    filled: Notify,
    /// Instances that requests are in, and others may join.
    open: Open,
}

impl Pool {
    /// Takes an instance of this very version.
    pub(in crate::serve) fn take(&self, version: &Arc<Version>) -> Option<Box<Instance>> {
        let mut instance = self.lock().take(owner(version))?;
        instance.is_taken();
        Some(instance)
    }

    /// Instances of this thread that requests may join.
    pub(in crate::serve) const fn open(&self) -> &Open {
        &self.open
    }

    /// Has an instance wait, for so long at most.
    pub(in crate::serve) fn put(&self, instance: Box<Instance>, patience: Duration) {
        let owner = owner(instance.version());
        let mut shelf = self.lock();
        let was_empty = shelf.is_empty();
        let surplus = shelf.put(owner, instance, patience, Instant::now());
        drop(shelf);
        if was_empty {
            self.filled.notify_one();
        }
        if let Some(surplus) = surplus {
            surplus.discard(Discard::Surplus);
        }
    }

    /// Lets those go that have waited for too long at `now`, or whose version answers no more.
    fn sweep(&self, now: Instant) {
        let swept = self.lock().sweep(now, |instance| instance.may_wait());
        for one in swept {
            let late = [Discard::Replaced, Discard::Idle];
            one.thing.discard(late[usize::from(one.is_late)]);
        }
    }

    /// Sweeps for ever, while there is something to sweep.
    pub(in crate::serve) async fn keep_swept(&self) {
        loop {
            if self.lock().is_empty() {
                self.filled.notified().await;
            }
            sleep(SWEEP).await;
            self.sweep(Instant::now());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shelf<usize, Box<Instance>>> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What instances of a version are found under. They hold it, so that no other version has its address.
pub(in crate::serve) fn owner(version: &Arc<Version>) -> usize {
    Arc::as_ptr(version).addr()
}

/// The pools of all threads.
#[derive(Debug)]
pub struct Pools {
    most_each_thread: usize,
    pools: Mutex<Vec<Weak<Pool>>>,
    metrics: Arc<Metrics>,
}

impl Pools {
    /// No pool yet; in each, at most so many instances wait.
    #[must_use]
    pub fn new(most_each_thread: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            most_each_thread,
            pools: Mutex::default(),
            metrics,
        })
    }

    /// A pool for one more thread.
    pub(in crate::serve) fn join(&self) -> Arc<Pool> {
        let pool = Arc::new(Pool {
            shelf: Mutex::new(Shelf::new(self.most_each_thread, MOST_EACH)),
            filled: Notify::new(),
            open: Open::default(),
        });
        self.lock().push(Arc::downgrade(&pool));
        pool
    }

    /// Where instances are counted.
    pub(in crate::serve) const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Lets those go at once that have waited for too long, or whose version answers no more.
    pub(crate) fn sweep(&self) {
        let pools: Vec<_> = self.lock().iter().filter_map(Weak::upgrade).collect();
        for pool in pools {
            pool.sweep(Instant::now());
        }
    }

    /// Lets an instance go that holds one of `slots`; false if there is none.
    pub(in crate::serve) fn let_go_of(&self, slots: &Arc<Slots>) -> bool {
        self.let_go_longest(|instance| Arc::ptr_eq(instance.slots(), slots))
    }

    /// Lets the instance go that has waited for the longest time, of those that `may_go`.
    fn let_go_longest(&self, may_go: impl Fn(&Instance) -> bool) -> bool {
        let mut pools = self.lock();
        pools.retain(|pool| pool.strong_count() > 0);
        let longest = pools
            .iter()
            .filter_map(Weak::upgrade)
            .filter_map(|pool| {
                let since = pool.lock().longest(|instance| may_go(instance))?;
                Some((since, pool))
            })
            .min_by_key(|(since, _)| *since);
        drop(pools);
        // Where it was taken meanwhile, another one goes in its place, or none: its slot and memory
        // come back soon.
        let taken =
            longest.and_then(|(_, pool)| pool.lock().take_longest(|instance| may_go(instance)));
        let Some((_, instance)) = taken else {
            return false;
        };
        instance.discard(Discard::Room);
        true
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Pool>>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Relief for Pools {
    fn let_go(&self) -> bool {
        self.let_go_longest(|_| true)
    }
}
