//! Compiled code of this process: found on disk or just made, mapped while it is in use, let go
//! when it is idle and mapped again by the next request.
//!
//! What code is called is in `key`, what its file holds in `file`, what it shares with other code in
//! `text`, what keeps foreign code out in `seal`, what becomes of a module that nobody asks for in
//! `idle`. Only `map` makes bytes run.

mod cache;
mod file;
mod held;
mod idle;
mod key;
mod map;
pub(crate) mod pages;
mod seal;
#[cfg(test)]
mod tests;
pub(crate) mod text;

pub(crate) use cache::CodeCache;
pub use file::CodeFile;
pub(crate) use file::Trailer;
pub use held::{Code, Lost};
pub use key::{CodeKey, Fingerprint};
pub(crate) use map::{component, module};
pub use seal::Seal;
