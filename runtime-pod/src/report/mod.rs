//! What this pod says about itself: the lines of its state stream.

mod picture;
mod stream;
#[cfg(test)]
mod tests;

pub use picture::{Picture, Pod};
pub use stream::body;
