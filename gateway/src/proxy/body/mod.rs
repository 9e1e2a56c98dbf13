//! Bodies: what clients send, kept as far as another pod may need it, and what they get.

mod answer;
mod attempt;
mod budget;
mod held;
mod linger;
mod upload;

#[cfg(test)]
mod tests;

pub use answer::{AnswerBody, Following};
pub use attempt::{AttemptBody, Progress};
pub use budget::{Account, Budget};
pub use held::{HeldBody, KEPT_BYTES, Keeping};
pub use linger::linger;
pub use upload::Pace;

/// Any error of a body.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;
