use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use super::Exclusive;

/// Idle connections to one pod; more are closed.
const MOST: usize = 256;
/// A connection that was idle for so long is closed. Pods keep theirs for longer, so that it is
/// the gateway that closes and no request meets a connection that the pod closes just then.
const LONGEST: Duration = Duration::from_secs(10);
/// Connections that are looked at before a new one is made: one that has just been given back needs
/// a moment before it takes a request. Bounds the time for which the lock is held.
const LOOKED_AT: usize = 16;

/// Connections that wait for a request, the one used last at the back. Its lock is held for a push, or
/// a look at a few.
#[derive(Debug, Default)]
pub(super) struct Idle(Mutex<VecDeque<(Instant, Exclusive)>>);

impl Idle {
    /// The connection that became idle last and takes requests.
    pub(super) fn take(&self) -> Option<Exclusive> {
        let mut idle = self.lock();
        expire(&mut idle, Instant::now());
        while idle.back().is_some_and(|(_, last)| last.is_closed()) {
            idle.pop_back();
        }
        let looked_at = idle.len().saturating_sub(LOOKED_AT)..idle.len();
        let ready = looked_at.rev().find(|index| idle[*index].1.is_ready())?;
        idle.remove(ready).map(|(_, connection)| connection)
    }

    /// Keeps a connection for another request.
    pub(super) fn put(&self, connection: Exclusive) {
        let mut idle = self.lock();
        let now = Instant::now();
        expire(&mut idle, now);
        if idle.len() < MOST {
            idle.push_back((now, connection));
        }
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Instant, Exclusive)>> {
        self.0
            .lock()
            .expect("nothing panics while it holds this lock")
    }
}

fn expire(idle: &mut VecDeque<(Instant, Exclusive)>, now: Instant) {
    while idle
        .front()
        .is_some_and(|(since, _)| now.duration_since(*since) > LONGEST)
    {
        idle.pop_front();
    }
}
