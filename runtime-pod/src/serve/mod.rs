//! The data port: from a request to its answer.
//!
//! A request is checked and admitted (`admission`) before its body is read, then runs in a fresh
//! instance (`guest`); bodies are counted as they pass (`body`), and what ends a guest early
//! is written down in one place (`ending`).

mod admission;
mod answer;
mod body;
mod ending;
mod guest;
mod handler;
mod headers;
mod listener;
mod meter;
mod observe;
mod stall;

pub use admission::Admission;
pub use answer::AnswerBody;
pub use guest::Host;
pub use handler::{Handler, Trust};
pub use listener::serve;
pub use observe::{Observed, Observer};
