//! A guest that answers one request: on the task that asks until its answer begins, then on a task
//! of its own if it has not ended by then.

use std::{
    future::poll_fn,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, atomic::AtomicU32},
    task::{Context, Poll},
    time::Duration,
};

use futures::FutureExt;
use http::{Request, Response};
use tokio::{sync::oneshot, task::JoinHandle, time::Instant};
use wasmtime_wasi_http::p2::{bindings::http::types::ErrorCode, body::HyperOutgoingBody};

use super::{
    admission::Admitted, answer::AnswerBody, ending::Fate, gathered::Gathered, meter::group_of,
    reuse::Pools, run::run, weighed::weighed, worker::Worker,
};
use crate::{function::Function, sandbox::Outbound};

/// How often a guest that has begun its answer is asked to go on before that is sent: once for the rest of
/// its body, once for its own end.
const LAPS: u32 = 2;

/// What a guest says through its `response-outparam`.
pub(super) type Said = Result<Response<HyperOutgoingBody>, ErrorCode>;

/// What all guests need.
#[derive(Clone, Debug)]
pub struct Host {
    /// What sends their requests.
    pub outbound: Arc<Outbound>,
    /// How many wait for CPU right now.
    pub runnable: Arc<AtomicU32>,
    /// Instances that wait for their next request.
    pub pools: Arc<Pools>,
}

/// A request that a guest is to answer.
pub(super) struct Job {
    pub(super) host: Host,
    pub(super) worker: Arc<Worker>,
    pub(super) function: Arc<Function>,
    pub(super) admitted: Admitted,
    pub(super) request: Request<AnswerBody>,
    pub(super) deadline: Instant,
    pub(super) fate: Arc<Fate>,
}

/// A guest. Dropping this ends it, unless it may finish.
pub(super) struct Guest {
    worker: Arc<Worker>,
    answer: oneshot::Receiver<Said>,
    progress: Progress,
    may_finish: bool,
}

/// Where a guest runs.
enum Progress {
    /// Within the task that waits for its answer.
    Inline(Pin<Box<dyn Future<Output = ()> + Send>>),
    /// In a task of its own.
    Apart(JoinHandle<()>),
    Ended,
}

impl Guest {
    /// A guest for `job`. It begins when it is first waited for.
    pub(super) fn new(job: Job) -> Self {
        let (sender, answer) = oneshot::channel();
        let worker = Arc::clone(&job.worker);
        let group = group_of(&job.function);
        let run = weighed(run(job, sender), Arc::clone(&worker), group);
        let run = AssertUnwindSafe(run)
            .catch_unwind()
            // The panic was written down as the ending already.
            .map(|_| ());
        Self {
            worker,
            answer,
            progress: Progress::Inline(Box::pin(run)),
            may_finish: false,
        }
    }

    /// Runs the guest until its answer begins. Nothing, if it ended without one: then its ending
    /// stands in the job's fate.
    pub(super) async fn answer(&mut self) -> Option<Said> {
        poll_fn(|context| {
            self.run(context);
            // The guest answers while it runs, which is above: nobody has to be woken.
            match self.answer.try_recv() {
                Ok(said) => Poll::Ready(Some(said)),
                Err(_) if self.has_ended() => Poll::Ready(None),
                Err(_) => Poll::Pending,
            }
        })
        .await
    }

    /// Takes what of the answer's `body` comes without anybody waiting for it: the guest goes on for a
    /// moment before its answer is sent.
    pub(super) async fn gather(&mut self, body: &mut Gathered) {
        poll_fn(|context| {
            for lap in 0..=LAPS {
                if lap > 0 {
                    self.run(context);
                }
                let is_enough = body.poll_gather(context).is_ready() && !body.has_ended();
                if is_enough || self.has_ended() {
                    break;
                }
            }
            Poll::Ready(())
        })
        .await;
    }

    fn run(&mut self, context: &mut Context<'_>) {
        if let Progress::Inline(run) = &mut self.progress
            && run.as_mut().poll(context).is_ready()
        {
            self.progress = Progress::Ended;
        }
    }

    /// Whether it has ended.
    pub(super) const fn has_ended(&self) -> bool {
        matches!(self.progress, Progress::Ended)
    }

    /// Lets it go on in a task of its own, which keeps its permit and deadline.
    pub(super) fn go_on(&mut self) {
        let progress = std::mem::replace(&mut self.progress, Progress::Ended);
        self.progress = match progress {
            Progress::Inline(run) => {
                let run = self.worker.guests().track_future(run);
                Progress::Apart(tokio::spawn(run))
            }
            other => other,
        };
    }

    /// The answer is complete: what the guest does after it is its own business, within its limits.
    pub(super) const fn let_finish(&mut self) {
        self.may_finish = true;
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Progress::Apart(task) = &self.progress
            && !self.may_finish
        {
            task.abort();
        }
    }
}

/// When a request that is admitted now has to be answered.
pub(super) fn deadline(timeout: Duration) -> Instant {
    Instant::now() + timeout
}
