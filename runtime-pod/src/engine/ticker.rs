//! The clock that interrupts guests: one thread for all engines, which sleeps while no guest
//! computes.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};

use arc_swap::ArcSwap;
use wasmtime::{Engine, EngineWeak};

/// How often the clock ticks. A guest lets others go first at the second tick of its turn, so after
/// one to two milliseconds.
pub const TICK: Duration = Duration::from_millis(1);

/// Ticks without a guest after which the thread goes to sleep: to wake it costs the guest that does
/// more than these ticks cost.
const IDLE_TICKS: u32 = 50;

/// How long the thread sleeps before it looks whether it is still wanted.
const IDLE: Duration = Duration::from_secs(1);

/// The thread, and what it works on. The thread ends when this is gone.
#[derive(Debug)]
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Default)]
struct Shared {
    is_asleep: AtomicBool,
    /// One for each thread that runs guests.
    running: Mutex<Vec<Weak<AtomicBool>>>,
    engines: ArcSwap<Vec<EngineWeak>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Shared")
            .field("is_asleep", &self.is_asleep)
            .finish_non_exhaustive()
    }
}

impl Ticker {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let seen = Arc::downgrade(&shared);
        let handle = thread::Builder::new()
            .name("epoch".to_owned())
            .spawn(move || tick(&seen))?;
        Ok(Self {
            shared,
            thread: handle.thread().clone(),
        })
    }

    /// Ticks for the guests of `engine` as well, from now on.
    pub(super) fn add(&self, engine: &Engine) {
        self.shared.engines.rcu(|engines| {
            let mut engines = Vec::clone(engines);
            engines.push(engine.weak());
            engines
        });
    }

    /// For a thread that will run guests.
    pub(super) fn join(&self) -> Clock {
        let is_running = Arc::new(AtomicBool::new(false));
        self.shared.lock().push(Arc::downgrade(&is_running));
        Clock {
            is_running,
            shared: Arc::clone(&self.shared),
            thread: self.thread.clone(),
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Weak<AtomicBool>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_any_running(&self) -> bool {
        let mut running = self.lock();
        running.retain(|thread| thread.strong_count() > 0);
        running
            .iter()
            .filter_map(Weak::upgrade)
            .any(|is_running| is_running.load(Ordering::SeqCst))
    }
}

/// One thread's way to have the clock tick while it runs a guest.
#[derive(Debug)]
pub struct Clock {
    is_running: Arc<AtomicBool>,
    shared: Arc<Shared>,
    thread: Thread,
}

impl Clock {
    /// The thread runs a guest for as long as the result lives.
    pub fn run(&self) -> Running<'_> {
        // In one order with the ticker's: it says that it is asleep, then looks for guests.
        self.is_running.store(true, Ordering::SeqCst);
        if self.shared.is_asleep.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running(&self.is_running)
    }
}

/// A guest runs.
#[derive(Debug)]
pub struct Running<'a>(&'a AtomicBool);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

fn tick(shared: &Weak<Shared>) {
    let mut idle_ticks = 0;
    while let Some(shared) = shared.upgrade() {
        for engine in shared.engines.load().iter().filter_map(EngineWeak::upgrade) {
            engine.increment_epoch();
        }
        if shared.is_any_running() {
            idle_ticks = 0;
        } else {
            idle_ticks += 1;
        }
        if idle_ticks < IDLE_TICKS {
            drop(shared);
            thread::sleep(TICK);
            continue;
        }
        shared.is_asleep.store(true, Ordering::SeqCst);
        if !shared.is_any_running() {
            thread::park_timeout(IDLE);
        }
        shared.is_asleep.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;
    use wasmtime::{Config, Instance, Module, Store, Trap};

    /// Runs until the clock interrupts it, and says after how long.
    fn interrupted(engine: &Engine, clock: &Clock) -> Duration {
        let module = wat::parse_str("(module (func $spin (loop (br 0))) (start $spin))").unwrap();
        let module = Module::new(engine, module).unwrap();
        let mut store = Store::new(engine, ());
        store.set_epoch_deadline(2);
        let start = Instant::now();
        let _running = clock.run();
        let error = Instance::new(&mut store, &module, &[]).unwrap_err();
        assert_eq!(error.downcast::<Trap>().unwrap(), Trap::Interrupt);
        start.elapsed()
    }

    #[test]
    fn a_guest_is_interrupted_also_after_the_clock_has_slept() {
        let ticker = Ticker::start().unwrap();
        let clock = ticker.join();
        let engine = Engine::new(Config::new().epoch_interruption(true)).unwrap();
        ticker.add(&engine);
        assert!(interrupted(&engine, &clock) >= TICK / 2);
        while !ticker.shared.is_asleep.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        // It sleeps a second if nobody wakes it.
        let woken = (0..3).map(|_| interrupted(&engine, &clock)).min().unwrap();
        assert!(woken < IDLE / 2, "{woken:?}");
    }
}
