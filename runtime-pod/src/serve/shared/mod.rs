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
pub(super) use visit::Luggage;
use visit::Visit;

use super::{
    ending::{Ending, Fate},
    reuse::{Discard, owner},
};
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
    /// Of those who have begun and are still there.
    fates: Mutex<Vec<(book::Ticket, Arc<Fate>)>>,
    /// When the time of the last one is up.
    deadline: Mutex<Instant>,
}

/// A request's place in a shared instance. It is left when this is dropped: where the guest still works
/// for it, nobody joins that instance any more.
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

    /// A request begins; false, if it has left.
    fn begin(&self, ticket: book::Ticket, fate: &Arc<Fate>) -> bool {
        let begins = self.book().begin(ticket);
        if begins {
            self.fates().push((ticket, Arc::clone(fate)));
        }
        begins
    }

    /// It is not there any more: whether it was, and had begun.
    fn leave(&self, ticket: book::Ticket) -> bool {
        self.fates().retain(|(other, _)| *other != ticket);
        self.book().leave(ticket)
    }

    fn fates(&self) -> MutexGuard<'_, Vec<(book::Ticket, Arc<Fate>)>> {
        self.fates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down how those end who are still there, before their answers do.
    fn end_all(&self, ending: &Ending) {
        for (_, fate) in self.fates().iter() {
            fate.set(ending.clone());
        }
    }

    /// The latest time at which one of those who came has to be answered.
    fn deadline(&self) -> MutexGuard<'_, Instant> {
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
        if self.shared.leave(self.ticket) {
            self.shared.close(Discard::Failed);
        }
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
        let seat = open.get(&owner(version))?.iter().find_map(Shared::enter)?;
        drop(open);
        seat.shared.reused.inc();
        Some(seat)
    }

    fn add(&self, shared: &Arc<Shared>) {
        let mut open = self.lock();
        let own = open.entry(owner(&shared.version)).or_default();
        own.push(Arc::clone(shared));
    }

    fn remove(&self, shared: &Arc<Shared>) {
        let mut open = self.lock();
        let Some(own) = open.get_mut(&owner(&shared.version)) else {
            return;
        };
        own.retain(|other| !Arc::ptr_eq(other, shared));
        if own.is_empty() {
            open.remove(&owner(&shared.version));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<usize, Vec<Arc<Shared>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
