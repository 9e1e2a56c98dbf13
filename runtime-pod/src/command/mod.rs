//! WASI preview 1 commands: programs that read standard input and write standard output.
//!
//! Which of two contracts a command keeps is settled when it is loaded ([`contract`]): CGI
//! ([`cgi`]) or JSON ([`json`], under the limits of [`preset`]). Each request runs the program
//! once, in a fresh instance (`sandbox`, `run`).

pub mod cgi;
pub mod contract;
mod error;
mod input;
pub mod json;
pub mod preset;
mod run;
mod sandbox;

pub use error::CommandError;
pub(crate) use run::{Call, START};
pub use sandbox::CommandSandbox;
pub(crate) use sandbox::{Surroundings, linker};
