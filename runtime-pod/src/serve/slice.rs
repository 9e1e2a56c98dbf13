//! How long a guest has been running on this thread, asked by the clock that interrupts it.

use std::{
    cell::Cell,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use wasmtime::UpdateDeadline;

use crate::engine::TICK;

/// After so much time a guest that is interrupted lets others go first. The clock runs on while a
/// guest waits, so the first tick that it sees may come at once.
pub(super) const SLICE: Duration = TICK;

thread_local! {
    static BEGAN_AT: Cell<Option<Instant>> = const { Cell::new(None) };
    static IS_INTERRUPTED: Cell<bool> = const { Cell::new(false) };
}

/// A guest begins to run, now.
pub(super) fn begin() -> Instant {
    let now = Instant::now();
    BEGAN_AT.set(Some(now));
    IS_INTERRUPTED.set(false);
    now
}

/// The guest has come back. Says whether that is because it was interrupted.
pub(super) fn end() -> bool {
    BEGAN_AT.set(None);
    IS_INTERRUPTED.get()
}

/// The clock ticks while the guest runs: it goes on to the next tick, or comes back.
pub(super) fn tick() -> UpdateDeadline {
    let is_over = BEGAN_AT
        .get()
        .is_none_or(|began_at| began_at.elapsed() >= SLICE);
    if is_over {
        UpdateDeadline::YieldCustom(1, Box::pin(Interrupted { has_yielded: false }))
    } else {
        UpdateDeadline::Continue(1)
    }
}

/// Comes back once. Nobody is woken: the guest is asked again when its turn comes.
struct Interrupted {
    has_yielded: bool,
}

impl Future for Interrupted {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<()> {
        if self.has_yielded {
            return Poll::Ready(());
        }
        self.has_yielded = true;
        IS_INTERRUPTED.set(true);
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn a_slice_that_is_over_comes_back_once() {
        begin();
        assert!(matches!(tick(), UpdateDeadline::Continue(1)));
        assert!(!end());
        let began_at = begin();
        while began_at.elapsed() < SLICE {}
        let UpdateDeadline::YieldCustom(1, mut interrupted) = tick() else {
            panic!("it goes on");
        };
        assert!(interrupted.as_mut().now_or_never().is_none());
        assert!(end());
        begin();
        assert!(interrupted.as_mut().now_or_never().is_some());
        assert!(!end());
    }
}
