//! The data port: from a request to its answer.
//!
//! Threads of their own serve it (`threads`), each with a socket of the `port`. A request is checked
//! and admitted (`admission`) before its body is read, then runs (`run`) in a fresh instance, or, where
//! its function asks for that, in one that has served others (`reuse`) or serves them at the same time
//! (`shared`), on the thread where it came.
//! The connection's task drives it until it answers (`guest`); beyond its first slice of CPU it waits
//! for its `turns` there (`meter`).
//! What of its answer is there at once is sent in one write (`gathered`). Bodies are counted as they pass
//! (`body`), and what ends a guest early is written down in one place
//! (`ending`).

mod account;
mod admission;
mod answer;
mod body;
mod component;
mod debts;
mod ending;
mod gathered;
mod guest;
mod handler;
mod headers;
mod length;
mod listener;
mod meter;
mod observe;
mod port;
mod reuse;
mod ring;
mod run;
mod shared;
mod site;
mod slice;
mod threads;
mod trap;
mod turns;
mod weighed;
mod worker;

pub use admission::Admission;
pub use answer::AnswerBody;
pub use guest::Host;
pub use handler::{Handler, Trust};
pub use observe::{Observed, Observer};
pub use port::DataPort;
pub use reuse::{Discard, Pools};
pub use threads::default_threads;
pub(crate) use threads::{Closing, serve};
