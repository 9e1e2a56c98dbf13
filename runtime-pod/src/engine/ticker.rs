//! The clock that interrupts guests: one thread for all engines, which sleeps while no guest runs.

use std::{
    io,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};

use arc_swap::ArcSwap;
use wasmtime::{Engine, EngineWeak};

/// A running guest lets others go first this often.
pub const TICK: Duration = Duration::from_millis(2);

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
    /// Guests that want it to tick.
    guests: AtomicUsize,
    engines: ArcSwap<Vec<EngineWeak>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Shared")
            .field("guests", &self.guests)
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

    pub(super) fn running(&self) -> Running {
        if self.shared.guests.fetch_add(1, Ordering::SeqCst) == 0 {
            self.thread.unpark();
        }
        Running(Arc::clone(&self.shared))
    }
}

/// A guest runs.
#[derive(Debug)]
pub struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.guests.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tick(shared: &Weak<Shared>) {
    loop {
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let is_idle = shared.guests.load(Ordering::SeqCst) == 0;
        for engine in shared.engines.load().iter().filter_map(EngineWeak::upgrade) {
            engine.increment_epoch();
        }
        drop(shared);
        if is_idle {
            thread::park_timeout(IDLE);
        } else {
            thread::sleep(TICK);
        }
    }
}
