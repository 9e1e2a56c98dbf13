//! The control plane of wasmfn: makes the objects that functions need, scales them, and writes
//! down how functions fare.
//!
//! A function's way through the crate: [`caches`] see it, [`news`] queues it, [`reconcile`] takes
//! it through fetch, validate, build, apply and status. [`follow`] listens to runtime pods and
//! gateways, [`scale`] writes `replicas`, [`remove`] takes away what nobody needs any more.
//! [`leader`] sees to it that only one operator writes.

pub mod args;
pub mod backoff;
pub mod caches;
pub mod config;
pub mod context;
pub mod events;
#[cfg(test)]
mod fixtures;
pub mod follow;
pub mod health;
pub mod host_table;
pub mod leader;
pub mod master_key;
pub mod metrics;
pub mod news;
mod readiness;
pub mod reconcile;
pub mod remove;
pub mod resources;
pub mod run;
pub mod scale;
pub mod telemetry;
pub mod wake;
