//! Puts the parts together.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroUsize,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32},
    },
};

use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};

use crate::{
    admin::{self, Admin},
    budget::Budget,
    changes::Changes,
    engine::{EngineError, EngineSet, Slots},
    function::{FunctionTable, ResolutionAuthority, Supervisor},
    loader::Loader,
    manager::Manager,
    metrics::Metrics,
    name_resolver::NameResolver,
    references::References,
    registry::Registry,
    report::{Picture, Pod},
    sandbox::{Outbound, OwnHosts},
    serve::{self, Admission, Closing, DataPort, Handler, Host, Observer, Trust},
    siblings::{self, Siblings},
    source::FunctionSource,
    store::ModuleStore,
    tokens::Tokens,
};

/// Requests at the same time, of all functions. Each engine has as many slots, where the address
/// space suffices.
const SLOTS: u32 = 1000;

/// What a runtime needs to know.
pub struct Settings {
    /// Which pod it is.
    pub pod: Pod,
    /// Threads that serve.
    pub threads: NonZeroUsize,
    /// Memory that guests, code and compilation may use.
    pub memory_budget_bytes: u64,
    /// Largest module.
    pub module_max_bytes: u64,
    /// Where module bytes are kept; nowhere, where unset.
    pub module_folder: Option<PathBuf>,
    /// Where Secrets and `ConfigMap`s are projected.
    pub references_folder: Option<PathBuf>,
    /// Whose word counts for what a tag stands for.
    pub authority: ResolutionAuthority,
    /// Whom the data port believes.
    pub trust: Trust,
    /// Who is asked for modules before the registry.
    pub siblings: Option<Siblings>,
    /// Hosts of the cluster that no function may call.
    pub own_hosts: OwnHosts,
    /// Is told of each request.
    pub observer: Option<Observer>,
}

/// The runtime could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The engine's part.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The folder for modules cannot be made.
    #[error("the folder for modules cannot be made")]
    ModuleFolder(#[source] io::Error),
    /// A port cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The threads that serve.
    #[error("the threads that serve cannot start")]
    Threads(#[source] io::Error),
}

/// Functions, held and served.
pub struct Runtime {
    picture: Arc<Picture>,
    metrics: Arc<Metrics>,
    handler: Arc<Handler>,
    store: ModuleStore,
    engines: Arc<EngineSet>,
    closing: Closing,
    tasks: JoinSet<()>,
}

impl Runtime {
    /// Holds what `source` names, from now on until dropped. Nothing listens yet.
    ///
    /// # Errors
    /// [`StartError`] if the engine cannot start or the folder cannot be made.
    pub fn start(
        settings: Settings,
        source: FunctionSource,
        registry: Arc<dyn Registry>,
        resolver: NameResolver,
    ) -> Result<Self, StartError> {
        let budget = Budget::new(settings.memory_budget_bytes);
        let engines = EngineSet::new(SLOTS, Arc::clone(&budget))?;
        let store = match &settings.module_folder {
            Some(folder) => ModuleStore::open(folder).map_err(StartError::ModuleFolder)?,
            None => ModuleStore::nowhere(),
        };
        let functions = Arc::new(FunctionTable::default());
        let admission = Arc::new(Admission::new(budget, Slots::new(SLOTS)));
        let runnable = Arc::new(AtomicU32::new(0));
        let metrics = Arc::new(Metrics::default());
        let picture = Arc::new(Picture {
            pod: settings.pod,
            functions: Arc::clone(&functions),
            admission: Arc::clone(&admission),
            runnable: Arc::clone(&runnable),
            threads: settings.threads,
            changes: Arc::new(Changes::default()),
            is_in_sync: AtomicBool::new(false),
            is_leaving: AtomicBool::new(false),
        });
        let references = References::new(settings.references_folder);
        let loader = Loader::new(
            Arc::clone(&engines),
            registry,
            store.clone(),
            settings.siblings,
            settings.module_max_bytes,
        );
        let manager = Manager {
            supervisor: Supervisor {
                loader: Arc::new(loader),
                references: Arc::clone(&references),
                authority: settings.authority,
            },
            functions: Arc::clone(&functions),
            picture: Arc::clone(&picture),
            metrics: Arc::clone(&metrics),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(manager.run(source));
        tasks.spawn(async move { references.watch().await });
        let host = Host {
            outbound: Arc::new(Outbound::new(Arc::new(resolver), settings.own_hosts)),
            runnable,
        };
        let handler = Handler::new(
            functions,
            admission,
            settings.trust,
            host,
            Arc::clone(&metrics),
            settings.observer,
        );
        Ok(Self {
            picture,
            metrics,
            handler: Arc::new(handler),
            store,
            engines,
            closing: Closing::default(),
            tasks,
        })
    }

    /// Serves requests on `port` until [`Runtime::close`], on a thread for each of its sockets; the
    /// task ends when the last connection has.
    ///
    /// # Errors
    /// [`StartError::Threads`].
    pub fn serve_data(&self, port: DataPort) -> Result<JoinHandle<()>, StartError> {
        serve::serve(port, &self.handler, &self.engines, &self.closing).map_err(StartError::Threads)
    }

    /// Shows probes, state and metrics on `listener`. `is_gone` turns the readiness off.
    pub fn serve_admin(
        &mut self,
        listener: TcpListener,
        tokens: Arc<Tokens>,
        is_gone: Arc<AtomicBool>,
    ) {
        let router = admin::router(Admin {
            picture: Arc::clone(&self.picture),
            metrics: Arc::clone(&self.metrics),
            tokens,
            is_gone,
        });
        self.tasks.spawn(serve_router(listener, router));
    }

    /// Passes modules on to siblings on `listener`.
    pub fn serve_modules(&mut self, listener: TcpListener, tokens: Arc<Tokens>) {
        let router = siblings::router(self.store.clone(), tokens);
        self.tasks.spawn(serve_router(listener, router));
    }

    /// What the pod says about itself.
    #[must_use]
    pub const fn picture(&self) -> &Arc<Picture> {
        &self.picture
    }

    /// What serves requests.
    #[must_use]
    pub const fn handler(&self) -> &Arc<Handler> {
        &self.handler
    }

    /// Says that this process will end; requests are served as before.
    pub fn leave(&self) {
        self.picture.leaving();
        self.handler.leave();
    }

    /// Lets no further request begin, and connections end after those that they carry.
    pub fn close(&self) {
        self.handler.close();
        self.closing.gently.cancel();
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.closing.at_once.cancel();
    }
}

async fn serve_router(listener: TcpListener, router: axum::Router) {
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "a port is lost");
    }
}

/// Listens on `port` of all interfaces for requests, with a socket for each of `threads`.
///
/// # Errors
/// [`StartError::Listen`].
pub async fn listen_for_requests(port: u16, threads: NonZeroUsize) -> Result<DataPort, StartError> {
    match bind((Ipv6Addr::UNSPECIFIED, port).into(), threads).await {
        Ok(port) => Ok(port),
        Err(_) => bind((Ipv4Addr::UNSPECIFIED, port).into(), threads).await,
    }
}

/// Listens on `address` for requests, with a socket for each of `threads`.
///
/// # Errors
/// [`StartError::Listen`].
pub async fn bind(address: SocketAddr, threads: NonZeroUsize) -> Result<DataPort, StartError> {
    DataPort::bind(address, threads)
        .await
        .map_err(|source| StartError::Listen { address, source })
}

/// Listens on `port` of all interfaces: of both families, or of IPv4 alone where a machine has no
/// other.
///
/// # Errors
/// [`StartError::Listen`].
pub async fn listen_everywhere(port: u16) -> Result<TcpListener, StartError> {
    match listen((Ipv6Addr::UNSPECIFIED, port).into()).await {
        Ok(listener) => Ok(listener),
        Err(_) => listen((Ipv4Addr::UNSPECIFIED, port).into()).await,
    }
}

/// Listens on `address`.
///
/// # Errors
/// [`StartError::Listen`].
pub async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen { address, source })
}
