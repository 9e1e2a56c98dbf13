//! The runtime of wasmfn: holds functions, loads their modules and serves their requests, each in
//! a fresh sandbox.
//!
//! It takes its functions from any [`source`]: the binary feeds it from the API
//! server, the command line tool from a file. What happens to a function is in [`function`] (plan
//! and supervisor), `loader`, [`registry`], [`compile`], [`code`], [`engine`]; what happens to a request in [`serve`]
//! and [`sandbox`]; what the pod says about itself in [`report`].

mod admin;
mod budget;
mod cgroup;
mod changes;
pub mod code;
pub mod command;
pub mod compile;
pub mod detect;
#[cfg(feature = "pod")]
mod drain;
pub mod engine;
pub mod function;
mod journal;
mod limits;
mod loader;
pub mod local;
mod manager;
pub mod metrics;
pub mod name_resolver;
#[cfg(feature = "pod")]
pub mod pod;
mod references;
pub mod registry;
pub mod report;
pub mod roots;
pub mod runtime;
#[cfg(test)]
mod samples;
pub mod sandbox;
pub mod serve;
mod service;
pub mod share;
pub mod siblings;
pub mod source;
mod store;
pub mod tokens;
mod turns;

pub use cgroup::memory_budget_bytes;
pub use runtime::{Runtime, Settings, StartError};
