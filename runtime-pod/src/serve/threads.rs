//! The threads that serve: each has its own listener, its own executor, and the guests that began on
//! it. Nothing else runs there.

use std::{
    io,
    num::NonZeroUsize,
    sync::Arc,
    thread::{self, available_parallelism},
};

use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    sync::{Semaphore, mpsc},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{handler::Handler, listener, port::DataPort, worker::Worker};
use crate::engine::{Clock, EngineSet};

/// Connections at the same time, of all threads; further ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 4096;

/// Tasks that run before the thread looks for what has arrived. Tokio's default of 61 is made for
/// shorter ones: each of these may be the first slice of a guest.
const EVENT_INTERVAL: u32 = 8;

/// Threads that serve, unless somebody sets their number: one for each core that the process may
/// use, by its cgroup's quota and its affinity.
#[must_use]
pub fn default_threads() -> NonZeroUsize {
    available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// When the threads end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Closing {
    /// Connections end after the requests that they carry; then the threads do.
    pub(crate) gently: CancellationToken,
    /// The threads end, whatever runs.
    pub(crate) at_once: CancellationToken,
}

/// Serves the connections of `port`, on a thread for each of its listeners. The task ends when all
/// threads have.
///
/// # Errors
/// If a thread or its executor cannot be made.
pub(crate) fn serve(
    port: DataPort,
    handler: &Arc<Handler>,
    engines: &EngineSet,
    closing: &Closing,
) -> io::Result<JoinHandle<()>> {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (alive, mut ended) = mpsc::channel::<()>(1);
    for (index, listener) in port.into_listeners().into_iter().enumerate() {
        let server = Thread {
            runtime: Builder::new_current_thread()
                .enable_all()
                .event_interval(EVENT_INTERVAL)
                .build()?,
            listener,
            handler: Arc::clone(handler),
            clock: engines.clock(),
            connections: Arc::clone(&connections),
            closing: closing.clone(),
            _alive: alive.clone(),
        };
        thread::Builder::new()
            .name(format!("serve-{index}"))
            .spawn(move || server.run())?;
    }
    Ok(tokio::spawn(async move {
        // Nothing is ever sent: it ends when the last thread has.
        ended.recv().await;
    }))
}

/// One thread.
struct Thread {
    runtime: Runtime,
    listener: std::net::TcpListener,
    handler: Arc<Handler>,
    clock: Clock,
    connections: Arc<Semaphore>,
    closing: Closing,
    _alive: mpsc::Sender<()>,
}

impl Thread {
    fn run(self) {
        let Self {
            runtime,
            listener,
            handler,
            clock,
            connections,
            closing,
            _alive,
        } = self;
        let served = runtime.block_on(async {
            let listener = TcpListener::from_std(listener)?;
            let worker = Worker::start(clock, handler.pools());
            tokio::select! {
                () = listener::serve(listener, handler, &worker, &connections, &closing.gently) => {}
                () = closing.at_once.cancelled() => {}
            }
            Ok::<_, io::Error>(())
        });
        if let Err(error) = served {
            tracing::error!(%error, "a thread cannot serve");
        }
        runtime.shutdown_background();
    }
}
