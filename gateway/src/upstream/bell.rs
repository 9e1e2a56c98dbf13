use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures::task::AtomicWaker;

/// Looks that follow one another at most, since a connection may ring again at each.
const LOOKS_MOST: usize = 3;

/// What a connection rings when there is something to do for it. Whoever moves its bytes is woken,
/// unless they are at it: a task that is woken while it runs would have another thread woken too, to
/// look whether it can take over.
#[derive(Debug, Default)]
pub(super) struct Bell {
    task: AtomicWaker,
    is_attended: AtomicBool,
    is_rung: AtomicBool,
}

impl Bell {
    /// Looks, and again if it rings meanwhile: what is looked at wakes the bell.
    pub(super) fn attend<T>(
        self: &Arc<Self>,
        context: &Context<'_>,
        mut look: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let waker = Waker::from(self.clone());
        self.task.register(context.waker());
        self.is_attended.store(true, Ordering::SeqCst);
        let mut found = Poll::Pending;
        for _ in 0..LOOKS_MOST {
            self.is_rung.store(false, Ordering::SeqCst);
            found = look(&mut Context::from_waker(&waker));
            if found.is_ready() || !self.is_rung.load(Ordering::SeqCst) {
                break;
            }
        }
        self.is_attended.store(false, Ordering::SeqCst);
        if found.is_pending() && self.is_rung.load(Ordering::SeqCst) {
            context.waker().wake_by_ref();
        }
        found
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_rung.store(true, Ordering::SeqCst);
        if !self.is_attended.load(Ordering::SeqCst) {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often the task was woken, and how often it looked, where the bell rings at so many looks.
    fn woken_and_looked(rings: u32) -> (u32, u32) {
        let (bell, woken) = (Arc::new(Bell::default()), Arc::new(Count::default()));
        let waker = Waker::from(woken.clone());
        let mut looked = 0;
        let found = bell.attend(&Context::from_waker(&waker), |ringing| {
            looked += 1;
            if looked <= rings {
                ringing.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        });
        assert!(found.is_pending());
        (woken.0.load(Ordering::Relaxed), looked)
    }

    #[test]
    fn who_is_at_it_looks_again_and_is_not_woken() {
        assert_eq!(woken_and_looked(0), (0, 1));
        assert_eq!(woken_and_looked(1), (0, 2));
    }

    #[test]
    fn what_rings_without_end_lets_others_go_first() {
        assert_eq!(woken_and_looked(u32::MAX), (1, 3));
    }

    #[test]
    fn who_is_away_is_woken() {
        let (bell, woken) = (Arc::new(Bell::default()), Arc::new(Count::default()));
        let waker = Waker::from(woken.clone());
        let _ = bell.attend(&Context::from_waker(&waker), |_| Poll::<()>::Pending);
        Waker::from(bell).wake();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    }
}
