//! Ends what guests leave behind, away from the thread that serves.
//!
//! A guest that was ended early can leave hundreds of thousands of the host's objects or all of its
//! memory, whose end takes tens of milliseconds at once. Those that return go where they ran: there is
//! little, and a thread need not be woken for it.

use std::{
    io,
    ops::{Deref, DerefMut},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    thread,
    time::Instant,
};

use rustix::process::nice;
use tokio::runtime::Handle;

use super::{
    debts::WORTH_NOTING,
    turns::{Group, Turns},
};

/// Beside a serving thread that wants the same core, a quarter of it (the kernel's weights: 335 to 1024).
const NICER: i32 = 5;

/// A thread beside the one that serves. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Reaper(mpsc::Sender<Left>);

/// Something that was left, and whose it is.
struct Left {
    what: Box<dyn Send>,
    group: Group,
}

impl Reaper {
    /// For the thread that calls it. Functions owe for the time that their remains take, as if their
    /// guests had taken it.
    ///
    /// # Errors
    /// If there can be no other thread.
    pub(super) fn start(turns: Arc<Turns>) -> io::Result<Self> {
        let (sender, left) = mpsc::channel();
        let serving = Handle::current();
        thread::Builder::new()
            .name("reap".to_owned())
            .spawn(move || {
                // Whoever serves goes first; where that cannot be, they share.
                let _ = nice(NICER);
                // What goes may have tasks to begin.
                let _within = serving.enter();
                for left in left {
                    end(left, &turns);
                }
            })?;
        Ok(Self(sender))
    }

    /// Ends `what` soon.
    pub(super) fn take(&self, group: Group, what: impl Send + 'static) {
        let what = Box::new(what);
        // Without the thread it goes here, with the error.
        let _ = self.0.send(Left { what, group });
    }
}

fn end(Left { what, group }: Left, turns: &Turns) {
    let began_at = Instant::now();
    if catch_unwind(AssertUnwindSafe(|| drop(what))).is_err() {
        tracing::error!("what a guest has left behind could not be let go");
    }
    let took = began_at.elapsed();
    if took >= WORTH_NOTING {
        turns.charge(group, took);
    }
}

/// What is the reaper's if nobody takes it first: neither at the end of a request nor where that is
/// given up before.
pub(super) struct Remains<'a, T: Send + 'static> {
    what: Option<T>,
    reaper: &'a Reaper,
    group: Group,
}

impl<'a, T: Send + 'static> Remains<'a, T> {
    pub(super) const fn new(what: T, reaper: &'a Reaper, group: Group) -> Self {
        Self {
            what: Some(what),
            reaper,
            group,
        }
    }

    /// Takes it away from the reaper.
    pub(super) fn take(mut self) -> T {
        self.what.take().expect("it is taken once, with this")
    }
}

impl<T: Send + 'static> Deref for Remains<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.what.as_ref().expect("it is taken with this")
    }
}

impl<T: Send + 'static> DerefMut for Remains<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.what.as_mut().expect("it is taken with this")
    }
}

impl<T: Send + 'static> Drop for Remains<'_, T> {
    fn drop(&mut self) {
        if let Some(what) = self.what.take() {
            self.reaper.take(self.group, what);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Tells on which thread it went, and takes its time.
    struct Heavy(mpsc::Sender<Option<String>>);

    impl Drop for Heavy {
        fn drop(&mut self) {
            thread::sleep(Duration::from_millis(20));
            let _ = self.0.send(thread::current().name().map(ToOwned::to_owned));
        }
    }

    #[tokio::test]
    async fn what_is_left_goes_elsewhere_and_its_function_owes_for_it() {
        let turns = Arc::<Turns>::default();
        let reaper = Reaper::start(Arc::clone(&turns)).unwrap();
        let (sender, went) = mpsc::channel();
        drop(Remains::new(Heavy(sender), &reaper, 1));
        let thread = went.recv_timeout(PATIENCE).unwrap();
        assert_eq!(thread.as_deref(), Some("reap"));
        let waiting = Instant::now();
        while !turns.is_busy(1) {
            assert!(waiting.elapsed() < PATIENCE, "it owes nothing");
            tokio::task::yield_now().await;
        }
        assert!(!turns.is_busy(2));
    }

    #[tokio::test]
    async fn what_is_taken_goes_where_it_is() {
        let reaper = Reaper::start(Arc::default()).unwrap();
        let (sender, went) = mpsc::channel();
        drop(Remains::new(Heavy(sender), &reaper, 1).take());
        assert_ne!(went.try_recv().unwrap().as_deref(), Some("reap"));
    }

    #[tokio::test]
    async fn one_that_cannot_go_does_not_stop_the_others() {
        struct Panics;
        impl Drop for Panics {
            fn drop(&mut self) {
                panic!("as it must not");
            }
        }
        let reaper = Reaper::start(Arc::default()).unwrap();
        let (sender, went) = mpsc::channel();
        reaper.take(1, Panics);
        reaper.take(1, Heavy(sender));
        let thread = went.recv_timeout(PATIENCE).unwrap();
        assert_eq!(thread.as_deref(), Some("reap"));
    }
}
