//! Runs one request in a fresh instance, within its limits.

use std::{
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

use http::{Request, Response};
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep_until},
};
use wasmfn_crds::answer::AnswerReason;
use wasmtime::{PoolConcurrencyLimitError, Store, Trap, UpdateDeadline};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi_http::{
    WasiHttpView,
    p2::{
        bindings::http::types::{ErrorCode, Scheme},
        body::HyperOutgoingBody,
    },
};

use super::{
    admission::{Admitted, Permit},
    answer::AnswerBody,
    ending::{Ending, Failure, Fate},
    meter::{Metered, OutOfCpu},
};
use crate::{
    engine::{EngineSet, Guest as Kind},
    function::{Function, Version},
    sandbox::{Exceeded, Outbound, RequestId, Sandbox},
};

/// What a guest says through its `response-outparam`.
type Said = Result<Response<HyperOutgoingBody>, ErrorCode>;

/// What all guests need.
#[derive(Clone, Debug)]
pub struct Host {
    /// Where instances live.
    pub engines: Arc<EngineSet>,
    /// What sends their requests.
    pub outbound: Arc<Outbound>,
    /// How many wait for CPU right now.
    pub runnable: Arc<AtomicU32>,
}

/// A guest that was started. Dropping this ends it, unless it may finish.
#[derive(Debug)]
pub(super) struct Guest {
    task: JoinHandle<()>,
    may_finish: bool,
}

impl Guest {
    /// The answer is complete: what the guest does after it is its own business, within its limits.
    pub(super) const fn let_finish(&mut self) {
        self.may_finish = true;
    }

    /// Waits for its end.
    pub(super) async fn ended(&mut self) {
        // A panic was written down as the ending already.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if !self.may_finish {
            self.task.abort();
        }
    }
}

/// Starts a guest on `request`. Its answer comes through the receiver, which closes without one
/// once the guest's ending stands in `fate`.
pub(super) fn start(
    host: Host,
    function: Arc<Function>,
    admitted: Admitted,
    request: Request<AnswerBody>,
    deadline: Instant,
    fate: Arc<Fate>,
) -> (Guest, oneshot::Receiver<Said>) {
    let (sender, receiver) = oneshot::channel();
    let task = tokio::spawn(async move {
        let Admitted {
            version,
            reservation,
            permit,
        } = admitted;
        let run = Run {
            _permit: permit,
            version,
            function,
            host,
            deadline,
            fate,
        };
        let log = run.function.log();
        let mut store = Sandbox::store(&run.version, log, &run.host.outbound, reservation);
        // Dropped before the store, whose end closes the answer: also where this task panics or
        // is ended, the ending stands before anybody can ask for it.
        let written = WrittenDown(Arc::clone(&run.fate));
        let ending = run.to_end(&mut store, request, sender).await;
        run.function
            .observe_memory(store.data().memory().used_bytes());
        run.fate.set(ending);
        drop(written);
        drop(store);
    });
    let guest = Guest {
        task,
        may_finish: false,
    };
    (guest, receiver)
}

/// Makes sure that an ending is written down.
struct WrittenDown(Arc<Fate>);

impl Drop for WrittenDown {
    fn drop(&mut self) {
        self.0.set(Ending::Failed(Failure::new(
            AnswerReason::Internal,
            "the pod failed while it served the request",
        )));
    }
}

/// One request's run.
struct Run {
    version: Arc<Version>,
    function: Arc<Function>,
    host: Host,
    deadline: Instant,
    fate: Arc<Fate>,
    _permit: Arc<Permit>,
}

impl Run {
    async fn to_end(
        &self,
        store: &mut Store<Sandbox>,
        request: Request<AnswerBody>,
        sender: oneshot::Sender<Said>,
    ) -> Ending {
        let _ticking = self.host.engines.running();
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|_| {
            Ok(UpdateDeadline::YieldCustom(
                1,
                Box::pin(tokio::task::yield_now()),
            ))
        });
        let cpu = self.version.limits().cpu;
        let call = Box::pin(self.call(store, request, sender));
        let metered = Metered::new(call, cpu, Arc::clone(&self.host.runnable));
        let result = tokio::select! {
            result = metered => result,
            () = sleep_until(self.deadline) => return self.failed(AnswerReason::Timeout, self.too_late()),
            () = self.fate.stopped() => return Ending::Returned,
        };
        match result {
            Ok(Ok(())) => Ending::Returned,
            Ok(Err(error)) => self.trapped(store, &error),
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

    async fn call(
        &self,
        store: &mut Store<Sandbox>,
        request: Request<AnswerBody>,
        sender: oneshot::Sender<Said>,
    ) -> wasmtime::Result<()> {
        let sandbox = store.data_mut();
        sandbox.log().serves(RequestId::of(request.headers()));
        let http = &mut sandbox.http();
        let request = http.new_incoming_request(Scheme::Http, request)?;
        let answer = http.new_response_outparam(sender)?;
        let Kind::Proxy(pre) = self.version.module().guest();
        let proxy = pre.instantiate_async(&mut *store).await?;
        proxy
            .wasi_http_incoming_handler()
            .call_handle(store, request, answer)
            .await
    }

    fn trapped(&self, store: &Store<Sandbox>, error: &wasmtime::Error) -> Ending {
        if error.is::<PoolConcurrencyLimitError>() {
            return Ending::NoSlot;
        }
        let memory = store.data().memory();
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
            None => (AnswerReason::Trapped, describe(error)),
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

/// What a client may know of a trap.
fn describe(error: &wasmtime::Error) -> String {
    if let Some(trap) = error.downcast_ref::<Trap>() {
        format!("the function trapped: {trap}")
    } else if let Some(I32Exit(code)) = error.downcast_ref::<I32Exit>() {
        format!("the function exited with code {code} instead of answering")
    } else {
        "the function failed".to_owned()
    }
}

/// When a request that is admitted now has to be answered.
pub(super) fn deadline(timeout: Duration) -> Instant {
    Instant::now() + timeout
}
