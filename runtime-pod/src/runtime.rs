//! Puts the parts together.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU32},
    },
    time::{Duration, Instant},
};

use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet, spawn_blocking},
};

use crate::{
    admin::{self, Admin},
    budget::{Budget, Relief},
    changes::Changes,
    code::{CodeCache, Seal},
    compile::{Compiler, Program},
    engine::{EngineError, EngineSet, Slots},
    function::{FunctionTable, ResolutionAuthority, Supervisor},
    journal::Journal,
    loader::{Loader, Places, Texts},
    manager::Manager,
    metrics::Metrics,
    name_resolver::NameResolver,
    references::References,
    registry::Registry,
    report::{Picture, Pod},
    roots::Roots,
    sandbox::{
        Outbound, OwnHosts,
        keyvalue::{Offers, Stores},
    },
    serve::{self, Admission, Closing, DataPort, Handler, Host, Observer, Pools, Trust},
    siblings::{self, Asked, Claims, Offer, Siblings},
    source::FunctionSource,
    store::{CodeStore, ModuleStore},
    tokens::Tokens,
};

/// Requests that a pod serves at the same time, of all functions.
pub const SLOTS: u32 = 1000;

/// Part of the slots that instances may hold which wait for their next request, over all threads.
const WAITING_SHARE: u32 = 4;

/// How often the journal is told which functions run no more: one that stopped less than this
/// before a crash is taken to have been running.
const REST_LOOK: Duration = Duration::from_millis(200);

/// How often it is looked which modules are idle.
const IDLE_LOOK: Duration = Duration::from_secs(5);

/// What a runtime needs to know.
pub struct Settings {
    /// Which pod it is.
    pub pod: Pod,
    /// Threads that serve.
    pub threads: NonZeroUsize,
    /// Memory that guests, code and compilation may use.
    pub memory_budget_bytes: u64,
    /// Requests at the same time, of all functions. Each engine has room for as many instances, where
    /// the address space suffices.
    pub slots: u32,
    /// Largest module.
    pub module_max_bytes: u64,
    /// Where modules and compiled code are kept; nowhere, where unset.
    pub state_folder: Option<PathBuf>,
    /// What compiles modules.
    pub compiler: Program,
    /// What keeps foreign code out.
    pub seal: Seal,
    /// Where Secrets and `ConfigMap`s are projected.
    pub references_folder: Option<PathBuf>,
    /// Whose word counts for what a tag stands for.
    pub authority: ResolutionAuthority,
    /// Whom the data port believes.
    pub trust: Trust,
    /// Who is asked for modules before the registry.
    pub siblings: Option<Siblings>,
    /// Key-value stores that functions may be granted.
    pub stores: Offers,
    /// Whom guests' calls believe.
    pub roots: Roots,
    /// Hosts of the cluster that no function may call.
    pub own_hosts: OwnHosts,
    /// Whether WASI 0.3 services are served.
    pub serves_wasi_0_3: bool,
    /// Is told of each request.
    pub observer: Option<Observer>,
}

/// The runtime could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The engine's part.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The folders for modules and compiled code cannot be used.
    #[error("the folders for modules and compiled code cannot be used")]
    StateFolder(#[source] io::Error),
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
    modules: ModuleStore,
    code: Arc<CodeCache>,
    claims: Arc<Claims>,
    asked: Arc<Asked>,
    journal: Option<Arc<Journal>>,
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
        let engines = EngineSet::new(
            settings.slots,
            Arc::clone(&budget),
            settings.serves_wasi_0_3,
        )?;
        let (modules, store) = stores(settings.state_folder.as_deref(), settings.seal)?;
        let code = CodeCache::new(Arc::clone(&engines), store, budget.limit_bytes())?;
        let compiler = Compiler::new(settings.compiler, Arc::clone(&budget));
        let claims = Arc::new(Claims::default());
        let functions = Arc::new(FunctionTable::default());
        let share = settings.pod.share();
        let slots = Slots::new(settings.slots);
        let admission = Arc::new(Admission::new(Arc::clone(&budget), slots, share));
        let runnable = Arc::new(AtomicU32::new(0));
        let metrics = Arc::new(Metrics::default());
        let most = (settings.slots / WAITING_SHARE) as usize / settings.threads;
        let pools = Pools::new(most.max(1), Arc::clone(&metrics));
        budget.relieved_by(Arc::downgrade(&pools) as Weak<dyn Relief>);
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
        let loader = Loader {
            code: Arc::clone(&code),
            compiler,
            registry,
            modules: modules.clone(),
            siblings: settings.siblings,
            claims: Arc::clone(&claims),
            max_bytes: settings.module_max_bytes,
            metrics: Arc::clone(&metrics),
            places: Places::default(),
            texts: Texts::default(),
            turns: Loader::turns(),
            modules_turns: Loader::modules_turns(),
        };
        let journal = settings.state_folder.as_deref().map(|folder| {
            // Opened by the process that serves, so that it speaks of that one.
            Journal::open(&folder.join("journal")).map_err(StartError::StateFolder)
        });
        let journal = journal.transpose()?;
        let manager = Manager {
            supervisor: Supervisor {
                loader: Arc::new(loader),
                references: Arc::clone(&references),
                stores: Stores::new(settings.stores, Arc::clone(&budget)),
                authority: settings.authority,
            },
            functions: Arc::clone(&functions),
            picture: Arc::clone(&picture),
            metrics: Arc::clone(&metrics),
            pools: Arc::clone(&pools),
            journal: journal.clone(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(write_down_rest(Arc::clone(&functions)));
        tasks.spawn(manager.run(source));
        tasks.spawn(async move { references.watch().await });
        tasks.spawn(let_go_idle(Arc::clone(&code), Arc::clone(&metrics)));
        let host = Host {
            outbound: Arc::new(Outbound::new(
                Arc::new(resolver),
                &settings.roots,
                settings.own_hosts,
            )),
            runnable,
            pools,
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
            modules,
            code,
            claims,
            asked: Arc::default(),
            journal,
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

    /// Passes modules and compiled code on to siblings on `listener`.
    pub fn serve_modules(&mut self, listener: TcpListener, tokens: Arc<Tokens>) {
        let router = siblings::router(Offer {
            modules: self.modules.clone(),
            code: Arc::clone(&self.code),
            claims: Arc::clone(&self.claims),
            tokens,
            asked: Arc::clone(&self.asked),
        });
        self.tasks.spawn(serve_router(listener, router));
    }

    /// When somebody last asked for something that this process is there for: a request, or a
    /// sibling that copies what it has.
    #[must_use]
    pub fn last_arrival(&self) -> Instant {
        self.handler.last_arrival().max(self.asked.last())
    }

    /// The numbers.
    #[must_use]
    pub const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Lets all modules go, as if nobody had asked for them for a while: the next request of each
    /// maps it again.
    pub fn unmap_all(&self) {
        self.code.unmap_all();
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

    /// The process ends as it should: what still runs is not to blame for it.
    pub fn end(&self) {
        if let Some(journal) = &self.journal {
            journal.close();
        }
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

/// Where modules and compiled code are kept.
fn stores(folder: Option<&Path>, seal: Seal) -> Result<(ModuleStore, CodeStore), StartError> {
    let seal = Arc::new(seal);
    let Some(folder) = folder else {
        return Ok((ModuleStore::nowhere(), CodeStore::nowhere(seal)));
    };
    let modules = ModuleStore::open(&folder.join("modules"));
    let code = CodeStore::open(&folder.join("code"), seal);
    Ok((
        modules.map_err(StartError::StateFolder)?,
        code.map_err(StartError::StateFolder)?,
    ))
}

/// Tells the journal which functions run no more, until dropped.
async fn write_down_rest(functions: Arc<FunctionTable>) {
    let mut looks = tokio::time::interval(REST_LOOK);
    loop {
        looks.tick().await;
        for function in functions.all() {
            function.rest();
        }
    }
}

/// Lets modules go that nobody asks for, until dropped.
async fn let_go_idle(code: Arc<CodeCache>, metrics: Arc<Metrics>) {
    let mut looks = tokio::time::interval(IDLE_LOOK);
    loop {
        looks.tick().await;
        metrics.mapped(code.mapped_bytes());
        let code = Arc::clone(&code);
        // Taking a large module out of memory takes a while.
        let _ = spawn_blocking(move || code.let_go()).await;
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
