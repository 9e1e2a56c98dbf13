//! Key-value stores: what a guest may open, and who keeps its values.
//!
//! A function is granted stores by name ([`Granted`]). Each of its keys lies in a [`Space`] of its
//! own, so that no function meets another's; who keeps them is a `Backend`.

mod backend;
mod memory;
mod nats;
mod redis;
mod space;
mod stores;
#[cfg(test)]
mod tests;
mod traffic;
mod wasi;

pub(crate) use backend::{Backend, StoreError};
pub use space::Space;
pub use stores::{GrantError, Granted, Offers, Stores};
pub(crate) use wasi::{Keyvalue, add_to_linker};

/// Longest key, in bytes.
pub(crate) const KEY_MAX_BYTES: usize = 1 << 10;
/// Largest value, in bytes: NATS servers take no more in one message, as they come.
pub(crate) const VALUE_MAX_BYTES: usize = 1 << 20;
/// Keys of one batch.
pub(crate) const BATCH_MAX_KEYS: usize = 100;
/// Values of one batch together, in bytes.
pub(crate) const BATCH_MAX_BYTES: usize = 8 << 20;
/// Keys of one page of a list; a store may give some more.
pub(crate) const PAGE_KEYS: usize = 100;
