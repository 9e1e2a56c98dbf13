//! The first answer of a function whose compiled code lies on disk, beside the next one.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::runtime::Builder;

use super::{
    cases::Case,
    load::{Connection, Score},
    ours::Ours,
    pin,
};

/// How often the code is let go.
const TIMES: usize = 50;

/// Prints what the first answers took, and those right after them.
pub(super) fn measure(case: &Case, ours: &Ours) -> Result<()> {
    let (first, next) = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            pin::to_load_core()?;
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(ask(case, ours))
        });
        asking
            .join()
            .map_err(|_| anyhow::anyhow!("the load panicked"))?
    })?;
    println!("\n| {} | p50 | p99 |\n|---|---|---|", case.guest.name());
    for (name, times) in [("first answer, from its file", first), ("next", next)] {
        ensure!(times.len() == TIMES, "answers are missing");
        let length = times.iter().sum();
        let score = Score::of(times, length)?;
        println!(
            "| {name} | {} µs | {} µs |",
            score.p50.as_micros(),
            score.p99.as_micros()
        );
    }
    Ok(())
}

async fn ask(case: &Case, ours: &Ours) -> Result<(Vec<Duration>, Vec<Duration>)> {
    let request = case.request(0);
    let mut connection = Connection::open(ours.address()).await?;
    let (mut first, mut next) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        ours.unmap();
        for times in [&mut first, &mut next] {
            let begun_at = Instant::now();
            connection.exchange(&request).await?;
            times.push(begun_at.elapsed());
        }
    }
    Ok((first, next))
}
