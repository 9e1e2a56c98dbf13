//! How fast replicas follow the load, what it costs, and what is lost: one row a question.

mod bodies;
mod first_answer;
mod kills;
mod nginx;
mod plot;
mod proxy_cost;
mod shapes;
mod steps;
mod timeline;
mod waiters;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::cache::Cache;
use crate::cli::repository;
use crate::cluster::Cluster;
use crate::context::Context;
use crate::images;

/// What to measure, and how much of it.
#[derive(Args, Clone, Debug)]
pub struct ScaleOptions {
    /// Only this row; as often as needed. Without any, all of them
    #[arg(long = "row", value_enum)]
    rows: Vec<Row>,
    /// Samples of each figure
    #[arg(long, default_value_t = 10)]
    pub samples: usize,
    /// Requests that wait (rows `waiters` and `bodies`)
    #[arg(long, default_value_t = 500)]
    pub waiters: usize,
    /// Size of each waiting request's body in bytes (row `bodies`)
    #[arg(long, default_value_t = 10 << 20)]
    pub body_bytes: usize,
    /// Highest rate, in requests a second
    #[arg(long, default_value_t = 200.0)]
    pub rate: f64,
    /// How long the load of a row lasts, in seconds
    #[arg(long, default_value_t = 60.0)]
    pub seconds: f64,
    /// Measure the product as it is installed
    #[arg(long)]
    pub no_install: bool,
    /// Folder for CSV and SVG files; by default `bench` in the work tree's `target`
    #[arg(long)]
    output: Option<PathBuf>,
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Row {
    /// Change of load to right `spec.replicas`, with guests that block until they are released
    Steps,
    /// The same with guests that compute
    CpuSteps,
    /// First answer of a function with no pod, beside a plain pod's way to ready
    Zero,
    /// Requests that wait for the first pod, all at once
    Waiters,
    /// First answer of an idle function on a warm pod, beside a warm request
    Idle,
    /// Load that rises from nothing to the highest rate
    Ramp,
    /// Load that swings every second
    Saw,
    /// Bursts of 200 ms that one pod clears
    Bursts,
    /// Runtime pods, gateways and operators rolled out under steady load
    Rollouts,
    /// A runtime pod killed and deleted every 5 s under load
    Kills,
    /// The way through the gateway beside the direct one and nginx
    Gateway,
    /// Memory of a gateway while large requests wait
    Bodies,
}

/// What every row has at hand.
pub(super) struct Rows<'a> {
    context: &'a Context,
    options: &'a ScaleOptions,
    /// Reference of the load generator's image.
    generator: String,
    /// Reference of nginx' image; empty where no row needs it.
    nginx: String,
    /// Reference of the module that all functions run.
    guest: String,
}

impl ScaleOptions {
    fn rows(&self) -> Vec<Row> {
        if self.rows.is_empty() {
            return Row::value_variants().to_vec();
        }
        self.rows.clone()
    }

    fn output(&self) -> PathBuf {
        let folder = self.output.clone();
        folder.unwrap_or_else(|| repository().join("target/bench"))
    }
}

/// Measures what `options` choose, and prints it.
pub(super) async fn measure(
    cluster: &Cluster,
    context: &Context,
    options: &ScaleOptions,
) -> Result<()> {
    let (generator, nginx) = images_of(cluster, options).await?;
    let rows = Rows {
        context,
        options,
        generator,
        nginx,
        guest: context.push_guest("answer", "scale:v1").await?,
    };
    for row in options.rows() {
        rows.row(row).await?;
    }
    Ok(())
}

/// The cache is held only until they are there.
async fn images_of(cluster: &Cluster, options: &ScaleOptions) -> Result<(String, String)> {
    let cache = Cache::open()?;
    let generator = images::load_generator(&cache, &repository()).await?;
    let generator = cluster.offer_image(&cache, &generator).await?;
    if !options.rows().contains(&Row::Gateway) {
        return Ok((generator, String::new()));
    }
    let nginx = nginx::image(&cache).await?;
    Ok((generator, cluster.offer_image(&cache, &nginx).await?))
}

impl Rows<'_> {
    async fn row(&self, row: Row) -> Result<()> {
        let name = row.to_possible_value();
        println!("\n{}", name.as_ref().map_or("", |name| name.get_name()));
        match row {
            Row::Steps => self.blocking_steps().await,
            Row::CpuSteps => self.computing_steps().await,
            Row::Zero => self.answer_after_zero().await,
            Row::Waiters => self.waiters().await,
            Row::Idle => self.idle_on_a_warm_pod().await,
            Row::Ramp => self.ramp().await,
            Row::Saw => self.saw().await,
            Row::Bursts => self.bursts().await,
            Row::Rollouts => self.rollouts().await,
            Row::Kills => self.kills().await,
            Row::Gateway => self.gateway_beside_nginx().await,
            Row::Bodies => self.bodies().await,
        }
    }
}
