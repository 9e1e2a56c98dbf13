use std::sync::Arc;

use wasmfn_crds::hosts::FunctionKey;
use wasmfn_report::FunctionId;

use crate::{
    counts::{Counts, Crossings},
    metrics::FunctionMetrics,
    places::Taken,
    proxy::body::Account,
    queue::Queue,
};

/// What a function has at this gateway as long as the object lives, whatever changes in it.
#[derive(Debug)]
pub struct Function {
    /// Which object.
    pub id: FunctionId,
    /// Its namespace and name.
    pub key: FunctionKey,
    /// Its requests, counted.
    pub counts: Arc<Counts>,
    /// Its requests that wait.
    pub queue: Arc<Queue>,
    /// What is kept of their bodies.
    pub held: Account,
    /// How many of all requests are its own.
    pub places: Taken,
    /// What became of its requests.
    pub metrics: FunctionMetrics,
}

impl Function {
    /// A function without requests.
    #[must_use]
    pub fn new(id: FunctionId, crossings: Crossings) -> Self {
        Self {
            key: FunctionKey {
                namespace: id.namespace.clone(),
                name: id.name.clone(),
            },
            id,
            counts: Arc::new(Counts::new(crossings)),
            queue: Arc::default(),
            held: Account::default(),
            places: Taken::default(),
            metrics: FunctionMetrics::default(),
        }
    }
}
