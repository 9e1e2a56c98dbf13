//! Where a guest runs, and what its end means there.

use std::sync::Arc;

use wasmfn_crds::answer::AnswerReason;
use wasmtime::{PoolConcurrencyLimitError, Store};

use super::{
    ending::{Ending, Failure},
    guest::Host,
    reuse::{Discard, Instance, Tally},
    trap,
    worker::Worker,
};
use crate::{
    budget::Reservation,
    command::CommandError,
    engine::Module,
    function::{Function, Reuse, Version},
    sandbox::{Exceeded, Limited, MemoryLimit, Sandbox},
};

/// Whose guest runs, and on what.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) function: Arc<Function>,
    pub(super) version: Arc<Version>,
    pub(super) module: Arc<Module>,
    pub(super) host: Host,
    pub(super) worker: Arc<Worker>,
}

/// How a call came to its end.
pub(super) enum Ended<R> {
    /// It returned.
    Returned(R),
    /// The guest failed.
    Failed(Ending),
    /// It was ended: its time or CPU time was up, or what it takes or sends too large.
    Cut(Ending),
}

impl<R> Ended<R> {
    /// The same, to be written down.
    pub(super) fn ending(&self) -> Ending {
        match self {
            Self::Returned(_) => Ending::Returned,
            Self::Failed(ending) | Self::Cut(ending) => ending.clone(),
        }
    }
}

impl Site {
    /// A store for a fresh instance.
    pub(super) fn store(&self, reservation: Reservation) -> Store<Sandbox> {
        Sandbox::store(
            &self.version,
            &self.module,
            self.function.log(),
            &self.host.outbound,
            reservation,
        )
    }

    /// What counts an instance that may serve more than one request.
    pub(super) fn tally(&self) -> Option<Tally> {
        let is_reused = self.version.reuse().is_some_and(Reuse::is_on);
        is_reused.then(|| Tally::new(self.host.pools.metrics(), &self.function.id().name))
    }

    /// Has an instance that nobody is in wait for the next request, if it may and has no `flaw`.
    pub(super) fn keep(&self, mut instance: Box<Instance>, flaw: Option<Discard>) {
        let Some(reuse) = self.version.reuse() else {
            return;
        };
        let sandbox = instance.sandbox();
        sandbox.end();
        let cause = if flaw == Some(Discard::Failed) || sandbox.memory().exceeded().is_some() {
            Discard::Failed
        } else if !self.function.keeps(&self.version) {
            Discard::Replaced
        } else if let Some(flaw) = flaw {
            flaw
        } else if sandbox.holds_answer() {
            Discard::Held
        } else if instance.left() == 0 {
            Discard::Quota
        } else {
            self.worker.pool().put(instance, reuse.idle());
            return;
        };
        instance.discard(cause);
    }

    /// What became of a call in a store with this `memory`.
    pub(super) fn judge<R>(
        &self,
        ended: Result<wasmtime::Result<R>, Ending>,
        memory: &MemoryLimit,
    ) -> Ended<R> {
        match ended {
            Ok(Ok(returned)) => Ended::Returned(returned),
            Ok(Err(error)) => Ended::Failed(self.trapped(memory, &error)),
            Err(ending) => Ended::Cut(ending),
        }
    }

    /// It was not done in time.
    pub(super) fn too_late(&self) -> Ending {
        let seconds = self.version.limits().timeout.as_secs();
        let message = format!("the function took longer than its {seconds} s");
        self.failed(AnswerReason::Timeout, message)
    }

    /// It has used all its CPU time.
    pub(super) fn out_of_cpu(&self) -> Ending {
        let milliseconds = self.version.limits().cpu.as_millis();
        let message = format!("the function used more than its {milliseconds} ms of CPU time");
        self.failed(AnswerReason::OutOfCpu, message)
    }

    /// The guest failed with `error`.
    pub(super) fn trapped(&self, memory: &MemoryLimit, error: &wasmtime::Error) -> Ending {
        if error.is::<PoolConcurrencyLimitError>() {
            // Parts of instances run short before instances do: the next one may find some.
            self.host.pools.let_go_of(self.module.engine().slots());
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

    /// The guest gave up one request with `error`, and goes on with others.
    pub(super) fn gave_up(&self, error: &wasmtime::Error) -> Ending {
        let failure = trap::failure(error);
        self.failed(failure.reason, failure.message)
    }

    /// It is answered for `reason`, which is logged.
    pub(super) fn failed(&self, reason: AnswerReason, message: String) -> Ending {
        self.function.log().warn(reason.as_str(), &message);
        Ending::Failed(Failure::new(reason, message))
    }
}
