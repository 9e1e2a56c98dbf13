//! Runs one request in a fresh instance, within its limits: on the task that asks until its answer
//! begins, then on a task of its own if it has not ended by then.

use std::{
    future::poll_fn,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, atomic::AtomicU32},
    task::Poll,
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep_until},
};
use wasmfn_crds::answer::AnswerReason;
use wasmtime::{InstancePre, PoolConcurrencyLimitError, Store};
use wasmtime_wasi_http::{
    WasiHttpView,
    p2::{
        bindings::{
            ProxyPre,
            http::types::{ErrorCode, Scheme},
        },
        body::HyperOutgoingBody,
    },
};

use super::{
    admission::{Admitted, Permit},
    answer::AnswerBody,
    ending::{Ending, Failure, Fate},
    meter::{Metered, OutOfCpu},
    slice, trap,
    worker::Worker,
};
use crate::{
    budget::Reservation,
    command::{Call, CommandError, CommandSandbox, Surroundings, contract::Terms},
    engine::{Guest as Kind, Module},
    function::{Function, Version},
    sandbox::{Exceeded, Limited, MemoryLimit, Outbound, RequestId, RequestLog, Sandbox},
    service::{self, Begin},
};

/// What a guest says through its `response-outparam`.
type Said = Result<Response<HyperOutgoingBody>, ErrorCode>;

/// What all guests need.
#[derive(Clone, Debug)]
pub struct Host {
    /// What sends their requests.
    pub outbound: Arc<Outbound>,
    /// How many wait for CPU right now.
    pub runnable: Arc<AtomicU32>,
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
        let run = AssertUnwindSafe(run(job, sender))
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
            if let Progress::Inline(run) = &mut self.progress
                && run.as_mut().poll(context).is_ready()
            {
                self.progress = Progress::Ended;
            }
            // The guest answers while it runs, which is above: nobody has to be woken.
            match self.answer.try_recv() {
                Ok(said) => Poll::Ready(Some(said)),
                Err(_) if self.has_ended() => Poll::Ready(None),
                Err(_) => Poll::Pending,
            }
        })
        .await
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

async fn run(job: Job, sender: oneshot::Sender<Said>) {
    let Admitted {
        version,
        module,
        reservation,
        permit,
    } = job.admitted;
    let run = Run {
        _permit: permit,
        version,
        module,
        function: job.function,
        host: job.host,
        worker: job.worker,
        deadline: job.deadline,
        fate: job.fate,
    };
    let request = job.request;
    match (run.module.guest(), run.version.terms()) {
        (Kind::Proxy(pre), _) => {
            let store = run.sandbox(reservation);
            let pre = pre.clone();
            run.in_store(store, |store| Box::pin(handle(pre, store, request, sender)))
                .await;
        }
        (Kind::Service(pre), _) => {
            let mut store = run.sandbox(reservation);
            let id = RequestId::of(request.headers());
            store.data_mut().log().serves(id);
            let (pre, begin) = (pre.clone(), begin(sender));
            run.in_store(store, |store| {
                Box::pin(service::handle(pre, store, request, begin))
            })
            .await;
        }
        (Kind::Command(program), Some(terms)) => {
            run.command(program, terms, reservation, request, sender)
                .await;
        }
        // Its ending, which nobody writes down, is that the pod failed.
        (Kind::Command(_), None) => drop(WrittenDown(run.fate)),
    }
}

/// Makes sure that an ending is written down.
struct WrittenDown(Arc<Fate>);

impl Drop for WrittenDown {
    fn drop(&mut self) {
        if self.0.ending().is_none() {
            self.0.set(Ending::Failed(Failure::new(
                AnswerReason::Internal,
                "the pod failed while it served the request",
            )));
        }
    }
}

/// One request's run.
struct Run {
    version: Arc<Version>,
    module: Arc<Module>,
    function: Arc<Function>,
    host: Host,
    worker: Arc<Worker>,
    deadline: Instant,
    fate: Arc<Fate>,
    _permit: Arc<Permit>,
}

impl Run {
    /// A store for a component.
    fn sandbox(&self, reservation: Reservation) -> Store<Sandbox> {
        Sandbox::store(
            &self.version,
            &self.module,
            self.function.log(),
            &self.host.outbound,
            reservation,
        )
    }

    /// Runs a command.
    async fn command(
        &self,
        program: &InstancePre<CommandSandbox>,
        terms: Terms,
        reservation: Reservation,
        request: Request<AnswerBody>,
        sender: oneshot::Sender<Said>,
    ) {
        let log = RequestLog::new(Arc::clone(self.function.log()));
        log.serves(RequestId::of(request.headers()));
        let surroundings = Surroundings {
            version: &self.version,
            module: &self.module,
            function: &self.function.id().name,
            log: &log,
            reservation,
        };
        match Call::prepare(terms, request, surroundings, begin(sender)) {
            Ok((store, call)) => {
                let program = program.clone();
                self.in_store(store, |store| Box::pin(call.run(store, program)))
                    .await;
            }
            Err(error) => {
                self.fate
                    .set(self.failed(error.reason(), error.to_string()));
            }
        }
    }

    /// Makes a call in its store, and writes down how it ended before the store goes, whose end
    /// closes the answer: also where this is dropped or panics, the ending stands before anybody
    /// can ask for it.
    async fn in_store<T: Limited + 'static>(
        &self,
        mut store: Store<T>,
        call: impl for<'a> FnOnce(&'a mut Store<T>) -> BoxFuture<'a, wasmtime::Result<()>>,
    ) {
        let written = WrittenDown(Arc::clone(&self.fate));
        let ending = self.to_end(&mut store, call).await;
        self.function
            .observe_memory(store.data().memory().used_bytes());
        self.fate.set(ending);
        drop(written);
        drop(store);
    }

    async fn to_end<T: Limited + 'static>(
        &self,
        store: &mut Store<T>,
        call: impl for<'a> FnOnce(&'a mut Store<T>) -> BoxFuture<'a, wasmtime::Result<()>>,
    ) -> Ending {
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|_| Ok(slice::tick()));
        let cpu = self.version.limits().cpu;
        let result = {
            let metered = Metered::new(
                call(store),
                cpu,
                Arc::clone(&self.function),
                Arc::clone(&self.host.runnable),
                Arc::clone(&self.worker),
            );
            tokio::select! {
                // First: most guests end in one go, and then there is nothing to wait for.
                biased;
                result = metered => result,
                () = sleep_until(self.deadline) => {
                    return self.failed(AnswerReason::Timeout, self.too_late());
                }
                () = self.fate.stopped() => return Ending::Returned,
            }
        };
        match result {
            Ok(Ok(())) => Ending::Returned,
            Ok(Err(error)) => self.trapped(store.data().memory(), &error),
            Err(OutOfCpu) => self.failed(
                AnswerReason::OutOfCpu,
                format!(
                    "the function used more than its {} ms of CPU time",
                    cpu.as_millis()
                ),
            ),
        }
    }
    fn too_late(&self) -> String {
        let seconds = self.version.limits().timeout.as_secs();
        format!("the function took longer than its {seconds} s")
    }

    fn trapped(&self, memory: &MemoryLimit, error: &wasmtime::Error) -> Ending {
        if error.is::<PoolConcurrencyLimitError>() {
            return Ending::NoSlot;
        }
        if let Some(error) = error.downcast_ref::<CommandError>()
            && !(error.may_want_memory() && memory.exceeded().is_some())
        {
            return self.failed(error.reason(), error.to_string());
        }
        let (reason, message) = match memory.exceeded() {
            Some(Exceeded::Own) => (
                AnswerReason::OutOfMemory,
                format!(
                    "the function needs more than its {} bytes of memory",
                    memory.limit_bytes()
                ),
            ),
            Some(Exceeded::Pod) => (
                AnswerReason::OutOfMemory,
                "the pod has no more memory for the function".to_owned(),
            ),
            None => {
                let failure = trap::failure(error);
                (failure.reason, failure.message)
            }
        };
        self.function
            .log()
            .warn(reason.as_str(), &format!("{message}: {error:?}"));
        Ending::Failed(Failure::new(reason, message))
    }

    fn failed(&self, reason: AnswerReason, message: String) -> Ending {
        self.function.log().warn(reason.as_str(), &message);
        Ending::Failed(Failure::new(reason, message))
    }
}

/// Passes an answer on when it begins.
fn begin(sender: oneshot::Sender<Said>) -> Begin {
    Box::new(|answer| {
        // Where nobody waits for it any more, the guest is ended anyway.
        let _ = sender.send(Ok(answer));
    })
}

/// Calls a `wasi:http` 0.2 component in an instance of its own.
async fn handle(
    pre: ProxyPre<Sandbox>,
    store: &mut Store<Sandbox>,
    request: Request<AnswerBody>,
    sender: oneshot::Sender<Said>,
) -> wasmtime::Result<()> {
    let sandbox = store.data_mut();
    sandbox.log().serves(RequestId::of(request.headers()));
    let http = &mut sandbox.http();
    let request = http.new_incoming_request(Scheme::Http, request)?;
    let answer = http.new_response_outparam(sender)?;
    let proxy = pre.instantiate_async(&mut *store).await?;
    proxy
        .wasi_http_incoming_handler()
        .call_handle(store, request, answer)
        .await
}

/// When a request that is admitted now has to be answered.
pub(super) fn deadline(timeout: Duration) -> Instant {
    Instant::now() + timeout
}
