//! The clock that interrupts guests: one thread, which sleeps while no guest runs.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};

use wasmtime::{Engine, EngineWeak};

/// A running guest lets others go first this often.
pub const TICK: Duration = Duration::from_millis(2);

/// How long the thread sleeps before it looks whether the engine is still there.
const IDLE: Duration = Duration::from_secs(1);

/// The thread, and how many guests want it to tick.
#[derive(Debug)]
pub(super) struct Ticker {
    guests: Arc<AtomicUsize>,
    thread: Thread,
}

impl Ticker {
    /// Starts the thread. It ends when the engine is gone.
    pub(super) fn start(engine: &Engine) -> io::Result<Self> {
        let guests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&guests);
        let engine = engine.weak();
        let handle = thread::Builder::new()
            .name("epoch".to_owned())
            .spawn(move || tick(&engine, &counted))?;
        Ok(Self {
            guests,
            thread: handle.thread().clone(),
        })
    }

    pub(super) fn running(&self) -> Running {
        if self.guests.fetch_add(1, Ordering::SeqCst) == 0 {
            self.thread.unpark();
        }
        Running(Arc::clone(&self.guests))
    }
}

/// A guest runs.
#[derive(Debug)]
pub struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tick(engine: &EngineWeak, guests: &AtomicUsize) {
    loop {
        if guests.load(Ordering::SeqCst) == 0 {
            thread::park_timeout(IDLE);
        } else {
            thread::sleep(TICK);
        }
        let Some(engine) = engine.upgrade() else {
            return;
        };
        engine.increment_epoch();
    }
}
