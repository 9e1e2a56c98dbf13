//! Runs a shared instance, until nobody is left in it.

use std::{
    future::poll_fn,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, OnceLock},
};

use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::mpsc,
    task::unconstrained,
    time::{Instant, sleep_until},
};
use wasmtime::{Result, component::Accessor};
use wasmtime_wasi_http::p3::bindings::Service;

use super::{Book, Seat, Shared, Visit};
use crate::{
    sandbox::{Limited, Sandbox},
    serve::{
        account::Account,
        admission::Permit,
        component::{Entry, name_of},
        ending::{Ending, Failure},
        meter::{Metered, OutOfCpu, group_of},
        reuse::{Discard, Instance},
        run::{begin, prepare},
        site::Site,
        weighed::weighed,
    },
    service,
};

/// Has others join `instance`, which a request has come to that has to be answered by `deadline`: its
/// seat.
pub(in crate::serve) fn open(
    instance: Box<Instance>,
    site: &Site,
    deadline: Instant,
) -> Option<Seat> {
    let most = site.version.reuse()?.most_at_once();
    let (sender, visits) = mpsc::unbounded_channel();
    // One that may still come is the one that has.
    let left = instance.left() + 1;
    let book = Book::new(most, left, site.version.limits().cpu);
    let shared = Arc::new(Shared {
        version: Arc::clone(&site.version),
        module: Arc::clone(&site.module),
        book: Mutex::new(book),
        visits: sender,
        reused: instance.reused(),
        closed: OnceLock::new(),
        fates: Mutex::default(),
        deadline: Mutex::new(deadline),
    });
    let seat = shared.enter()?;
    let hosted = Hosted::new(Arc::clone(&shared), site.clone());
    let group = group_of(&site.function);
    let run = weighed(
        hosted.run(instance, visits),
        Arc::clone(&site.worker),
        group,
    );
    // Who is there when it panics is told so. It stops for its turns, not where many at once use up what
    // tokio lets one task do.
    let run = unconstrained(AssertUnwindSafe(run).catch_unwind());
    site.worker.guests().spawn(run);
    Some(seat)
}

/// An instance that others can join, until this is dropped.
struct Hosted {
    shared: Arc<Shared>,
    site: Site,
}

impl Hosted {
    fn new(shared: Arc<Shared>, site: Site) -> Self {
        site.worker.pool().open().add(&shared);
        Self { shared, site }
    }

    async fn run(self, mut instance: Box<Instance>, mut visits: mpsc::UnboundedReceiver<Visit>) {
        // Dropped before the instance, with which answers end.
        let _told = Told(&self.shared);
        let (store, entry) = instance.parts();
        let Entry::Service(service) = entry else {
            return;
        };
        prepare(store);
        let call = store.run_concurrent(async |accessor| {
            let party = Party {
                accessor,
                service,
                hosted: &self,
            };
            party.serve(&mut visits).await
        });
        let metered = Metered::new(
            Box::pin(call),
            Account::Shared(Arc::clone(&self.shared)),
            Arc::clone(&self.site.function),
            Arc::clone(&self.site.host.runnable),
            Arc::clone(&self.site.worker),
        );
        let ended = tokio::select! {
            biased;
            ended = metered => Some(ended.map(Result::flatten)),
            () = self.overdue() => None,
        };
        self.close(ended, instance);
        while let Ok(visit) = visits.try_recv() {
            let _ = visit.done.send(Ending::NotBegun);
        }
    }

    /// Until the time of all is up who came: nobody waits for the guest any more.
    async fn overdue(&self) {
        loop {
            let deadline = *self.shared.deadline();
            sleep_until(deadline).await;
            if *self.shared.deadline() <= deadline {
                return;
            }
        }
    }

    /// Writes down what became of those who are still there, and keeps the instance if it may be kept.
    /// Nothing has `ended`, where its time is up.
    fn close(&self, ended: Option<Result<Result<()>, OutOfCpu>>, mut instance: Box<Instance>) {
        let memory = instance.sandbox().memory();
        self.site.function.observe_memory(memory.used_bytes());
        let ending = match ended {
            Some(Ok(Ok(()))) => None,
            Some(Ok(Err(error))) => Some(self.site.trapped(memory, &error)),
            Some(Err(OutOfCpu)) => Some(self.site.out_of_cpu()),
            None => Some(self.site.too_late()),
        };
        let flaw = match ending {
            None => self.shared.closed.get().copied(),
            Some(ending) => {
                self.shared.end_all(&ending);
                Some(Discard::Failed)
            }
        };
        self.shared.close(flaw.unwrap_or(Discard::Idle));
        instance.has_left(self.shared.book().left());
        self.site.keep(instance, flaw);
    }
}

/// Whoever is still there when this is dropped is told that the pod failed, unless it was told more.
struct Told<'a>(&'a Shared);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.0.end_all(&Ending::Failed(Failure::of_pod()));
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        self.site.worker.pool().open().remove(&self.shared);
    }
}

/// All who are in an instance.
struct Party<'a> {
    accessor: &'a Accessor<Sandbox>,
    service: &'a Service,
    hosted: &'a Hosted,
}

impl Party<'_> {
    /// Serves all who come, until nobody is left and nothing that they began.
    async fn serve(&self, visits: &mut mpsc::UnboundedReceiver<Visit>) -> Result<()> {
        let mut present = FuturesUnordered::new();
        let mut is_first = true;
        // What the last one leaves behind counts as its request.
        let mut last_permit = None;
        loop {
            tokio::select! {
                biased;
                Some(ended) = present.next() => {
                    let permit: Arc<Permit> = ended?;
                    last_permit = present.is_empty().then_some(permit);
                }
                Some(visit) = visits.recv() => {
                    last_permit = None;
                    present.push(self.one(visit, is_first));
                    is_first = false;
                }
                () = self.settled(), if present.is_empty() => break,
            }
        }
        drop(last_permit);
        Ok(())
    }

    /// Until what was begun has ended; at once, where some of it is for nobody.
    async fn settled(&self) {
        if self.hosted.shared.closed.get() != Some(&Discard::Failed) {
            poll_fn(|context| self.accessor.poll_no_interesting_tasks(context)).await;
        }
    }

    /// Serves one request, which has the instance for itself until another comes if it is the first one.
    /// Fails where the instance does.
    async fn one(&self, visit: Visit, is_first: bool) -> Result<Arc<Permit>> {
        let Hosted { shared, site } = self.hosted;
        let Visit {
            request,
            ticket,
            fate,
            permit,
            answer,
            mut done,
        } = visit;
        if !shared.begin(ticket, &fate) {
            return Ok(permit);
        }
        let name = is_first.then(|| name_of(&request));
        let limits = site.version.limits();
        self.accessor
            .with(|mut store| store.get().begin(name, limits));
        let call = service::join(self.service, self.accessor, request, begin(answer));
        let ending = tokio::select! {
            biased;
            result = call => match result {
                Ok(()) => Ending::Returned,
                Err(error) if error.is::<service::GaveUp>() => site.gave_up(&error),
                Err(error) => return Err(error),
            },
            // Its time is up, its client gone, or it is too large: what the guest does about it cannot
            // be stopped without the others.
            () = done.closed() => return Ok(permit),
        };
        shared.leave(ticket);
        if fate.failure().is_some() || self.has_been_refused_memory() {
            shared.close(Discard::Failed);
        } else if !fate.is_request_over() {
            shared.close(Discard::Held);
        }
        // Where nobody waits for it any more, it has left by itself.
        let _ = done.send(ending);
        Ok(permit)
    }

    /// What a guest does after it was refused memory is not known to be sound, and errors of others would
    /// be taken for that.
    fn has_been_refused_memory(&self) -> bool {
        self.accessor
            .with(|mut store| store.get().memory().exceeded().is_some())
    }
}
