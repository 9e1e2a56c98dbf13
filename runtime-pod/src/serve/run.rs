//! Runs one request within its limits: in a fresh instance, or in one that has served others of the
//! same version.

use std::sync::Arc;

use futures::future::BoxFuture;
use http::Request;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};
use wasmfn_crds::answer::AnswerReason;
use wasmtime::{InstancePre, PoolConcurrencyLimitError, Store};

use super::{
    admission::{Admitted, Permit, Place},
    answer::AnswerBody,
    component::{Entry, name_of},
    ending::{Ending, Failure, Fate, WrittenDown},
    guest::{Host, Job, Said},
    meter::{Metered, OutOfCpu},
    reuse::{Discard, Instance, Owner, Probation, Room, Tally, Unanswered},
    slice, trap,
    worker::Worker,
};
use crate::{
    command::{Call, CommandError, CommandSandbox, Surroundings, contract::Terms},
    engine::{Guest as Kind, Module},
    function::{Function, Reuse, Version},
    sandbox::{Exceeded, Limited, MemoryLimit, RequestId, RequestLog, Sandbox},
    service::{Begin, Lifetime},
};

/// Answers a request through `sender`, and writes down how that ended.
pub(super) async fn run(job: Job, sender: oneshot::Sender<Said>) {
    let Admitted {
        version,
        module,
        place,
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
    match (run.module.guest(), run.version.terms(), place) {
        (Kind::Command(program), Some(terms), Place::Fresh(room)) => {
            run.command(program, terms, room, request, sender).await;
        }
        // Its ending, which nobody writes down, is that the pod failed.
        (Kind::Command(_), ..) => drop(WrittenDown::new(&run.fate)),
        (_, _, Place::Fresh(room)) => run.fresh(room, request, say(sender)).await,
        (_, _, Place::Kept(instance)) => match run.version.reuse() {
            Some(reuse) if !reuse.is_trusted() => {
                // Boxed: what is rare makes no room necessary in every request's run.
                Box::pin(run.on_probation(reuse, instance, request, sender)).await;
            }
            _ => run.kept(instance, request, say(sender)).await,
        },
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

/// How a call came to its end.
enum Ended<R> {
    /// It returned.
    Returned(R),
    /// The guest failed.
    Failed(Ending),
    /// It was ended: its time or CPU time was up, or what it takes or sends too large.
    Cut(Ending),
}

impl<R> Ended<R> {
    fn ending(&self) -> Ending {
        match self {
            Self::Returned(_) => Ending::Returned,
            Self::Failed(ending) | Self::Cut(ending) => ending.clone(),
        }
    }
}

impl Run {
    /// Runs a component in an instance of its own, which is kept if it may be.
    async fn fresh(
        &self,
        room: Room,
        request: Request<AnswerBody>,
        say: impl FnOnce(Said) + Send + Sync + 'static,
    ) {
        // Left after the store, which is made after it.
        let Room { slot, reservation } = room;
        let mut store = Sandbox::store(
            &self.version,
            &self.module,
            self.function.log(),
            &self.host.outbound,
            reservation,
        );
        let written = WrittenDown::new(&self.fate);
        let tally = self.tally();
        store
            .data_mut()
            .begin(name_of(&request), self.version.limits());
        let lifetime = self.lifetime();
        prepare(&mut store);
        let call = async {
            let entry = Entry::new(self.module.guest(), &mut store).await?;
            if let Some(entry) = &entry {
                entry.call(&mut store, request, say, lifetime).await?;
            }
            Ok(entry)
        };
        let ended = self.to_end(Box::pin(call)).await;
        let ended = self.judge(ended, store.data().memory());
        self.write_down(ended.ending(), store.data().memory());
        drop(written);
        if let Ended::Returned(Some(entry)) = ended
            && let Some(tally) = tally
            && let Some(reuse) = self.version.reuse()
        {
            let owner = Owner {
                function: &self.function,
                version: &self.version,
                module: &self.module,
            };
            let instance = Instance::new((store, entry, slot), owner, reuse, tally);
            self.keep(instance, reuse);
        }
    }

    /// What counts an instance that may serve more than one request.
    fn tally(&self) -> Option<Tally> {
        let is_reused = self.version.reuse().is_some_and(Reuse::is_on);
        is_reused.then(|| Tally::new(self.host.pools.metrics(), &self.function.id().name))
    }

    /// Runs a component in an instance that has served others.
    async fn kept(
        &self,
        mut instance: Box<Instance>,
        request: Request<AnswerBody>,
        say: impl FnOnce(Said) + Send + Sync + 'static,
    ) {
        let written = WrittenDown::new(&self.fate);
        let ended = self.again(&mut instance, request, say).await;
        self.write_down(ended.ending(), instance.sandbox().memory());
        drop(written);
        if let Ended::Returned(()) = ended
            && let Some(reuse) = self.version.reuse()
        {
            self.keep(instance, reuse);
        }
    }

    /// The same while nobody knows whether the guest can serve more than once: a request at which it
    /// fails is run once more in a fresh instance, if nobody can tell.
    async fn on_probation(
        &self,
        reuse: &Reuse,
        mut instance: Box<Instance>,
        request: Request<AnswerBody>,
        sender: oneshot::Sender<Said>,
    ) {
        let written = WrittenDown::new(&self.fate);
        let (request, probation) = Probation::new(request, sender);
        let ended = self.again(&mut instance, request, probation.say()).await;
        let memory = instance.sandbox().memory();
        match ended {
            Ended::Returned(()) if probation.is_answered() => {
                // The request's body goes with it.
                drop(probation);
                self.write_down(Ending::Returned, memory);
                drop(written);
                reuse.went_well();
                self.keep(instance, reuse);
            }
            Ended::Returned(()) | Ended::Failed(_) if memory.exceeded() != Some(Exceeded::Pod) => {
                let ending = ended.ending();
                let Some((request, sender)) = taken_back(&mut instance, probation) else {
                    // Whether a fresh one would have failed as well cannot be told any more.
                    self.function.give_up_reuse(&self.version);
                    self.write_down(ending, instance.sandbox().memory());
                    return;
                };
                written.pass_on();
                self.once_more(instance.into_room(), request, sender).await;
            }
            ended => {
                probation.pass_error_on();
                self.write_down(ended.ending(), memory);
            }
        }
    }

    /// Runs a request in a fresh instance that failed in one that had served others: if it goes well
    /// now, that was why.
    async fn once_more(
        &self,
        room: Room,
        request: Request<AnswerBody>,
        sender: oneshot::Sender<Said>,
    ) {
        let function = Arc::clone(&self.function);
        let version = Arc::clone(&self.version);
        let say = say(sender);
        let judge = move |said: Said| {
            if said.is_ok() {
                function.give_up_reuse(&version);
            }
            say(said);
        };
        self.fresh(room, request, judge).await;
    }

    /// Calls an instance that has served others.
    async fn again(
        &self,
        instance: &mut Instance,
        request: Request<AnswerBody>,
        say: impl FnOnce(Said) + Send + Sync + 'static,
    ) -> Ended<()> {
        let (store, entry) = instance.parts();
        store
            .data_mut()
            .begin(name_of(&request), self.version.limits());
        prepare(store);
        let call = entry.call(&mut *store, request, say, Lifetime::Longer);
        let ended = self.to_end(Box::pin(call)).await;
        self.judge(ended, store.data().memory())
    }

    fn lifetime(&self) -> Lifetime {
        if self.function.keeps(&self.version) {
            Lifetime::Longer
        } else {
            Lifetime::OneRequest
        }
    }

    /// Has an instance whose request has ended well wait for the next one, if it may.
    fn keep(&self, mut instance: Box<Instance>, reuse: &Reuse) {
        instance.sandbox().end();
        let has_failed = self.fate.failure().is_some();
        let has_exceeded = instance.sandbox().memory().exceeded().is_some();
        let cause = if has_failed || has_exceeded {
            Discard::Failed
        } else if !self.function.keeps(&self.version) {
            Discard::Replaced
        } else if !self.fate.is_request_over() || instance.sandbox().holds_answer() {
            Discard::Held
        } else if instance.is_used_up() {
            Discard::Quota
        } else {
            self.worker.pool().put(instance, reuse.idle());
            return;
        };
        instance.discard(cause);
    }

    /// Runs a command.
    async fn command(
        &self,
        program: &InstancePre<CommandSandbox>,
        terms: Terms,
        room: Room,
        request: Request<AnswerBody>,
        sender: oneshot::Sender<Said>,
    ) {
        let log = RequestLog::new(Arc::clone(self.function.log()));
        log.serves(RequestId::of(request.headers()));
        // Left after the store, which is made after it.
        let Room { slot, reservation } = room;
        let surroundings = Surroundings {
            version: &self.version,
            module: &self.module,
            function: &self.function.id().name,
            log: &log,
            reservation,
        };
        match Call::prepare(terms, request, surroundings, begin(sender)) {
            Ok((mut store, call)) => {
                let written = WrittenDown::new(&self.fate);
                prepare(&mut store);
                let call = call.run(&mut store, program.clone());
                let ended = self.to_end(Box::pin(call)).await;
                let ended = self.judge(ended, store.data().memory());
                self.write_down(ended.ending(), store.data().memory());
                drop(written);
            }
            Err(error) => {
                self.fate
                    .set(self.failed(error.reason(), error.to_string()));
            }
        }
        drop(slot);
    }

    /// Writes down how a call ended before its store goes, whose end closes the answer: also where
    /// this is dropped or panics, the ending stands before anybody can ask for it.
    fn write_down(&self, ending: Ending, memory: &MemoryLimit) {
        self.function.observe_memory(memory.used_bytes());
        self.fate.set(ending);
    }

    /// Runs a call until it returns or has to end.
    async fn to_end<R>(
        &self,
        call: BoxFuture<'_, wasmtime::Result<R>>,
    ) -> Result<wasmtime::Result<R>, Ending> {
        let cpu = self.version.limits().cpu;
        let metered = Metered::new(
            call,
            cpu,
            Arc::clone(&self.function),
            Arc::clone(&self.host.runnable),
            Arc::clone(&self.worker),
        );
        tokio::select! {
            // First: most guests end in one go, and then there is nothing to wait for.
            biased;
            result = metered => result.map_err(|OutOfCpu| {
                let milliseconds = cpu.as_millis();
                let message = format!("the function used more than its {milliseconds} ms of CPU time");
                self.failed(AnswerReason::OutOfCpu, message)
            }),
            () = sleep_until(self.deadline) => {
                Err(self.failed(AnswerReason::Timeout, self.too_late()))
            }
            () = self.fate.stopped() => Err(Ending::Returned),
        }
    }

    /// What became of a call in a store with this `memory`.
    fn judge<R>(
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

    fn too_late(&self) -> String {
        let seconds = self.version.limits().timeout.as_secs();
        format!("the function took longer than its {seconds} s")
    }

    fn trapped(&self, memory: &MemoryLimit, error: &wasmtime::Error) -> Ending {
        if error.is::<PoolConcurrencyLimitError>() {
            // Parts of instances run short before instances do: the next one finds some.
            while self.host.pools.let_go_of(self.module.engine().slots()) {}
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

/// A request that failed in an `instance`, to be run once more; nothing, where anything of it has been
/// seen outside.
fn taken_back(
    instance: &mut Instance,
    probation: Probation,
) -> Option<(Request<AnswerBody>, Unanswered)> {
    if instance.sandbox().has_acted() {
        probation.pass_error_on();
        return None;
    }
    probation.take_back()
}

/// Passes an answer on when it begins.
fn begin(sender: oneshot::Sender<Said>) -> Begin {
    let say = say(sender);
    Box::new(|answer| say(Ok(answer)))
}

/// Passes on what a guest says.
fn say(sender: oneshot::Sender<Said>) -> impl FnOnce(Said) + Send + Sync + 'static {
    move |said| {
        // Where nobody waits for it any more, the guest is ended anyway.
        let _ = sender.send(said);
    }
}

/// Has the clock interrupt what runs in a store.
fn prepare<T: 'static>(store: &mut Store<T>) {
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|_| Ok(slice::tick()));
}
