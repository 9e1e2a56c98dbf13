//! The public API of wasmfn.
//!
//! A [`WasmFunction`] names a WebAssembly module in an OCI registry. wasmfn serves it over HTTP,
//! scales it on the requests in flight and fences it in by limits. This crate holds the types,
//! the rules that the API server enforces on them (schema and CEL), the conditions and reasons
//! that tell how a function fares, and every name that the parts of wasmfn agree on.
//!
//! Nothing here talks to a cluster.

pub mod answer;
pub mod condition;
pub mod hosts;
pub mod names;
pub mod quantity;
pub mod spec;
pub mod status;
pub mod stores;
pub mod token;

pub use condition::{ConditionType, Reason};
pub use spec::{Placement, Visibility, WasmFunction, WasmFunctionSpec};
pub use status::{ModuleKind, Resolved, Serving, WasmFunctionStatus};
