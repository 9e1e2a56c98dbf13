//! The commands of `cargo e2e`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::bench::Bench;
use crate::cache::Cache;
use crate::client::ClientCommand;
use crate::cluster::{self, Cluster};
use crate::process::Command;
use crate::runner::RunOptions;
use crate::settings::{Provider, Settings};
use crate::tools::Tools;
use crate::{images, install, node_image, runner};

/// Brings a real cluster up and tells the product's stories on it.
#[derive(Parser)]
#[command(name = "cargo e2e", bin_name = "cargo e2e")]
pub struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Build the image of the nodes, for machines that cannot pull kind's own
    NodeImage,
    /// Start the cluster, with its registries
    Up,
    /// Build the product's images
    Images,
    /// Build the product's images and install the chart, starting the cluster if need be
    Install,
    /// Tell the stories whose name contains NAME, or all
    Test(RunOptions),
    /// Measure on the cluster
    #[command(subcommand)]
    Bench(Bench),
    /// Remove the cluster and all that belongs to it
    Down,
    /// Run kubectl on the cluster
    #[command(disable_help_flag = true)]
    Kubectl {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run helm on the cluster
    #[command(disable_help_flag = true)]
    Helm {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Print the path of a program that the cluster or a benchmark needs, building it if need be
    Tool {
        /// `kubeconform`, `helm` or `oha`, for example
        name: String,
    },
    /// Act as a client inside the cluster
    #[command(hide = true)]
    Client(ClientCommand),
}

impl Cli {
    /// Does what the command line says. An interrupt ends it at once, with all its child processes;
    /// `down` then removes what there is.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn run(self) -> Result<ExitCode> {
        tokio::select! {
            result = self.act() => result,
            result = interrupted() => {
                result?;
                eprintln!("interrupted; `cargo e2e down` removes what there is");
                Ok(ExitCode::from(130))
            }
        }
    }

    async fn act(self) -> Result<ExitCode> {
        let settings = &self.settings;
        match self.command {
            Action::NodeImage => {
                let image = node_image::build(&Cache::open()?).await?;
                println!("{}", image.reference);
            }
            Action::Up => {
                let cluster = Cluster::up(settings, &Cache::open()?).await?;
                println!("export KUBECONFIG={}", cluster.kubeconfig.display());
            }
            Action::Images => {
                for image in images::product(&repository(), &settings.profile).await? {
                    println!("{} {}", image.reference, image.archive.display());
                }
            }
            Action::Install => {
                let cache = Cache::open()?;
                let cluster = Cluster::up(settings, &cache).await?;
                install::install(&cluster, &cache).await?;
            }
            Action::Test(options) => return runner::run(settings, &options).await,
            Action::Bench(bench) => return bench.run(settings).await,
            Action::Down => down(settings).await?,
            Action::Kubectl { arguments } => {
                let tools = Tools::prepare(&Cache::open()?).await?;
                return pass_on(settings, tools.kubectl(), &arguments).await;
            }
            Action::Helm { arguments } => {
                let tools = Tools::prepare(&Cache::open()?).await?;
                return pass_on(settings, tools.helm(), &arguments).await;
            }
            Action::Tool { name } => println!("{}", tool(&name).await?.display()),
            Action::Client(command) => command.run().await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The work tree that this program was built from.
#[must_use]
pub fn repository() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// Returns at Ctrl-C or SIGTERM.
async fn interrupted() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

async fn down(settings: &Settings) -> Result<()> {
    let cache = Cache::open()?;
    match settings.provider {
        Provider::Kind => cluster::down(settings, &cache).await,
        Provider::Existing => install::uninstall(settings, &cache).await,
    }
}

async fn pass_on(settings: &Settings, program: Command, arguments: &[String]) -> Result<ExitCode> {
    let status = program
        .env("KUBECONFIG", settings.kubeconfig()?)
        .args(arguments)
        .status()
        .await?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}

async fn tool(name: &str) -> Result<PathBuf> {
    use crate::versions::{CRANE, HELM, KIND, KUBECONFORM, ORAS};
    if name == "oha" {
        return crate::tools::oha(&Cache::open()?).await;
    }
    let known = [&CRANE, &HELM, &KIND, &KUBECONFORM, &ORAS];
    let program = known.into_iter().find(|program| program.name == name);
    let program = program.with_context(|| {
        format!(
            "no tool {name}; there are oha, {}",
            known.map(|program| program.name).join(", ")
        )
    })?;
    crate::tools::program(&Cache::open()?, program).await
}
