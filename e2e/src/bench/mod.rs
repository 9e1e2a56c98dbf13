//! Figures that anyone can measure again on the e2e cluster. A benchmark proves nothing by itself and
//! never fails for being slow.

mod apply;
mod distribution;
mod scale;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use crate::cache::Cache;
use crate::cluster::{Cluster, Forwards};
use crate::context::Context;
use crate::install;
use crate::settings::Settings;
use scale::ScaleOptions;

/// What to measure.
#[derive(Clone, Debug, Subcommand)]
pub enum Bench {
    /// From the API server's acceptance of an object to its first answer 200: two functions on a warm
    /// shared pod, one of them our example, and a plain Deployment with a Service, in turn
    Apply {
        /// Samples of each
        #[arg(long, default_value_t = 30)]
        samples: usize,
    },
    /// How replicas follow the load, what is lost meanwhile, and what the gateway costs: a table, and CSV
    /// and SVG files of what happened over time
    Scale(ScaleOptions),
}

impl Bench {
    /// Measures and prints.
    ///
    /// # Errors
    /// The cluster cannot be had, or a sample does not come to its end.
    pub async fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let (cluster, release) = {
            let cache = Cache::open()?;
            let cluster = Cluster::up(settings, &cache).await?;
            let release = if self.takes_what_is_installed() {
                install::found(&cluster, &cache).await?
            } else {
                install::install(&cluster, &cache).await?
            };
            (cluster, release)
        };
        let _forwards = Forwards::open(&cluster, true).await?;
        let context = Context::new(&cluster, &release, "bench").await?;
        context.open().await?;
        let measured = match self {
            Self::Apply { samples } => apply::measure(&context, *samples).await,
            Self::Scale(options) => scale::measure(&cluster, &context, options).await,
        };
        if measured.is_err() {
            context.dump().await;
        }
        context.close().await?;
        measured?;
        Ok(ExitCode::SUCCESS)
    }

    const fn takes_what_is_installed(&self) -> bool {
        matches!(self, Self::Scale(options) if options.no_install)
    }
}
