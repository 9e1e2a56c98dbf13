//! The functions of this pod by name, read without a lock.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;

use super::Function;

/// All functions that this pod holds.
#[derive(Debug, Default)]
pub struct FunctionTable(ArcSwap<HashMap<String, Arc<Function>>>);

impl FunctionTable {
    /// The function of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<Function>> {
        self.0.load().get(name).cloned()
    }

    /// All of them, in no order.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Function>> {
        self.0.load().values().cloned().collect()
    }

    /// Puts a function in, in place of one of the same name.
    pub fn insert(&self, function: &Arc<Function>) {
        self.extend(std::slice::from_ref(function));
    }

    /// Puts functions in, in place of those of the same names.
    pub fn extend(&self, functions: &[Arc<Function>]) {
        self.0.rcu(|table| {
            let mut table = HashMap::clone(table);
            for function in functions {
                table.insert(function.id().name.clone(), Arc::clone(function));
            }
            table
        });
    }

    /// Takes this very function out; a successor of the same name stays.
    pub fn remove(&self, function: &Arc<Function>) {
        self.0.rcu(|table| {
            let mut table = HashMap::clone(table);
            table.retain(|_, held| !Arc::ptr_eq(held, function));
            table
        });
    }
}
