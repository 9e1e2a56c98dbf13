//! What the gateway knows of functions and pods: two snapshots that readers take without a lock.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;
use wasmfn_crds::{WasmFunction, hosts::HostRules};

use crate::{
    counts::Crossings,
    endpoints::{Address, Endpoints, RuntimeKey},
    routes::Routes,
};

/// Functions and pods, as last heard.
#[derive(Debug)]
pub struct World {
    routes: ArcSwap<Routes>,
    endpoints: ArcSwap<Endpoints>,
    crossings: Crossings,
    changes: watch::Sender<()>,
    /// Grows with each of `changes`, so that a request can see whether it has missed one.
    version: AtomicU64,
    synced: watch::Sender<Synced>,
}

/// What has been heard in full at least once.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Synced {
    functions: bool,
    endpoints: bool,
}

impl World {
    /// A world in which nothing has been heard yet.
    #[must_use]
    pub fn new(rules: HostRules) -> Self {
        Self {
            routes: ArcSwap::from_pointee(Routes::empty(Arc::new(rules))),
            endpoints: ArcSwap::default(),
            crossings: Crossings::default(),
            changes: watch::Sender::new(()),
            version: AtomicU64::new(0),
            synced: watch::Sender::default(),
        }
    }

    /// Takes the full set of functions. One caller at a time.
    pub fn set_functions(&self, functions: &[Arc<WasmFunction>]) {
        let before = self.routes.load_full();
        let routes = before.next(functions, &self.crossings);
        let wakes = routes.wakes_waiters(&before);
        self.routes.store(Arc::new(routes));
        self.synced.send_modify(|synced| synced.functions = true);
        // After the new routes are there: whoever begins to wait from now on looks at them.
        for (function, reason) in self.routes.load().without_answer(&before) {
            function.queue.dismiss(reason);
        }
        if wakes {
            self.tell();
        }
    }

    /// Takes the full set of pods. One caller at a time.
    pub fn set_endpoints(&self, addresses: &HashMap<RuntimeKey, Vec<Address>>) {
        let endpoints = self.endpoints.load().next(addresses);
        self.endpoints.store(Arc::new(endpoints));
        self.synced.send_modify(|synced| synced.endpoints = true);
        self.tell();
    }

    /// A pod that could not be asked can be now.
    pub fn pod_reached(&self) {
        self.tell();
    }

    fn tell(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
        self.changes.send_replace(());
    }

    /// Another number after each of [`changes`](Self::changes).
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The functions.
    pub fn routes(&self) -> Guard<Arc<Routes>> {
        self.routes.load()
    }

    /// The pods.
    pub fn endpoints(&self) -> Guard<Arc<Endpoints>> {
        self.endpoints.load()
    }

    /// Tells when a count goes from zero or comes to zero.
    #[must_use]
    pub const fn crossings(&self) -> &Crossings {
        &self.crossings
    }

    /// Marks as changed whenever waiting requests should look again.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Whether functions have been heard in full.
    #[must_use]
    pub fn knows_functions(&self) -> bool {
        self.synced.borrow().functions
    }

    /// Whether functions and pods have both been heard in full.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        let synced = *self.synced.borrow();
        synced.functions && synced.endpoints
    }
}
