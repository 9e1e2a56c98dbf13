//! Measures and limits the CPU time of a guest, and lets others go first once it has had its first
//! slice.

use std::{
    pin::Pin,
    sync::{Arc, atomic::AtomicU32},
    task::{Context, Poll},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

use super::{
    account::Account,
    slice,
    turns::{Group, Turn},
    worker::Worker,
};
use crate::{engine::TICK, function::Function};

/// A guest comes back by itself within two ticks. What a first slice took longer by the wall clock,
/// its thread spent waiting for a core.
const LONGEST_FIRST_SLICE: Duration = TICK.saturating_mul(2);

/// A guest used up its CPU time.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct OutOfCpu;

/// A guest's future that ends when its CPU time is used up, and beyond its first slice runs only in
/// turns of its thread.
pub(super) struct Metered<F> {
    guest: F,
    account: Account,
    turn: Option<Turn>,
    function: Arc<Function>,
    pod_runnable: Arc<AtomicU32>,
    worker: Arc<Worker>,
}

/// The group of a function's guests.
pub(super) fn group_of(function: &Arc<Function>) -> Group {
    Arc::as_ptr(function).addr()
}

impl<F> Metered<F> {
    /// As much CPU time as `account` has, on the thread of `worker`. While it waits for a turn or has one,
    /// it counts as runnable for its function and in `pod_runnable`.
    pub(super) const fn new(
        guest: F,
        account: Account,
        function: Arc<Function>,
        pod_runnable: Arc<AtomicU32>,
        worker: Arc<Worker>,
    ) -> Self {
        Self {
            guest,
            account,
            turn: None,
            function,
            pod_runnable,
            worker,
        }
    }

    fn group(&self) -> Group {
        group_of(&self.function)
    }

    /// Whether the guest may run now; otherwise it is woken when it may.
    fn may_run(&mut self, context: &Context<'_>) -> bool {
        if self.turn.is_none() {
            let is_busy = self.worker.turns().is_busy(self.group());
            if self.account.is_first() && !is_busy {
                return true;
            }
            // Of a function that owes, also where nobody waits: not everyone was looked for yet.
            self.ask(context, is_busy);
        }
        self.turn
            .as_ref()
            .is_some_and(|turn| turn.has_come(context.waker()))
    }

    fn ask(&mut self, context: &Context<'_>, others_first: bool) {
        let runnable = self.function.runnable(&self.pod_runnable);
        let group = self.group();
        let turns = self.worker.turns();
        self.turn = Some(turns.ask(group, context.waker(), others_first, runnable));
    }
}

impl<F: Future + Unpin> Future for Metered<F> {
    type Output = Result<F::Output, OutOfCpu>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if !this.may_run(context) {
            return Poll::Pending;
        }
        // To read this clock is a call into the kernel: not for each of many short polls.
        let cpu_before = this.turn.is_some().then(thread_time);
        let began_at = slice::begin();
        let running = this.worker.clock().run();
        let result = Pin::new(&mut this.guest).poll(context);
        drop(running);
        let is_interrupted = slice::end();
        let wall = began_at.elapsed();
        let cpu = cpu_before.map(|before| thread_time().saturating_sub(before));
        this.account.charge(charged(wall, cpu));
        this.turn = None;
        match result {
            Poll::Ready(result) => Poll::Ready(Ok(result)),
            Poll::Pending if this.account.is_used_up() => Poll::Ready(Err(OutOfCpu)),
            Poll::Pending => {
                if is_interrupted {
                    this.ask(context, true);
                }
                Poll::Pending
            }
        }
    }
}

/// What a guest is charged for a poll of so much `wall` time: `cpu` where it was measured.
fn charged(wall: Duration, cpu: Option<Duration>) -> Duration {
    cpu.unwrap_or_else(|| wall.min(LONGEST_FIRST_SLICE))
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
    use super::{
        super::{account::FIRST_SLICE, slice::SLICE},
        *,
    };
    use crate::{
        budget::Budget,
        engine::EngineSet,
        function::{Function, id_of},
        samples,
        serve::Pools,
    };
    use std::{future::poll_fn, sync::atomic::Ordering};

    struct Setting {
        worker: Arc<Worker>,
        function: Arc<Function>,
        runnable: Arc<AtomicU32>,
    }

    impl Setting {
        fn new() -> Self {
            let engines = EngineSet::new(1, Budget::new(1 << 30), false).unwrap();
            let worker = Worker::start(engines.clock(), &Pools::new(1, Arc::default()));
            let id = id_of(&samples::function("hello"));
            Self {
                worker,
                function: Function::new(id, Arc::default(), Arc::default()),
                runnable: Arc::default(),
            }
        }

        fn metered<F: Future + Unpin>(&self, guest: F, limit: Duration) -> Metered<F> {
            Metered::new(
                guest,
                Account::of_one(limit),
                Arc::clone(&self.function),
                Arc::clone(&self.runnable),
                Arc::clone(&self.worker),
            )
        }
    }

    /// Uses CPU until its slice is over, as a guest that computes does.
    fn burn(context: &mut Context<'_>) -> Poll<()> {
        let start = thread_time();
        while thread_time() - start < SLICE {}
        let mut interrupted = loop {
            if let wasmtime::UpdateDeadline::YieldCustom(_, interrupted) = slice::tick() {
                break interrupted;
            }
        };
        interrupted.as_mut().poll(context)
    }

    #[tokio::test]
    async fn a_guest_that_only_computes_is_ended() {
        let setting = Setting::new();
        let limit = Duration::from_millis(20);
        let before = thread_time();
        let metered = setting.metered(poll_fn(burn), limit);
        assert_eq!(metered.await, Err(OutOfCpu));
        assert!(thread_time() - before >= limit - FIRST_SLICE);
        assert_eq!(setting.runnable.load(Ordering::Relaxed), 0);
        assert_eq!(setting.function.report().guests_runnable, 0);
    }

    #[tokio::test]
    async fn a_guest_beyond_its_first_slice_counts_as_runnable() {
        let setting = Setting::new();
        let mut metered = setting.metered(poll_fn(burn), Duration::from_secs(10));
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut metered).poll(&mut context).is_pending());
        assert_eq!(setting.runnable.load(Ordering::Relaxed), 1);
        assert_eq!(setting.function.report().guests_runnable, 1);
        drop(metered);
        assert_eq!(setting.runnable.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn waiting_costs_nothing() {
        let setting = Setting::new();
        let sleep = Box::pin(tokio::time::sleep(Duration::from_millis(50)));
        let metered = setting.metered(sleep, Duration::from_millis(40));
        assert_eq!(metered.await, Ok(()));
    }

    #[tokio::test]
    async fn a_neighbour_goes_before_the_next_turn() {
        let setting = Setting::new();
        let limit = Duration::from_secs(10);
        let spinners: Vec<_> = (0..20)
            .map(|_| tokio::spawn(setting.metered(poll_fn(burn), limit)))
            .collect();
        let neighbour = Function::new(
            id_of(&samples::function("neighbour")),
            Arc::default(),
            Arc::default(),
        );
        // Until they are all beyond their first slice.
        while setting.runnable.load(Ordering::Relaxed) < 20 {
            tokio::task::yield_now().await;
        }
        let mut polls = 0;
        // All of them run on this thread; time in which it is not on a core says nothing.
        let start = thread_time();
        while thread_time() - start < 20 * SLICE {
            let mut metered = setting.metered(std::future::ready(()), limit);
            metered.function = Arc::clone(&neighbour);
            assert_eq!(metered.await, Ok(()));
            polls += 1;
            tokio::task::yield_now().await;
        }
        assert!(polls >= 3, "{polls}");
        for spinner in spinners {
            spinner.abort();
        }
    }

    #[tokio::test]
    async fn guests_of_a_function_that_owes_let_others_go_first() {
        let setting = Setting::new();
        let group = group_of(&setting.function);
        let mut context = Context::from_waker(std::task::Waker::noop());
        let guest = || setting.metered(std::future::ready(()), Duration::from_secs(10));
        assert!(Pin::new(&mut guest()).poll(&mut context).is_ready());
        setting.worker.turns().charge(group, 1000 * SLICE);
        assert!(Pin::new(&mut guest()).poll(&mut context).is_pending());
        assert_eq!(guest().await, Ok(()));
    }

    #[test]
    fn a_first_slice_is_charged_by_the_wall_clock_up_to_its_length() {
        let millisecond = Duration::from_millis(1);
        assert_eq!(charged(millisecond / 5, None), millisecond / 5);
        assert_eq!(charged(millisecond * 50, None), LONGEST_FIRST_SLICE);
        assert_eq!(charged(millisecond * 50, Some(millisecond)), millisecond);
    }
}
