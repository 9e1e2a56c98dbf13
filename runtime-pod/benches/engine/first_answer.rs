//! The first answer of a function whose compiled code lies on disk, beside the next one.
//!
//! Asked from the servers' process, where the code can be let go between two requests: of one request at a
//! time, while whose answer is made this thread sleeps and costs the server nothing.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::runtime::Builder;

use super::{cases::Case, load::Connection, ours::Ours, pin, table};

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
    let rows = [("first answer, from its file", first), ("next", next)];
    for (_, times) in &rows {
        ensure!(times.len() == TIMES, "answers are missing");
    }
    table::print_times(case.guest.name(), rows)
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
