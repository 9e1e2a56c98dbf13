//! What a story is.

use futures::future::BoxFuture;

use crate::context::Context;

/// Something that the product does for its users, told from outside on a real cluster.
#[derive(Clone, Copy)]
pub struct Story {
    /// Snake case; the story's namespace is made from it. At most 50 characters.
    pub name: &'static str,
    /// What the cluster must offer; elsewhere the story is skipped by name.
    pub needs: &'static [Need],
    /// Tells it. Any error is a failure.
    pub run: fn(Context) -> BoxFuture<'static, anyhow::Result<()>>,
}

/// What not every cluster offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nodes that can be paused, killed and restarted.
    BreakableNodes,
    /// A pod network that enforces `NetworkPolicy`.
    NetworkPolicy,
}
