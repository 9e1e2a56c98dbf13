//! Writes down what guests take of their thread at once: their own code, the host's calls, and the end of
//! what they leave behind.

use std::{future::poll_fn, pin::pin, sync::Arc, time::Instant};

use super::{debts::WORTH_NOTING, turns::Group, worker::Worker};

/// A request's run, which its function owes for.
pub(super) async fn weighed<F: Future>(run: F, worker: Arc<Worker>, group: Group) -> F::Output {
    let mut run = pin!(run);
    poll_fn(|context| {
        let began_at = Instant::now();
        let result = run.as_mut().poll(context);
        let took = began_at.elapsed();
        if took >= WORTH_NOTING {
            worker.turns().charge(group, took);
        }
        result
    })
    .await
}
