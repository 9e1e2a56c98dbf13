//! Puts the parts together and runs them.

use std::{convert::Infallible, sync::Arc};

use futures::{StreamExt, stream};
use kube::{
    Client,
    runtime::{
        applier, controller,
        controller::ReconcileRequest,
        events::{Recorder, Reporter},
        reflector::ObjectRef,
    },
};
use thiserror::Error;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
};

use crate::{
    args::Args,
    backoff::Backoff,
    caches::{self, Guarded},
    config::{Config, ConfigError},
    context::Context,
    follow::{Followers, Knowledge},
    health::{self, Health, HealthError},
    host_table::HostTables,
    leader::{Candidate, LeaderError},
    master_key::{self, MasterKeyError},
    metrics::Metrics,
    news::News,
    reconcile::{self, Applier, Pacing, Recent},
    remove,
    scale::Scaler,
    wake::Wakes,
};

/// Reconciles that run at the same time.
const CONCURRENCY: u16 = 64;

/// Why the operator ends.
#[derive(Debug, Error)]
pub enum RunError {
    /// The settings cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no way to the API server.
    #[error("cannot find the API server")]
    Client(#[source] kube::Error),
    /// There is no master key.
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    /// Probes and metrics cannot be served.
    #[error(transparent)]
    Health(#[from] HealthError),
    /// Signals cannot be heard.
    #[error("cannot listen to signals")]
    Signal(#[source] std::io::Error),
    /// Another operator leads.
    #[error("this operator leads no more")]
    Leader(#[from] LeaderError),
    /// The master key was replaced: what was derived from the old one is worth nothing.
    #[error("the master key is another one now; starting anew")]
    KeyReplaced,
    /// A part ended by itself.
    #[error("the watches have ended")]
    Ended,
}

async fn client() -> Result<Client, kube::Error> {
    let config = kube::Config::infer().await;
    wasmfn_api_server::client(config.map_err(kube::Error::InferConfig)?)
}

/// Runs the operator until it is told to go.
///
/// # Errors
/// [`RunError`] says why it ended before.
pub async fn run(args: Args) -> Result<(), RunError> {
    let config = Config::load(&args.config)?;
    let client = client().await.map_err(RunError::Client)?;
    let metrics = Metrics::new();
    let health = Health::new(metrics.clone());
    let listener = health::listen(args.admin_address).await?;
    let probes = tokio::spawn(health::serve(listener, health.clone()));
    let master_key = master_key::load(client.clone(), &args.namespace).await?;

    let (caches, writers) = caches::caches();
    let caches = Arc::new(caches);
    metrics.counts(caches.functions.clone());
    let functions = Arc::new(Wakes::default());
    let namespaces = Arc::new(Wakes::default());
    let knowledge = Arc::new(Knowledge::new(
        Arc::clone(&functions),
        Arc::clone(&namespaces),
    ));
    let followers = Followers::new(Arc::clone(&knowledge), master_key.clone(), &args.namespace);
    let context = Arc::new(Context {
        client: client.clone(),
        hosts: HostTables::new(config.hosts.clone()),
        config,
        namespace: args.namespace.clone(),
        master_key,
        applier: Applier::new(client.clone(), Arc::clone(&caches)),
        caches: Arc::clone(&caches),
        knowledge,
        functions,
        namespaces,
        removal: Notify::new(),
        pacing: Pacing::default(),
        recent: Recent::default(),
        backoff: Backoff::default(),
        recorder: Recorder::new(client.clone(), reporter(&args.pod_name)),
        metrics,
    });
    let news = Arc::new(News::new(Arc::clone(&context), followers));
    let watches = tokio::spawn(writers.run(client.clone(), news));
    let replaced = master_key::replaced(client.clone(), &args.namespace, &context.master_key);
    let mut candidate = Candidate::new(client, &args.namespace, &args.pod_name);
    let outcome = tokio::select! {
        outcome = lead(&context, &health, &mut candidate) => outcome,
        _ = watches => Err(RunError::Ended),
        served = probes => served.map_or(Err(RunError::Ended), |served| served.map_err(RunError::from)),
        told = told_to_go() => told,
        () = replaced => Err(RunError::KeyReplaced),
    };
    if matches!(outcome, Ok(()) | Err(RunError::KeyReplaced)) {
        tracing::info!("going");
        candidate.release().await;
    }
    outcome
}

fn reporter(pod_name: &str) -> Reporter {
    Reporter {
        controller: "wasmfn-operator".to_owned(),
        instance: Some(pod_name.to_owned()),
    }
}

/// Waits for the caches and for the Lease; then writes, for as long as it has the Lease.
async fn lead(
    context: &Arc<Context>,
    health: &Health,
    candidate: &mut Candidate,
) -> Result<(), RunError> {
    context.caches.ready().await;
    health.ready();
    tracing::info!("the caches are filled");
    let mut scaler = Scaler::new(Arc::clone(context));
    tokio::select! {
        () = candidate.acquire() => {}
        // Whoever takes over decides from knowledge.
        () = scaler.watch() => return Err(RunError::Ended),
    }
    context.metrics.leads();
    tracing::info!("this operator leads");
    context.functions.wake_all(context.caches.function_keys());
    tokio::select! {
        lost = candidate.hold() => Err(lost.into()),
        () = reconcile_all(context) => Err(RunError::Ended),
        () = scaler.run() => Err(RunError::Ended),
        () = remove::run(Arc::clone(context)) => Err(RunError::Ended),
    }
}

/// Reconciles each function that is woken.
async fn reconcile_all(context: &Arc<Context>) {
    let woken = Arc::clone(&context.functions);
    let queue = stream::unfold(woken, |woken| async move {
        let key = woken.next().await;
        let object = ObjectRef::<Guarded>::new(&key.name).within(&key.namespace);
        Some((Ok::<_, Infallible>(ReconcileRequest::from(object)), woken))
    });
    applier(
        |object, context| Box::pin(reconcile::reconcile(object, context)),
        |object, error, context| reconcile::after_error(&object, error, &context),
        Arc::clone(context),
        context.caches.functions.clone(),
        queue,
        controller::Config::default().concurrency(CONCURRENCY),
    )
    // Failures were told by then, and what was removed in the meantime needs nothing.
    .for_each(|_| std::future::ready(()))
    .await;
}

async fn told_to_go() -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signal)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
