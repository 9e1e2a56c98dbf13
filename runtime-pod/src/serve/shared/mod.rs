//! Instances that serve several requests at the same time, where `spec.reuse.maxConcurrent` asks for it.
//!
//! Each is run by a task of its own (`host`), which requests of the same thread join with a [`Seat`] and
//! leave again (`visit`). A `book` counts who is there, and divides the CPU time among them. A request has
//! its own time, bodies and client; memory, and an end by trap, are those of the instance. Once nobody is
//! left, it waits for the next request like one that serves one request after another.

mod book;
mod host;
mod visit;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use tokio::{sync::mpsc, time::Instant};

pub(super) use book::Book;
pub(super) use host::open;
use visit::Visit;

use super::{ending::Ending, reuse::Discard};
use crate::{
    engine::Module,
    function::{Reuse, Version},
    metrics::ReusedCounter,
};

/// An instance that requests are in, and more may join.
#[derive(Debug)]
pub(super) struct Shared {
    version: Arc<Version>,
    module: Arc<Module>,
    book: Mutex<Book>,
    visits: mpsc::UnboundedSender<Visit>,
    reused: ReusedCounter,
    /// Why nobody may join any more.
    closed: OnceLock<Discard>,
    /// What became of all who were there when it ended.
    ending: OnceLock<Ending>,
    /// When the time of the last one is up.
    deadline: Mutex<Option<Instant>>,
}

/// A request's place in a shared instance. It is left when this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    shared: Arc<Shared>,
    ticket: book::Ticket,
}

impl Shared {
    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>) -> Option<Seat> {
        if self.closed.get().is_some() {
            return None;
        }
        let ticket = self.book().enter()?;
        Some(Seat {
            shared: Arc::clone(self),
            ticket,
        })
    }

    /// Nobody joins any more, and it is not kept.
    fn close(&self, cause: Discard) {
        let _ = self.closed.set(cause);
    }

    /// The latest time at which one of those who came has to be answered.
    fn deadline(&self) -> MutexGuard<'_, Option<Instant>> {
        self.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// What it is an instance of.
    pub(super) fn module(&self) -> &Arc<Module> {
        &self.shared.module
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared.book().leave(self.ticket);
    }
}

/// The shared instances of one thread.
#[derive(Debug, Default)]
pub(super) struct Open(Mutex<HashMap<usize, Vec<Arc<Shared>>>>);

impl Open {
    /// A seat in an instance of this very version, if there is one.
    pub(super) fn enter(&self, version: &Arc<Version>) -> Option<Seat> {
        if !version.reuse().is_some_and(Reuse::shares) {
            return None;
        }
        let open = self.lock();
        let seat = open.get(&key(version))?.iter().find_map(Shared::enter)?;
        drop(open);
        seat.shared.reused.inc();
        Some(seat)
    }

    fn add(&self, shared: &Arc<Shared>) {
        let mut open = self.lock();
        let own = open.entry(key(&shared.version)).or_default();
        own.push(Arc::clone(shared));
    }

    fn remove(&self, shared: &Arc<Shared>) {
        let mut open = self.lock();
        let Some(own) = open.get_mut(&key(&shared.version)) else {
            return;
        };
        own.retain(|other| !Arc::ptr_eq(other, shared));
        if own.is_empty() {
            open.remove(&key(&shared.version));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<usize, Vec<Arc<Shared>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Instances hold their version, so that no other has its address.
fn key(version: &Arc<Version>) -> usize {
    Arc::as_ptr(version).addr()
}
