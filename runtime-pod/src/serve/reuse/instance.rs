//! An instance of a component together with what it holds.

use std::{fmt, sync::Arc};

use wasmtime::Store;

use super::{Discard, Tally};
use crate::{
    budget::Reservation,
    engine::{Module, Slot, Slots},
    function::{Function, Reuse, Version},
    metrics::ReusedCounter,
    sandbox::Sandbox,
    serve::{component::Entry, site::Site},
};

/// Room for an instance.
#[derive(Debug)]
pub(in crate::serve) struct Room {
    /// Memory that it is admitted on.
    pub(in crate::serve) reservation: Reservation,
    /// Its place in the engine.
    pub(in crate::serve) slot: Slot,
}

/// An instance that has served a request, and may serve more.
pub(in crate::serve) struct Instance {
    // First: who sees its memory come back finds it counted.
    tally: Tally,
    // Before its slot: what is dropped first has left it.
    store: Store<Sandbox>,
    entry: Entry,
    slot: Slot,
    left: u32,
    function: Arc<Function>,
    version: Arc<Version>,
    module: Arc<Module>,
    reused: ReusedCounter,
}

impl fmt::Debug for Instance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Instance")
            .field("function", self.function.id())
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

impl Instance {
    /// An instance that its first request has come to.
    pub(in crate::serve) fn new(
        (store, entry, slot): (Store<Sandbox>, Entry, Slot),
        site: &Site,
        reuse: &Reuse,
        tally: Tally,
    ) -> Box<Self> {
        Box::new(Self {
            reused: tally.reused(),
            tally,
            store,
            entry,
            slot,
            left: reuse.quota(rand::random()) - 1,
            function: Arc::clone(&site.function),
            version: Arc::clone(&site.version),
            module: Arc::clone(&site.module),
        })
    }

    /// Whose instance it is.
    pub(super) const fn version(&self) -> &Arc<Version> {
        &self.version
    }

    /// What it is an instance of.
    pub(in crate::serve) const fn module(&self) -> &Arc<Module> {
        &self.module
    }

    /// The slots of which it holds one.
    pub(super) fn slots(&self) -> &Arc<Slots> {
        self.module.engine().slots()
    }

    /// Whether it may wait for a request.
    pub(super) fn may_wait(&self) -> bool {
        self.function.keeps(&self.version)
    }

    /// A request begins in it.
    pub(super) fn is_taken(&mut self) {
        self.left -= 1;
        self.reused.inc();
    }

    /// Its store, and how it is called.
    pub(in crate::serve) const fn parts(&mut self) -> (&mut Store<Sandbox>, &Entry) {
        (&mut self.store, &self.entry)
    }

    /// The data of its store.
    pub(in crate::serve) fn sandbox(&mut self) -> &mut Sandbox {
        self.store.data_mut()
    }

    /// Requests that it may still serve.
    pub(in crate::serve) const fn left(&self) -> u32 {
        self.left
    }

    /// Several came to it at once, after which it may serve so many more.
    pub(in crate::serve) const fn has_left(&mut self, left: u32) {
        self.left = left;
    }

    /// Counts requests that come to it after its first.
    pub(in crate::serve) fn reused(&self) -> ReusedCounter {
        self.reused.clone()
    }

    /// Ends it.
    pub(in crate::serve) fn discard(mut self, cause: Discard) {
        self.tally.because(cause);
    }

    /// Ends it, and leaves its room to a fresh one.
    pub(in crate::serve) fn into_room(self) -> Room {
        let Self { store, slot, .. } = self;
        Room {
            reservation: store.into_data().into_reservation(),
            slot,
        }
    }
}
