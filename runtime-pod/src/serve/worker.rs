//! What the requests of one serving thread share.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::{
    reuse::{Pool, Pools},
    turns::Turns,
};
use crate::engine::Clock;

/// One thread's own: guests run on the thread where they began.
#[derive(Debug)]
pub(super) struct Worker {
    clock: Clock,
    turns: Arc<Turns>,
    guests: TaskTracker,
    pool: Arc<Pool>,
}

impl Worker {
    /// For the thread that calls it, whose runtime gives its guests their turns from now on.
    pub(super) fn start(clock: Clock, pools: &Pools) -> Arc<Self> {
        let turns = Arc::new(Turns::default());
        let giving = Arc::clone(&turns);
        tokio::spawn(async move { giving.give().await });
        let pool = pools.join();
        let swept = Arc::clone(&pool);
        tokio::spawn(async move { swept.keep_swept().await });
        Arc::new(Self {
            clock,
            turns,
            guests: TaskTracker::new(),
            pool,
        })
    }

    /// Has the engines' clock tick.
    pub(super) const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Turns of guests that compute.
    pub(super) const fn turns(&self) -> &Arc<Turns> {
        &self.turns
    }

    /// Instances that wait here for their next request.
    pub(super) const fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Guests that go on after their answer has begun.
    pub(super) const fn guests(&self) -> &TaskTracker {
        &self.guests
    }
}
