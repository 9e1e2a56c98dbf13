//! Tells stories one after another, and says how each went.

mod table;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use clap::Args;

use crate::cache::Cache;
use crate::cluster::{Cluster, Forwards};
use crate::context::Context;
use crate::install::{self, Release};
use crate::settings::Settings;
use crate::stories::STORIES;
use crate::story::{Need, Story};

use table::{Outcome, Row};

/// A story that takes longer hangs.
const STORY_DEADLINE: Duration = Duration::from_secs(900);

/// Which stories, and how.
#[derive(Args, Clone, Debug)]
pub struct RunOptions {
    /// Only stories whose name contains this
    #[arg(default_value = "")]
    name: String,
    /// Keep the namespaces of the stories
    #[arg(long)]
    keep: bool,
    /// Leave the product as it is installed
    #[arg(long)]
    no_install: bool,
    /// Only print the names of the stories
    #[arg(long)]
    list: bool,
    /// Tell all of them so many times in a row
    #[arg(long, default_value_t = 1)]
    times: usize,
}

/// Brings the cluster up, installs the chart, and tells the stories that `options` choose.
///
/// # Errors
/// The cluster or the chart cannot be had, or no story has such a name. Failed stories are no error:
/// the exit code tells.
pub async fn run(settings: &Settings, options: &RunOptions) -> Result<ExitCode> {
    let chosen = |story: &&Story| story.name.contains(&options.name);
    let stories: Vec<&Story> = STORIES.iter().filter(chosen).collect();
    ensure!(
        !stories.is_empty(),
        "no story's name contains `{}`",
        options.name
    );
    if options.list {
        stories.iter().for_each(|story| println!("{}", story.name));
        return Ok(ExitCode::SUCCESS);
    }
    let (cluster, release) = prepare(settings, options).await?;
    let _forwards = Forwards::open(&cluster, true).await?;
    let mut rows = Vec::new();
    for _ in 0..options.times.max(1) {
        for story in &stories {
            rows.push(tell(&cluster, &release, story, options.keep).await);
        }
    }
    print!("{}", table::render(&rows));
    let failed = rows.iter().any(|row| row.outcome == Outcome::Failed);
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// The cache is held until the stories begin, so that other commands can run beside them.
async fn prepare(settings: &Settings, options: &RunOptions) -> Result<(Cluster, Release)> {
    let cache = Cache::open()?;
    let cluster = Cluster::up(settings, &cache).await?;
    // An interrupted run may have left a node paused or cordoned.
    if let Some(nodes) = cluster.nodes() {
        nodes.restore(|| cluster.kubectl()).await?;
    }
    let release = if options.no_install {
        install::found(&cluster, &cache).await?
    } else {
        install::install(&cluster, &cache).await?
    };
    Ok((cluster, release))
}

async fn tell(cluster: &Cluster, release: &Release, story: &Story, keep: bool) -> Row {
    let started = Instant::now();
    let missing = story.needs.iter().find(|need| !offers(cluster, **need));
    let outcome = match missing {
        Some(need) => Outcome::Skipped(*need),
        None => match tell_in_namespace(cluster, release, story, keep).await {
            Ok(()) => Outcome::Passed,
            Err(error) => {
                eprintln!("{} failed: {error:#}", story.name);
                Outcome::Failed
            }
        },
    };
    let row = Row {
        name: story.name,
        outcome,
        time: started.elapsed(),
    };
    println!("{}", row.line());
    row
}

async fn tell_in_namespace(
    cluster: &Cluster,
    release: &Release,
    story: &Story,
    keep: bool,
) -> Result<()> {
    let context = Context::new(cluster, release, story.name).await?;
    context.open().await?;
    // A task of its own, so that a panic in a story ends that story only.
    let mut task = tokio::spawn((story.run)(context.clone()));
    let told = match tokio::time::timeout(STORY_DEADLINE, &mut task).await {
        Ok(Ok(result)) => result,
        Ok(Err(crash)) => Err(anyhow!("the story crashed: {crash}")),
        Err(_) => Err(anyhow!(
            "not at its end after {} s",
            STORY_DEADLINE.as_secs()
        )),
    };
    task.abort();
    if told.is_err() {
        context.dump().await;
    }
    let restored = context.restore().await;
    if !keep {
        context.close().await?;
    }
    told.and(restored)
}

fn offers(cluster: &Cluster, need: Need) -> bool {
    match need {
        Need::BreakableNodes => cluster.nodes().is_some(),
        Need::NetworkPolicy => cluster.facts.enforces_network_policy,
    }
}
