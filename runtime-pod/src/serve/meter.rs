//! Measures and limits the CPU time of a guest: that of its thread while it is polled.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

/// A guest used up its CPU time.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct OutOfCpu;

/// A guest's future that ends when its CPU time is used up. A running guest comes back with every
/// tick of the engine's clock, and that is when it is looked at.
pub(super) struct Metered<F> {
    guest: F,
    used: Duration,
    limit: Duration,
    runnable: Arc<AtomicU32>,
    is_runnable: bool,
}

impl<F> Metered<F> {
    /// At most `limit` of CPU time; `runnable` counts those that wait for CPU.
    pub(super) const fn new(guest: F, limit: Duration, runnable: Arc<AtomicU32>) -> Self {
        Self {
            guest,
            used: Duration::ZERO,
            limit,
            runnable,
            is_runnable: false,
        }
    }

    fn set_runnable(&mut self, is_runnable: bool) {
        if self.is_runnable != is_runnable {
            self.is_runnable = is_runnable;
            if is_runnable {
                self.runnable.fetch_add(1, Ordering::Relaxed);
            } else {
                self.runnable.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

impl<F> Drop for Metered<F> {
    fn drop(&mut self) {
        self.set_runnable(false);
    }
}

/// Longer turns than this end because the clock interrupts the guest: it wants to go on.
const SHORT_TURN: Duration = Duration::from_millis(1);

impl<F: Future + Unpin> Future for Metered<F> {
    type Output = Result<F::Output, OutOfCpu>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.set_runnable(false);
        let before = thread_time();
        let result = Pin::new(&mut self.guest).poll(context);
        let turn = thread_time().saturating_sub(before);
        self.used += turn;
        match result {
            Poll::Ready(result) => Poll::Ready(Ok(result)),
            Poll::Pending if self.used >= self.limit => Poll::Ready(Err(OutOfCpu)),
            Poll::Pending => {
                self.set_runnable(turn >= SHORT_TURN);
                Poll::Pending
            }
        }
    }
}

/// CPU time of this thread.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    /// Uses CPU for a while, then comes back.
    fn burn(context: &mut Context<'_>) -> Poll<()> {
        let start = thread_time();
        while thread_time() - start < Duration::from_millis(2) {}
        context.waker().wake_by_ref();
        Poll::Pending
    }

    #[tokio::test]
    async fn a_guest_that_only_computes_is_ended() {
        let runnable = Arc::new(AtomicU32::new(0));
        let limit = Duration::from_millis(10);
        let metered = Metered::new(poll_fn(burn), limit, Arc::clone(&runnable));
        assert_eq!(metered.await, Err(OutOfCpu));
        assert_eq!(runnable.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn waiting_costs_nothing() {
        let sleep = Box::pin(tokio::time::sleep(Duration::from_millis(50)));
        let limit = Duration::from_millis(40);
        let metered = Metered::new(sleep, limit, Arc::default());
        assert_eq!(metered.await, Ok(()));
    }
}
