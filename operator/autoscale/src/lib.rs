//! How many pods a runtime deployment shall have: a pure function of what is known and of time.
//!
//! For now a deployment is kept at its *floor*: the fewest pods that its functions can do with.
//! Time comes in as an [`Instant`], so that every rule is tested without a clock.

mod decision;
mod floor;
mod inputs;
#[cfg(test)]
mod tests;

pub use decision::{Cause, Decision, decide};
pub use inputs::{Function, Inputs};

#[cfg(doc)]
use std::time::Instant;
