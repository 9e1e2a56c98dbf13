//! The runtime pod's process: fed from the API server, restored from disk, drained on SIGTERM.

mod descriptors;
mod feed;
mod keys;
mod log_filter;
mod settings;
mod termination;
mod watch;

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use kube::{Client, Config};
use tokio::{sync::watch::channel, time::sleep_until};
use wasmfn_crds::names::{RUNTIME_ADMIN_PORT, RUNTIME_DATA_PORT, RUNTIME_MODULE_PORT};

pub use log_filter::log_filter;
pub use settings::PodSettings;

use crate::{
    code::Seal,
    compile::Program,
    drain::Drain,
    function::ResolutionAuthority,
    memory_budget_bytes,
    name_resolver::{NameResolver, NameResolverError},
    registry::OciRegistry,
    report::Pod,
    runtime::{Runtime, SLOTS, Settings, StartError, listen_everywhere, listen_for_requests},
    sandbox::{OwnHosts, keyvalue::Offers},
    serve::{Trust, default_threads},
    siblings::Siblings,
    store::FunctionStore,
    tokens::Tokens,
};

/// The process could not start.
#[derive(Debug, thiserror::Error)]
pub enum PodError {
    /// The runtime's part.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Names cannot be looked up.
    #[error(transparent)]
    Resolver(#[from] NameResolverError),
    /// The emptyDir cannot be used.
    #[error("the state folder cannot be used")]
    State(#[source] std::io::Error),
    /// There is no service account.
    #[error("the API server's address or the service account is missing")]
    InCluster(#[source] kube::config::InClusterError),
    /// The client cannot be made.
    #[error("the client of the API server cannot be made")]
    Client(#[source] kube::Error),
    /// Signals cannot be received.
    #[error("signals cannot be received")]
    Signals(#[source] std::io::Error),
}

/// Runs the pod until it was told to go and has gone.
///
/// # Errors
/// [`PodError`] if it cannot start.
pub async fn run(settings: PodSettings) -> Result<(), PodError> {
    let mut termination = termination::Termination::listen().map_err(PodError::Signals)?;
    descriptors::raise_limit();
    let tokens = Tokens::open(settings.keys_folder.clone());
    let resolver = NameResolver::from_system()?;
    let store = FunctionStore::open(&settings.state_folder).map_err(PodError::State)?;
    let (sender, source) = channel(store.read().map(Arc::new));
    if sender.borrow().is_some() {
        tracing::info!("the function list was restored from disk");
    }
    let feed = feed::Feed::new(&settings, sender);
    let writing = tokio::spawn(feed::persist(store, source.clone()));
    let config = Config::incluster_env().map_err(PodError::InCluster)?;
    let client = wasmfn_api_server::client(config).map_err(PodError::Client)?;
    let following = tokio::spawn(follow(
        client,
        settings.namespace.clone(),
        Arc::clone(&tokens),
        feed,
    ));

    let registry = OciRegistry::new(
        resolver.clone(),
        settings.plain_http_registries.clone(),
        &settings.roots,
    );
    let mut runtime = Runtime::start(
        runtime_settings(&settings, &tokens, &resolver),
        source,
        Arc::new(registry),
        resolver,
    )?;
    let is_gone = Arc::new(AtomicBool::new(false));
    let admin = listen_everywhere(RUNTIME_ADMIN_PORT).await?;
    runtime.serve_admin(admin, Arc::clone(&tokens), Arc::clone(&is_gone));
    let modules = listen_everywhere(RUNTIME_MODULE_PORT).await?;
    runtime.serve_modules(modules, Arc::clone(&tokens));
    tokio::select! {
        () = tokens.complete() => {
            let data = listen_for_requests(RUNTIME_DATA_PORT, threads(&settings)).await?;
            let connections = runtime.serve_data(data)?;
            termination.told().await;
            leave(&settings, &runtime, &is_gone, connections).await;
        }
        () = termination.told() => tracing::info!("told to go before there was a token"),
    }
    runtime.end();
    following.abort();
    writing.abort();
    Ok(())
}

/// Follows the API server for ever. Functions come after the tokens: their code is sealed with one.
async fn follow(client: Client, namespace: String, tokens: Arc<Tokens>, feed: feed::Feed) {
    let functions = async {
        tokens.complete().await;
        watch::follow(client.clone(), namespace.clone(), feed).await;
    };
    let keys = keys::follow(client.clone(), namespace.clone(), Arc::clone(&tokens));
    tokio::join!(keys, functions);
}

fn runtime_settings(
    settings: &PodSettings,
    tokens: &Arc<Tokens>,
    resolver: &NameResolver,
) -> Settings {
    let service = format!("{}.{}.svc", settings.runtime, settings.namespace);
    Settings {
        pod: Pod {
            name: settings.pod_name.clone(),
            runtime: settings.runtime.clone(),
        },
        threads: threads(settings),
        memory_budget_bytes: memory_budget_bytes(),
        slots: SLOTS,
        module_max_bytes: settings.module_max_bytes,
        state_folder: Some(settings.state_folder.clone()),
        compiler: Program::ThisExecutable,
        seal: Seal::of_namespace(Arc::clone(tokens)),
        references_folder: Some(settings.references_folder.clone()),
        authority: ResolutionAuthority::Operator,
        trust: Trust::Gateways(Arc::clone(tokens)),
        siblings: Some(Siblings::new(resolver.clone(), service, Arc::clone(tokens))),
        stores: Offers::Named(settings.stores.0.clone()),
        roots: settings.roots.clone(),
        own_hosts: OwnHosts {
            api_server: settings.api_server.clone(),
            gateway: settings.gateway_host.clone(),
        },
        serves_wasi_0_3: settings.wasi_03,
        observer: None,
    }
}

fn threads(settings: &PodSettings) -> NonZeroUsize {
    settings.serving_threads.unwrap_or_else(default_threads)
}

/// Goes on accepting until gateways have let go, then lets what runs finish.
async fn leave(
    settings: &PodSettings,
    runtime: &Runtime,
    is_gone: &AtomicBool,
    connections: tokio::task::JoinHandle<()>,
) {
    let drain = Drain::new(
        Instant::now(),
        settings.drain_seconds,
        settings.grace_seconds,
    );
    tracing::info!("told to go");
    runtime.leave();
    loop {
        let closes_at = drain.closes_at(runtime.last_arrival());
        if closes_at <= Instant::now() {
            break;
        }
        sleep_until(closes_at.into()).await;
    }
    is_gone.store(true, Ordering::Release);
    runtime.close();
    tokio::select! {
        _ = connections => tracing::info!("all requests are finished"),
        () = sleep_until(drain.ends_at().into()) => {
            let left = runtime.picture().holdings().in_flight;
            tracing::warn!(left, "the grace period is over; requests are cut off");
        }
    }
}
