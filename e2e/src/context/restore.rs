//! After a story, whatever came of it: nothing stays broken for the next.

use std::sync::atomic::Ordering;

use anyhow::Result;

use super::Context;

impl Context {
    /// Puts back nodes, API server, registry and chart, where the story left them changed.
    ///
    /// # Errors
    /// Something cannot be put back; later stories would fail for it.
    pub async fn restore(&self) -> Result<()> {
        if let Some(nodes) = self.cluster.nodes() {
            nodes.restore(|| self.cluster.kubectl()).await?;
        }
        self.cluster.return_registries().await?;
        if self.release_changed.load(Ordering::Relaxed) {
            self.install_chart().await?;
        }
        Ok(())
    }
}
