//! Carries out, for one function, what the plan says, one step after the other.

use std::{pin::Pin, sync::Arc, time::Instant};

use tokio::{sync::watch, time::sleep_until};
use wasmfn_crds::{Reason, WasmFunction, condition::cut};
use wasmfn_report::{Load, MESSAGE_MAX_BYTES, Resolution};

use super::{
    Function, ResolutionAuthority, Version,
    plan::{self, Attempt, Desired, Next, Prepared, Progress, Resting, Served, Step},
};
use crate::{
    code::Code,
    command::contract::Counting,
    loader::{LoadError, Loader, Wanted},
    references::References,
    sandbox::keyvalue::Stores,
};

/// What is said of a function that is quarantined.
const QUARANTINED: &str = "it was running when the runtime's process crashed, twice within ten \
                           minutes; it is not served until its spec changes";

/// What all supervisors share.
#[derive(Clone)]
pub(crate) struct Supervisor {
    pub(crate) loader: Arc<Loader>,
    pub(crate) references: Arc<References>,
    pub(crate) stores: Arc<Stores>,
    pub(crate) authority: ResolutionAuthority,
}

/// What a step brings.
enum Done {
    Resolved(Resolution),
    Prepared(Arc<Code>, Counting),
}

/// A step's result, once it is there.
type Pending = Pin<Box<dyn Future<Output = Result<Done, LoadError>> + Send>>;

/// A step that is under way.
struct Work {
    attempt: Attempt,
    result: Pending,
}

/// Works on `function` until `desired` is closed. Requests are served meanwhile with what was
/// loaded last.
pub(crate) async fn supervise(
    supervisor: Supervisor,
    function: Arc<Function>,
    mut desired: watch::Receiver<Arc<WasmFunction>>,
) {
    let mut revision = supervisor.references.revision();
    let mut hand = Hand {
        supervisor,
        progress: Progress {
            quarantined: function.quarantined(),
            ..Progress::default()
        },
        function,
        code: None,
        failed: None,
        work: None,
    };
    loop {
        let object = Arc::clone(&desired.borrow_and_update());
        let current = *revision.borrow_and_update();
        let wake_at = hand.advance(&object, current);
        tokio::select! {
            changed = desired.changed() => if changed.is_err() { return },
            _ = revision.changed() => {}
            (attempt, result) = finish(&mut hand.work) => hand.record(attempt, result),
            () = lost(hand.code.clone()) => hand.start_over(),
            () = pause(wake_at) => {}
        }
    }
}

/// The loss of the code that is held; never, where none is.
async fn lost(code: Option<Arc<Code>>) {
    match code {
        Some(code) => code.lost().await,
        None => std::future::pending().await,
    }
}

async fn pause(until: Option<Instant>) {
    match until {
        Some(time) => sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

/// The end of the step that is under way; never, where there is none.
async fn finish(work: &mut Option<Work>) -> (Attempt, Result<Done, LoadError>) {
    let Some(current) = work else {
        return std::future::pending().await;
    };
    let result = current.result.as_mut().await;
    let attempt = current.attempt.clone();
    *work = None;
    (attempt, result)
}

/// What one supervisor knows and does.
struct Hand {
    supervisor: Supervisor,
    function: Arc<Function>,
    progress: Progress,
    /// The code behind `progress.prepared`.
    code: Option<Arc<Code>>,
    /// What the report says while the last failure stands.
    failed: Option<Load>,
    work: Option<Work>,
}

impl Hand {
    /// Does what can be done at once and starts what takes time; says when to look again.
    fn advance(&mut self, object: &Arc<WasmFunction>, revision: u64) -> Option<Instant> {
        let desired = Desired::of(object, revision);
        self.function.rest_instances(desired.is_suspended);
        loop {
            let authority = self.supervisor.authority;
            match plan::next(&desired, &self.progress, authority, Instant::now()) {
                Next::Do(attempt) if self.is_under_way(&attempt) => return None,
                Next::Do(attempt) => match attempt.step.clone() {
                    Step::Serve { .. } => self.serve(object, attempt),
                    Step::Resolve { image, resolve_at } => {
                        self.say(&desired, Load::Resolving);
                        let result = self.resolve(object, image, resolve_at);
                        self.work = Some(Work { attempt, result });
                        return None;
                    }
                    Step::Prepare {
                        image,
                        digest,
                        counting,
                    } => {
                        self.say(&desired, Load::Waiting);
                        let result = self.prepare(object, image, digest, counting);
                        self.work = Some(Work { attempt, result });
                        return None;
                    }
                },
                Next::Pause(time) => {
                    self.rest(&desired, Resting::Failed);
                    return Some(time);
                }
                Next::Rest(resting) => {
                    self.rest(&desired, resting);
                    return None;
                }
            }
        }
    }

    /// Loads again what was lost: requests are refused meanwhile.
    fn start_over(&mut self) {
        tracing::warn!(
            function = self.function.id().name,
            "the compiled code is gone; it is loaded again"
        );
        self.code = None;
        self.progress.prepared = None;
        self.progress.serving = None;
    }

    fn is_under_way(&self, attempt: &Attempt) -> bool {
        self.work
            .as_ref()
            .is_some_and(|work| work.attempt == *attempt)
    }

    fn rest(&mut self, desired: &Desired, resting: Resting) {
        self.work = None;
        let load = match resting {
            Resting::Served => Load::Loaded,
            Resting::Unrecorded | Resting::Suspended => Load::Waiting,
            Resting::Failed => self.failed.clone().unwrap_or(Load::Waiting),
            Resting::Quarantined => Load::Failed {
                reason: Reason::Quarantined.as_str().to_owned(),
                message: QUARANTINED.to_owned(),
                retrying: false,
            },
        };
        self.say(desired, load);
    }

    /// Reports how far `desired` is. The own resolution is told until the operator has recorded one.
    fn say(&self, desired: &Desired, load: Load) {
        let resolution = self.progress.resolution.clone().filter(|own| {
            desired.recorded.is_none()
                && own.image == desired.image
                && own.resolve_at == desired.resolve_at
        });
        self.function.update(desired.generation, resolution, load);
    }

    fn resolve(&self, object: &Arc<WasmFunction>, image: String, resolve_at: String) -> Pending {
        let loader = Arc::clone(&self.supervisor.loader);
        let references = Arc::clone(&self.supervisor.references);
        let object = Arc::clone(object);
        Box::pin(async move {
            let credentials = references.credentials(&object.spec.image_pull_secrets)?;
            let digest = loader.resolve(&image, &credentials).await?;
            Ok(Done::Resolved(Resolution {
                image,
                resolve_at,
                digest,
            }))
        })
    }

    fn prepare(
        &self,
        object: &Arc<WasmFunction>,
        image: String,
        digest: String,
        counting: Counting,
    ) -> Pending {
        let loader = Arc::clone(&self.supervisor.loader);
        let references = Arc::clone(&self.supervisor.references);
        let function = Arc::clone(&self.function);
        let object = Arc::clone(object);
        Box::pin(async move {
            let credentials = || references.credentials(&object.spec.image_pull_secrets);
            let progress = |load| function.set_load(load);
            let wanted = Wanted {
                image: &image,
                digest: &digest,
                counting,
                demand: function.demand(),
            };
            let code = loader.load(wanted, credentials, progress).await?;
            Ok(Done::Prepared(code, counting))
        })
    }

    fn serve(&mut self, object: &Arc<WasmFunction>, attempt: Attempt) {
        let Some(code) = self.code.clone() else {
            self.progress.prepared = None;
            return;
        };
        let Supervisor {
            references, stores, ..
        } = &self.supervisor;
        match Version::new(code, object, references, stores, attempt.revision) {
            Ok(version) => {
                self.progress.serving = Some(Served {
                    digest: version.code().digest().to_owned(),
                    generation: version.generation(),
                    revision: version.revision(),
                });
                self.progress.failure = None;
                tracing::info!(
                    function = self.function.id().name,
                    digest = version.code().digest(),
                    generation = version.generation(),
                    "serving"
                );
                self.function.swap(Arc::new(version));
            }
            Err(error) => self.record(attempt, Err(error.into())),
        }
    }

    /// Takes note of what a step brought.
    fn record(&mut self, attempt: Attempt, result: Result<Done, LoadError>) {
        match result {
            Ok(Done::Resolved(resolution)) => self.progress.resolution = Some(resolution),
            Ok(Done::Prepared(code, counting)) => {
                self.progress.prepared = Some(Prepared {
                    digest: code.digest().to_owned(),
                    counting,
                });
                self.code = Some(code);
            }
            Err(error) => {
                let before = self.progress.failure.as_ref();
                let transient = error.is_transient();
                let now = Instant::now();
                let failure = plan::fail(attempt, before, transient, error.retry_after(), now);
                self.failed = Some(failed(error.reason(), &error, transient));
                tracing::warn!(
                    function = self.function.id().name,
                    reason = error.reason().as_str(),
                    times = failure.times,
                    transient,
                    "{error}"
                );
                self.progress.failure = Some(failure);
                return;
            }
        }
        self.progress.failure = None;
    }
}

fn failed(reason: Reason, error: &LoadError, retrying: bool) -> Load {
    Load::Failed {
        reason: reason.as_str().to_owned(),
        message: cut(&error.to_string(), MESSAGE_MAX_BYTES).to_owned(),
        retrying,
    }
}
