//! Runs a shared instance, until nobody is left in it.

use std::{
    future::poll_fn,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, OnceLock},
};

use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use tokio::{sync::mpsc, time::timeout_at};
use wasmtime::{Result, component::Accessor};
use wasmtime_wasi_http::p3::bindings::Service;

use super::{Book, Seat, Shared, Visit};
use crate::{
    sandbox::{Limited, Sandbox},
    serve::{
        account::Account,
        component::{Entry, name_of},
        ending::Ending,
        meter::{Metered, OutOfCpu, group_of},
        reuse::{Discard, Instance},
        run::{begin, prepare},
        site::Site,
        weighed::weighed,
    },
    service,
};

/// Has others join `instance`, which a request has come to: its seat.
pub(in crate::serve) fn open(instance: Box<Instance>, site: &Site) -> Option<Seat> {
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
        ending: OnceLock::new(),
        deadline: Mutex::default(),
    });
    let seat = shared.enter()?;
    let hosted = Hosted::new(Arc::clone(&shared), site.clone());
    let group = group_of(&site.function);
    let run = weighed(
        hosted.run(instance, visits),
        Arc::clone(&site.worker),
        group,
    );
    // Who is there when it panics finds that nobody is left to tell how it ended.
    let run = AssertUnwindSafe(run).catch_unwind();
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
        let ended = metered.await;
        self.close(ended.map(Result::flatten), instance);
        while let Ok(visit) = visits.try_recv() {
            let _ = visit.done.send(Ending::NotBegun);
        }
    }

    /// Writes down what became of those who are still there, and keeps the instance if it may be kept.
    fn close(&self, ended: Result<Result<()>, OutOfCpu>, mut instance: Box<Instance>) {
        let memory = instance.sandbox().memory();
        self.site.function.observe_memory(memory.used_bytes());
        let ending = match ended {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(self.site.trapped(memory, &error)),
            Err(OutOfCpu) => Some(self.site.out_of_cpu()),
        };
        let flaw = match ending {
            None => self.shared.closed.get().copied(),
            Some(ending) => {
                let _ = self.shared.ending.set(ending);
                Some(Discard::Failed)
            }
        };
        self.shared.close(flaw.unwrap_or(Discard::Idle));
        instance.has_left(self.shared.book().left());
        self.site.keep(instance, flaw);
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
        loop {
            tokio::select! {
                biased;
                Some(ended) = present.next() => ended?,
                Some(visit) = visits.recv() => present.push(self.one(visit)),
                () = self.settled(), if present.is_empty() => return Ok(()),
            }
        }
    }

    /// Until what was begun has ended; at once, where the instance is not kept.
    async fn settled(&self) {
        let shared = &self.hosted.shared;
        if shared.closed.get().is_some() {
            return;
        }
        let settled = poll_fn(|context| self.accessor.poll_no_interesting_tasks(context));
        let deadline = *shared.deadline();
        match deadline {
            Some(deadline) => {
                if timeout_at(deadline, settled).await.is_err() {
                    shared.close(Discard::Failed);
                }
            }
            None => settled.await,
        }
    }

    /// Serves one request. Fails where the instance does.
    async fn one(&self, visit: Visit) -> Result<()> {
        let Hosted { shared, site } = self.hosted;
        let Visit {
            request,
            fate,
            answer,
            mut done,
            seat,
        } = visit;
        let is_alone = shared.book().present() == 1;
        let name = is_alone.then(|| name_of(&request));
        let limits = site.version.limits();
        self.accessor
            .with(|mut store| store.get().begin(name, limits));
        let call = service::join(self.service, self.accessor, request, begin(answer));
        let ending = tokio::select! {
            biased;
            result = call => match result {
                Ok(()) => Ending::Returned,
                Err(error) if error.is::<service::GaveUp>() => {
                    let judge = |sandbox: &Sandbox| site.trapped(sandbox.memory(), &error);
                    self.accessor.with(|mut store| judge(store.get()))
                }
                Err(error) => return Err(error),
            },
            // Its time is up, its client gone, or it is too large: what the guest does about it cannot
            // be stopped without the others.
            () = done.closed() => {
                shared.close(Discard::Failed);
                return Ok(());
            }
        };
        if !fate.is_request_over() {
            shared.close(Discard::Held);
        }
        drop(seat);
        // Where nobody waits for it any more, it has left by itself.
        let _ = done.send(ending);
        Ok(())
    }
}
