//! Turns at work of which only so much is done at once: the one that was asked for last goes first.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::sync::oneshot;

/// When something was last asked for: milliseconds since 1970, 0 for never.
#[derive(Debug, Default)]
pub struct Demand(AtomicU64);

impl Demand {
    /// Last asked for at `milliseconds` since 1970.
    #[must_use]
    pub const fn at(milliseconds: u64) -> Self {
        Self(AtomicU64::new(milliseconds))
    }

    /// It is asked for now.
    pub fn note(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_millis();
        self.0
            .store(u64::try_from(now).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn milliseconds(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Lets so many at once; the rest waits.
#[derive(Debug)]
pub(crate) struct Turns(Mutex<Queue>);

#[derive(Debug)]
struct Queue {
    free: usize,
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    demand: Arc<Demand>,
    wake: oneshot::Sender<Turn>,
}

/// Somebody's turn, until dropped.
#[derive(Debug)]
pub(crate) struct Turn(Option<Arc<Turns>>);

impl Turns {
    /// At most `count` at once.
    pub(crate) fn new(count: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Queue {
            free: count,
            waiting: Vec::new(),
        })))
    }

    /// A turn, if one is free.
    pub(crate) fn at_once(self: &Arc<Self>) -> Option<Turn> {
        let mut queue = self.lock();
        queue.free = queue.free.checked_sub(1)?;
        Some(Turn(Some(Arc::clone(self))))
    }

    /// Waits for a turn; `demand` is looked at when one becomes free, not before.
    pub(crate) async fn turn(self: &Arc<Self>, demand: &Arc<Demand>) -> Turn {
        let receiver = {
            let mut queue = self.lock();
            if queue.free > 0 {
                queue.free -= 1;
                return Turn(Some(Arc::clone(self)));
            }
            let (wake, receiver) = oneshot::channel();
            let demand = Arc::clone(demand);
            queue.waiting.push(Waiting { demand, wake });
            receiver
        };
        match receiver.await {
            Ok(turn) => turn,
            // Every sender is used or kept as long as the queue, which `self` holds.
            Err(_) => std::future::pending().await,
        }
    }

    /// Gives a turn that ended to the next, or to whoever comes.
    fn pass_on(self: &Arc<Self>) {
        loop {
            let waiting = {
                let mut queue = self.lock();
                let demands = queue.waiting.iter().map(|one| one.demand.milliseconds());
                let Some(index) = next(demands) else {
                    queue.free += 1;
                    return;
                };
                queue.waiting.remove(index)
            };
            match waiting.wake.send(Turn(Some(Arc::clone(self)))) {
                Ok(()) => return,
                // It does not wait any more. Its turn is not one that ended.
                Err(mut turn) => turn.0 = None,
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.0.take() {
            turns.pass_on();
        }
    }
}

/// Which of those that wait, in the order in which they came, is next: the one that was asked for
/// last; of equals, the first that came.
fn next(demands: impl Iterator<Item = u64>) -> Option<usize> {
    let mut best: Option<(usize, u64)> = None;
    for (index, demand) in demands.enumerate() {
        if best.is_none_or(|(_, most)| demand > most) {
            best = Some((index, demand));
        }
    }
    best.map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt, future::join_all};

    #[test]
    fn the_one_asked_for_last_is_next() {
        let cases: [(&[u64], Option<usize>); 5] = [
            (&[], None),
            (&[0], Some(0)),
            (&[0, 0, 0], Some(0)),
            (&[3, 9, 4], Some(1)),
            (&[3, 9, 9], Some(1)),
        ];
        for (demands, expected) in cases {
            assert_eq!(next(demands.iter().copied()), expected, "{demands:?}");
        }
    }

    #[test]
    fn who_does_not_wait_gets_what_is_free() {
        let turns = Turns::new(1);
        let held = turns.at_once().unwrap();
        assert!(turns.at_once().is_none());
        drop(held);
        assert!(turns.at_once().is_some());
    }

    #[tokio::test]
    async fn demand_that_comes_while_waiting_counts() {
        let turns = Turns::new(1);
        let order = Mutex::new(Vec::new());
        let demands: Vec<Arc<Demand>> = (1..4).map(|at| Arc::new(Demand::at(at))).collect();
        let held = turns.turn(&demands[0]).await;
        let waiting = join_all(demands.iter().enumerate().map(async |(index, demand)| {
            let _turn = turns.turn(demand).await;
            order.lock().unwrap().push(index);
        }));
        tokio::pin!(waiting);
        assert!(waiting.as_mut().now_or_never().is_none());
        demands[0].note();
        drop(held);
        waiting.await;
        assert_eq!(*order.lock().unwrap(), [0, 2, 1]);
    }

    #[tokio::test]
    async fn a_turn_is_not_lost_with_one_who_gave_up() {
        let turns = Turns::new(1);
        let demand = Arc::new(Demand::default());
        let held = turns.turn(&demand).await;
        let mut given_up = Box::pin(turns.turn(&demand));
        let mut woken = Box::pin(turns.turn(&demand));
        assert!(given_up.as_mut().now_or_never().is_none());
        assert!(woken.as_mut().now_or_never().is_none());
        drop(given_up);
        drop(held);
        // Woken, but dropped before it looked.
        drop(woken);
        drop(turns.turn(&demand).await);
    }
}
