//! What goes on on one connection: whether it is idle, and what is wrong with it.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::{
    metrics::{Fault, GatewayMetrics},
    routes::Entrance,
};

/// Requests that a client may give up before they were answered, beyond as many that were: a client
/// that asks and resets without end costs pods more than itself (CVE-2023-44487).
const ABANDONED_MOST: u32 = 100;

/// What goes on on one connection. Shared by all that serves it.
#[derive(Debug)]
pub struct Activity {
    state: Mutex<State>,
    flooded: Notify,
    entrance: Entrance,
    metrics: Arc<GatewayMetrics>,
}

#[derive(Debug)]
struct State {
    open: usize,
    idle_since: Instant,
    abandoned: u32,
}

impl Activity {
    /// A connection that has just begun.
    #[must_use]
    pub fn new(entrance: Entrance, metrics: Arc<GatewayMetrics>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                open: 0,
                idle_since: Instant::now(),
                abandoned: 0,
            }),
            flooded: Notify::new(),
            entrance,
            metrics,
        })
    }

    /// Something is wrong with the connection.
    pub fn note(&self, fault: Fault) {
        self.metrics.fault(self.entrance, fault);
    }

    /// What is measured of answers.
    pub(super) fn metrics(&self) -> &GatewayMetrics {
        &self.metrics
    }

    /// A request has begun.
    pub(super) fn open(&self) {
        self.state().open += 1;
    }

    /// A request has come to its end, or its client has given it up.
    pub(super) fn close(&self, answered: bool) {
        let mut state = self.state();
        state.open = state.open.saturating_sub(1);
        state.idle_since = Instant::now();
        if answered {
            state.abandoned = state.abandoned.saturating_sub(1);
        } else {
            state.abandoned += 1;
            if state.abandoned > ABANDONED_MOST {
                state.abandoned = 0;
                self.flooded.notify_one();
            }
        }
    }

    /// The client has begun to say something.
    pub(super) fn touch(&self) {
        self.state().idle_since = Instant::now();
    }

    /// Waits until no request has been open for `within`. May take up to twice as long, so that a
    /// request need not wake anyone.
    pub(super) async fn idle(&self, within: Duration) {
        loop {
            let (open, deadline) = {
                let state = self.state();
                (state.open > 0, state.idle_since + within)
            };
            let now = Instant::now();
            if open {
                tokio::time::sleep(within).await;
            } else if deadline <= now {
                return;
            } else {
                tokio::time::sleep_until(deadline).await;
            }
        }
    }

    /// Waits until the client has given up more requests than it may.
    pub(super) async fn flooded(&self) {
        self.flooded.notified().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nothing panics while it holds this lock")
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const WITHIN: Duration = Duration::from_secs(60);

    fn activity() -> Arc<Activity> {
        Activity::new(Entrance::Public, Arc::default())
    }

    #[tokio::test(start_paused = true)]
    async fn idle_is_counted_from_the_last_request() {
        let activity = activity();
        let begun = Instant::now();
        activity.open();
        let ending = activity.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(200)).await;
            ending.close(true);
        });
        activity.idle(WITHIN).await;
        assert_eq!(begun.elapsed().as_secs(), 260);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_begins_puts_it_off() {
        let activity = activity();
        let begun = Instant::now();
        let touching = activity.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(59)).await;
            touching.touch();
        });
        activity.idle(WITHIN).await;
        assert_eq!(begun.elapsed().as_secs(), 119);
    }

    #[tokio::test]
    async fn only_more_given_up_than_answered_is_a_flood() {
        let activity = activity();
        for _ in 0..1000 {
            activity.close(false);
            activity.close(true);
        }
        for _ in 0..ABANDONED_MOST {
            activity.close(false);
        }
        assert!(activity.flooded().now_or_never().is_none());
        activity.close(false);
        assert!(activity.flooded().now_or_never().is_some());
    }
}
