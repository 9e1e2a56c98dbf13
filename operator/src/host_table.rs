//! Who owns which host, worked out again only when a claim has changed.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
};

use crate::caches::Guarded;
use wasmfn_crds::{
    WasmFunction,
    hosts::{FunctionKey, HostRules, HostTable},
};

/// The host table and what it was made from.
#[derive(Debug)]
pub struct HostTables {
    rules: HostRules,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    seen: HashMap<FunctionKey, Claim>,
    table: Option<Arc<HostTable>>,
}

/// What tells one claim from another.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Claim {
    uid: Option<String>,
    generation: Option<i64>,
    has_hosts: bool,
}

impl HostTables {
    /// No function is known yet.
    #[must_use]
    pub fn new(rules: HostRules) -> Self {
        Self {
            rules,
            state: Mutex::default(),
        }
    }

    /// A function was seen. Says whether the hosts of others may have changed hands.
    pub fn seen(&self, function: &WasmFunction) -> bool {
        let claim = Claim {
            uid: function.metadata.uid.clone(),
            generation: function.metadata.generation,
            has_hosts: !function.spec.route.hosts.is_empty(),
        };
        let mut state = self.lock();
        let before = state.seen.insert(FunctionKey::of(function), claim.clone());
        if before.as_ref() == Some(&claim) {
            return false;
        }
        state.table = None;
        claim.has_hosts || before.is_some_and(|before| before.has_hosts)
    }

    /// A function is there no more. Says whether the hosts of others may have changed hands.
    pub fn gone(&self, function: &FunctionKey) -> bool {
        let mut state = self.lock();
        let before = state.seen.remove(function);
        if before.is_some() {
            state.table = None;
        }
        before.is_some_and(|before| before.has_hosts)
    }

    /// A listing is complete: these functions are there, and no others. A table that was made while they
    /// were being listed was made from those before.
    pub fn retain(&self, there: &[FunctionKey]) {
        let there: HashSet<&FunctionKey> = there.iter().collect();
        let mut state = self.lock();
        state.seen.retain(|key, _| there.contains(key));
        state.table = None;
    }

    /// All functions that claim hosts.
    #[must_use]
    pub fn claimants(&self) -> Vec<FunctionKey> {
        let state = self.lock();
        let claims = state.seen.iter().filter(|(_, claim)| claim.has_hosts);
        claims.map(|(key, _)| key.clone()).collect()
    }

    /// The table, made from `functions` if there is none: they are looked at under the lock, so that none
    /// that is seen later is missed.
    pub fn table(&self, functions: impl FnOnce() -> Vec<Arc<Guarded>>) -> Arc<HostTable> {
        let mut state = self.lock();
        let table = state.table.get_or_insert_with(|| {
            let functions = functions();
            let parsed = functions
                .iter()
                .filter_map(|function| function.0.as_ref().ok());
            Arc::new(HostTable::build(&self.rules, parsed))
        });
        Arc::clone(table)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no code that holds this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::DeserializeGuard;

    fn stored(functions: &[&WasmFunction]) -> Vec<Arc<Guarded>> {
        let guarded =
            |function: &&WasmFunction| Arc::new(DeserializeGuard(Ok((*function).clone())));
        functions.iter().map(guarded).collect()
    }

    fn function(name: &str, generation: i64, hosts: &[&str]) -> WasmFunction {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "wasmfn.dev/v1alpha1",
            "kind": "WasmFunction",
            "metadata": { "name": name, "namespace": "a", "uid": name, "generation": generation },
            "spec": { "image": "x", "route": { "hosts": hosts } },
        }))
        .unwrap()
    }

    #[test]
    fn is_made_again_only_for_a_changed_spec() {
        let tables = HostTables::new(HostRules::default());
        let plain = function("plain", 1, &[]);
        let claiming = function("claiming", 1, &["a.example.com"]);
        assert!(!tables.seen(&plain), "it claims nothing");
        assert!(tables.seen(&claiming));
        let first = tables.table(|| stored(&[&plain, &claiming]));
        assert!(!tables.seen(&claiming), "a new status is no new claim");
        assert!(Arc::ptr_eq(
            &first,
            &tables.table(|| stored(&[&plain, &claiming]))
        ));
        tables.retain(&[FunctionKey::of(&plain), FunctionKey::of(&claiming)]);
        let listed = tables.table(|| stored(&[&plain, &claiming]));
        assert!(
            !Arc::ptr_eq(&first, &listed),
            "it was made of what came before"
        );
        assert!(tables.seen(&function("claiming", 2, &[])), "it let go");
        assert!(!Arc::ptr_eq(&first, &tables.table(|| stored(&[&plain]))));
        assert!(tables.claimants().is_empty());
        assert!(!tables.gone(&FunctionKey::of(&plain)));
    }
}
