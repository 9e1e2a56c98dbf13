//! What runtime pods and gateways say about themselves: the lines of their state streams.
//!
//! A stream is newline-delimited JSON over `GET /v1/state` on the admin port. It begins with a
//! full picture, ended by `Synced`, and goes on with changes: zero to nonzero at once, the rest at
//! most every [`CHANGE_INTERVAL`]. Without any change a `Heartbeat` comes every
//! [`HEARTBEAT_INTERVAL`]. A line is at most [`LINE_MAX_BYTES`] long. Every line replaces what was
//! said before about the same thing. Fields that a reader does not know are ignored, missing ones
//! take their defaults, and a line of an unknown `type` is skipped, so that neighbouring versions
//! understand each other.

use std::time::Duration;

use serde::{Deserialize, Serialize};

mod difference;
mod gateway;
mod runtime;

pub use difference::Difference;
pub use gateway::{GatewayFunction, GatewayLine};
pub use runtime::{Load, LoadedVersion, PodState, Resolution, RuntimeFunction, RuntimeLine};

/// Longest line, in bytes, its newline included. A reader gives up a stream that passes it.
pub const LINE_MAX_BYTES: usize = 64 * 1024;

/// Shortest time between two lines about the same thing, but for changes from or to zero and
/// changes of what is loaded.
pub const CHANGE_INTERVAL: Duration = Duration::from_millis(100);

/// Longest time between two lines.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);

/// A reader takes a stream without a line for this long as broken.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(5);

/// Longest sentence in a line, in bytes; longer ones are cut.
pub const MESSAGE_MAX_BYTES: usize = 2048;

/// Namespace and name of a function, and the object that had them.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct FunctionId {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// UID of the object, so that a successor of the same name is not taken for it.
    #[serde(default)]
    pub uid: String,
}
