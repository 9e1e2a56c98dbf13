//! The runtime pod as a library: pulls modules, compiles them and serves them.

pub mod name_resolver;
pub mod registry;
