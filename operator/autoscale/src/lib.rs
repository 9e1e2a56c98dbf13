//! How many pods a runtime deployment shall have: a pure function of what is known and of time.
//!
//! [`History::observe`] takes in what is there now, [`decide`] says what shall be there. Demand is a
//! step function of time: what was observed holds until something else is. Time comes in as an
//! [`Instant`], so that every rule is tested without a clock. [`simulator`] replays a load against
//! the same two calls.

mod causes;
mod decision;
mod demand;
mod history;
mod inputs;
mod range;
pub mod simulator;
#[cfg(test)]
mod tests;
mod window;

pub use causes::Cause;
pub use decision::{Decision, decide};
pub use demand::{Demand, MICRO_PODS, PodLoad, Usage};
pub use history::{History, LASTING};
pub use inputs::{Function, Inputs};

#[cfg(doc)]
use std::time::Instant;
