//! Guests by name, pushed as a story needs them.

use anyhow::{Result, ensure};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::Context;
use crate::guest;

impl Context {
    /// Bytes of a guest of `e2e/guests`, built first where need be.
    ///
    /// # Errors
    /// It cannot be built, or there is none of that name.
    pub async fn guest(&self, name: &str) -> Result<Bytes> {
        guest::build().await?;
        guest::bytes(name)
    }

    /// Pushes a guest as `tag` (`repository:tag`) and gives its reference.
    ///
    /// # Errors
    /// As [`Self::guest`] and [`Self::push`].
    pub async fn push_guest(&self, name: &str, tag: &str) -> Result<String> {
        let module = self.guest(name).await?;
        Ok(self.push(&module, tag).await?.image)
    }

    /// Pushes a guest and then changes a byte of it where the registry keeps it, as a broken disk or a
    /// lying registry would.
    ///
    /// # Errors
    /// The registry refuses, or its files are out of reach.
    pub async fn push_damaged(&self, tag: &str) -> Result<String> {
        let module = guest::with_marker(&self.guest("v1").await?, b"to be damaged");
        let image = self.push(&module, tag).await?.image;
        let digest = hex::encode(Sha256::digest(&module));
        let file = format!("*/blobs/sha256/{}/{digest}/data", &digest[..2]);
        let damage = format!(
            "find /var/lib/kubelet/pods -path '{file}' \
             -exec sh -c 'printf X | dd of=\"$1\" bs=1 seek=64 conv=notrunc status=none' _ {{}} \\; -print"
        );
        let mut found = String::new();
        for node in self.nodes()?.all() {
            found += &node.exec(["sh", "-c", &damage]).output().await?;
        }
        ensure!(
            !found.trim().is_empty(),
            "the registry's copy of {digest} is not to be found"
        );
        Ok(image)
    }
}
