//! Instances that serve one request after another, where `spec.reuse` asks for it.
//!
//! An [`Instance`] whose request has ended well waits in the `pool` of its thread for the next
//! request of the same version, for `idleSeconds` at most (`shelf` decides which one is taken and
//! which has to go). Where memory or slots run short, those that wait go first. A guest that turns
//! out not to bear it is found by trying: until it is trusted, `probation` keeps what it takes to run
//! a request once more in a fresh instance.

mod discard;
mod instance;
mod pool;
mod probation;
mod shelf;

pub use discard::Discard;
pub(super) use discard::Tally;
pub(super) use instance::{Instance, Room};
pub use pool::Pools;
pub(super) use pool::{Pool, owner};
pub(super) use probation::{Probation, Unanswered};
