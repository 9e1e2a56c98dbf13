//! Runs one request within its limits: in a fresh instance, or in one that has served others of the
//! same version.

use std::sync::Arc;

use futures::future::BoxFuture;
use http::Request;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};
use wasmtime::{InstancePre, Store};

use super::{
    account::Account,
    admission::{Admitted, Permit, Place},
    answer::AnswerBody,
    component::{Entry, name_of},
    ending::{Ending, Fate, WrittenDown},
    guest::{Job, Said},
    meter::{Metered, OutOfCpu},
    reuse::{Discard, Instance, Probation, Room, Unanswered},
    shared::{self, Luggage, Seat},
    site::{Ended, Site},
    slice,
};
use crate::{
    command::{Call, CommandSandbox, Surroundings, contract::Terms},
    engine::Guest as Kind,
    function::Reuse,
    sandbox::{Exceeded, Limited, MemoryLimit, RequestId, RequestLog},
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
        permit,
        site: Site {
            function: job.function,
            version,
            module,
            host: job.host,
            worker: job.worker,
        },
        deadline: job.deadline,
        fate: job.fate,
    };
    let request = job.request;
    let Site {
        version, module, ..
    } = &run.site;
    let reuse = version.reuse();
    match (module.guest(), version.terms(), place) {
        (Kind::Command(program), Some(terms), Place::Fresh(room)) => {
            run.command(program, terms, room, request, sender).await;
        }
        // Its ending, which nobody writes down, is that the pod failed.
        (Kind::Command(_), ..) => drop(WrittenDown::new(&run.fate)),
        (Kind::Service(_), _, place) if reuse.is_some_and(Reuse::shares) => {
            run.shared(place, request, sender).await;
        }
        (_, _, Place::Fresh(room)) => run.fresh(room, request, say(sender)).await,
        (_, _, Place::Kept(instance)) => match reuse {
            Some(reuse) if !reuse.is_trusted() => {
                // Boxed: what is rare makes no room necessary in every request's run.
                Box::pin(run.on_probation(reuse, instance, request, sender)).await;
            }
            _ => run.kept(instance, request, say(sender)).await,
        },
        // Reuse was given up since the request was admitted.
        (_, _, Place::Seat(seat)) => run.visit(seat, request, sender).await,
    }
}

/// One request's run.
struct Run {
    site: Site,
    deadline: Instant,
    fate: Arc<Fate>,
    permit: Arc<Permit>,
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
        let mut store = self.site.store(reservation);
        let written = WrittenDown::new(&self.fate);
        let tally = self.site.tally();
        let limits = self.site.version.limits();
        store.data_mut().begin(Some(name_of(&request)), limits);
        let lifetime = self.lifetime();
        prepare(&mut store);
        let call = async {
            let entry = Entry::new(self.site.module.guest(), &mut store).await?;
            if let Some(entry) = &entry {
                entry.call(&mut store, request, say, lifetime).await?;
            }
            Ok(entry)
        };
        let ended = self.to_end(Box::pin(call)).await;
        let ended = self.site.judge(ended, store.data().memory());
        self.write_down(ended.ending(), store.data().memory());
        drop(written);
        if let Ended::Returned(Some(entry)) = ended
            && let Some(tally) = tally
            && let Some(reuse) = self.site.version.reuse()
        {
            let instance = Instance::new((store, entry, slot), &self.site, reuse, tally);
            self.keep(instance);
        }
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
        if let Ended::Returned(()) = ended {
            self.keep(instance);
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
                self.keep(instance);
            }
            Ended::Returned(()) | Ended::Failed(_) if memory.exceeded() != Some(Exceeded::Pod) => {
                let ending = ended.ending();
                let Some((request, sender)) = taken_back(&mut instance, probation) else {
                    // Whether a fresh one would have failed as well cannot be told any more.
                    self.site.function.give_up_reuse(&self.site.version);
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
        let function = Arc::clone(&self.site.function);
        let version = Arc::clone(&self.site.version);
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
        let limits = self.site.version.limits();
        store.data_mut().begin(Some(name_of(&request)), limits);
        prepare(store);
        let call = entry.call(&mut *store, request, say, Lifetime::Longer);
        let ended = self.to_end(Box::pin(call)).await;
        self.site.judge(ended, store.data().memory())
    }

    fn lifetime(&self) -> Lifetime {
        if self.site.function.keeps(&self.site.version) {
            Lifetime::Longer
        } else {
            Lifetime::OneRequest
        }
    }

    /// Has an instance whose request has ended well wait for the next one, if it may.
    fn keep(&self, instance: Box<Instance>) {
        let flaw = if self.fate.failure().is_some() {
            Some(Discard::Failed)
        } else if self.fate.is_request_over() {
            None
        } else {
            Some(Discard::Held)
        };
        self.site.keep(instance, flaw);
    }

    /// Has an instance serve a request among others: the one that it has a seat in, or the one that it
    /// is the first to come to.
    async fn shared(
        &self,
        place: Place,
        request: Request<AnswerBody>,
        sender: oneshot::Sender<Said>,
    ) {
        let written = WrittenDown::new(&self.fate);
        let seat = match place {
            Place::Seat(seat) => Some(seat),
            Place::Kept(instance) => shared::open(instance, &self.site, self.deadline),
            Place::Fresh(room) => self.first(room).await,
        };
        if let Some(seat) = seat {
            self.visit(seat, request, sender).await;
        }
        drop(written);
    }

    async fn visit(&self, seat: Seat, request: Request<AnswerBody>, sender: oneshot::Sender<Said>) {
        let luggage = Luggage {
            request,
            sender,
            fate: &self.fate,
            permit: &self.permit,
            deadline: self.deadline,
        };
        let ending = seat.visit(luggage, &self.site).await;
        self.fate.set(ending);
    }

    /// A fresh instance for this request and others, or none: then the ending says why.
    async fn first(&self, room: Room) -> Option<Seat> {
        let Room { slot, reservation } = room;
        let mut store = self.site.store(reservation);
        let tally = self.site.tally();
        prepare(&mut store);
        let entry = Entry::new(self.site.module.guest(), &mut store);
        let ended = self.to_end(Box::pin(entry)).await;
        let ended = self.site.judge(ended, store.data().memory());
        if let Ended::Returned(Some(entry)) = ended {
            let reuse = self.site.version.reuse()?;
            let instance = Instance::new((store, entry, slot), &self.site, reuse, tally?);
            return shared::open(instance, &self.site, self.deadline);
        }
        self.write_down(ended.ending(), store.data().memory());
        None
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
        let log = RequestLog::new(Arc::clone(self.site.function.log()));
        log.serves(Some(RequestId::of(request.headers())));
        // Left after the store, which is made after it.
        let Room { slot, reservation } = room;
        let surroundings = Surroundings {
            version: &self.site.version,
            module: &self.site.module,
            function: &self.site.function.id().name,
            log: &log,
            reservation,
        };
        match Call::prepare(terms, request, surroundings, begin(sender)) {
            Ok((mut store, call)) => {
                let written = WrittenDown::new(&self.fate);
                prepare(&mut store);
                let call = call.run(&mut store, program.clone());
                let ended = self.to_end(Box::pin(call)).await;
                let ended = self.site.judge(ended, store.data().memory());
                self.write_down(ended.ending(), store.data().memory());
                drop(written);
            }
            Err(error) => {
                self.fate
                    .set(self.site.failed(error.reason(), error.to_string()));
            }
        }
        drop(slot);
    }

    /// Writes down how a call ended before its store goes, whose end closes the answer: also where
    /// this is dropped or panics, the ending stands before anybody can ask for it.
    fn write_down(&self, ending: Ending, memory: &MemoryLimit) {
        self.site.function.observe_memory(memory.used_bytes());
        self.fate.set(ending);
    }

    /// Runs a call until it returns or has to end.
    async fn to_end<R>(
        &self,
        call: BoxFuture<'_, wasmtime::Result<R>>,
    ) -> Result<wasmtime::Result<R>, Ending> {
        let metered = Metered::new(
            call,
            Account::of_one(self.site.version.limits().cpu),
            Arc::clone(&self.site.function),
            Arc::clone(&self.site.host.runnable),
            Arc::clone(&self.site.worker),
        );
        tokio::select! {
            // First: most guests end in one go, and then there is nothing to wait for.
            biased;
            result = metered => result.map_err(|OutOfCpu| self.site.out_of_cpu()),
            () = sleep_until(self.deadline) => Err(self.site.too_late()),
            () = self.fate.stopped() => Err(Ending::Returned),
        }
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
pub(super) fn begin(sender: oneshot::Sender<Said>) -> Begin {
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
pub(super) fn prepare<T: 'static>(store: &mut Store<T>) {
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|_| Ok(slice::tick()));
}
