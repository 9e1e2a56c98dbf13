//! The programs that the cluster is made and driven with, each built once from the Go module proxy; one
//! that benchmarks use, from crates.io.

mod crates;
mod go;
mod kubernetes;

use std::path::PathBuf;

use anyhow::Result;

use crate::cache::Cache;
use crate::process::Command;
use crate::versions;

pub use crates::oha;
pub use go::{build, module_directory, program};
pub use kubernetes::{build as build_kubernetes, expected_images, pause_program};

/// Programs that tests and developers drive the cluster with.
#[derive(Clone)]
pub struct Tools {
    kubectl: PathBuf,
    helm: PathBuf,
    crane: PathBuf,
    oras: PathBuf,
}

impl Tools {
    /// Builds what the cache lacks.
    ///
    /// # Errors
    /// Go is not there, or a build fails.
    pub async fn prepare(cache: &Cache) -> Result<Self> {
        Ok(Self {
            kubectl: kubernetes::build(cache, &["kubectl"])
                .await?
                .join("kubectl"),
            helm: program(cache, &versions::HELM).await?,
            crane: program(cache, &versions::CRANE).await?,
            oras: program(cache, &versions::ORAS).await?,
        })
    }

    /// `kubectl`.
    #[must_use]
    pub fn kubectl(&self) -> Command {
        Command::new(&self.kubectl)
    }

    /// `helm`.
    #[must_use]
    pub fn helm(&self) -> Command {
        Command::new(&self.helm)
    }

    /// `crane`.
    #[must_use]
    pub fn crane(&self) -> Command {
        Command::new(&self.crane)
    }

    /// `oras`.
    #[must_use]
    pub fn oras(&self) -> Command {
        Command::new(&self.oras)
    }
}
