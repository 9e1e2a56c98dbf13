//! One function without a cluster: served on the loopback interface, under the limits that it
//! would have in a pod.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use sha2::{Digest, Sha256};
use tokio::{sync::watch, task::JoinHandle, time::timeout};
use wasmfn_crds::WasmFunction;
use wasmfn_report::Load;

use crate::{
    cgroup::memory_budget_bytes,
    code::Seal,
    compile::Program,
    function::ResolutionAuthority,
    name_resolver::{NameResolver, NameResolverError},
    registry::{Credentials, Registry, RegistryError},
    report::Pod,
    roots::Roots,
    runtime::{Runtime, SLOTS, Settings, StartError, bind},
    sandbox::{OwnHosts, keyvalue::Offers},
    serve::{Observer, Trust, default_threads},
    source::FunctionSet,
};

/// Largest module, in bytes: the default of pods.
pub const MODULE_MAX_BYTES: u64 = 128 << 20;

/// Namespace of a function that has none.
const NAMESPACE: &str = "default";
/// Name of a function that has none.
const NAME: &str = "function";
/// Image of a module that comes from a file.
const FILE_IMAGE: &str = "localhost/file";

/// Where the module comes from.
pub enum Module {
    /// These bytes; `spec.image` is not looked at.
    Bytes(Bytes),
    /// `spec.image`, from a registry.
    Image(Arc<dyn Registry>),
}

impl std::fmt::Debug for Module {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Bytes(_) => "Bytes",
            Self::Image(_) => "Image",
        })
    }
}

/// What to serve, and where.
pub struct Options {
    /// The function. Name, namespace and status are filled in where they are missing.
    pub function: WasmFunction,
    /// Its module.
    pub module: Module,
    /// Port on 127.0.0.1; any free one for 0.
    pub port: u16,
    /// Folder with `secrets/NAME/KEY` and `configmaps/NAME/KEY`, if the function refers to any.
    pub references_folder: Option<PathBuf>,
    /// Whom the function's calls believe.
    pub roots: Roots,
    /// What compiles the module.
    pub compiler: Program,
    /// Whether WASI 0.3 services are served.
    pub serves_wasi_0_3: bool,
    /// Is told of each request.
    pub observer: Option<Observer>,
}

/// The function cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The runtime's part.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Names cannot be looked up.
    #[error(transparent)]
    Resolver(#[from] NameResolverError),
    /// The module cannot be loaded: one word of the API, and a sentence.
    #[error("{reason}: {message}")]
    Load {
        /// The reason.
        reason: String,
        /// The sentence.
        message: String,
    },
}

/// A function that is served.
pub struct Local {
    address: SocketAddr,
    runtime: Runtime,
    connections: JoinHandle<()>,
    // Closing the source would end the runtime.
    _source: watch::Sender<Option<Arc<FunctionSet>>>,
}

/// Loads the function and serves it.
///
/// # Errors
/// [`LocalError`] if it cannot be loaded, or the port cannot be listened on.
pub async fn serve(options: Options) -> Result<Local, LocalError> {
    let mut function = options.function;
    let registry: Arc<dyn Registry> = match options.module {
        Module::Image(registry) => registry,
        Module::Bytes(bytes) => {
            FILE_IMAGE.clone_into(&mut function.spec.image);
            Arc::new(File::new(bytes))
        }
    };
    let name = function
        .metadata
        .name
        .get_or_insert(NAME.to_owned())
        .clone();
    function
        .metadata
        .namespace
        .get_or_insert(NAMESPACE.to_owned());
    // The object is this process's own: nobody else has resolved it, and nobody suspends it.
    function.status = None;
    function.spec.suspend = false;
    let threads = default_threads();
    let settings = Settings {
        pod: Pod::default(),
        threads,
        memory_budget_bytes: memory_budget_bytes(),
        slots: SLOTS,
        module_max_bytes: MODULE_MAX_BYTES,
        state_folder: None,
        compiler: options.compiler,
        seal: Seal::of_process(),
        references_folder: options.references_folder,
        authority: ResolutionAuthority::Own,
        trust: Trust::Everyone(name.clone()),
        siblings: None,
        stores: Offers::AllInMemory,
        roots: options.roots,
        own_hosts: OwnHosts::default(),
        serves_wasi_0_3: options.serves_wasi_0_3,
        observer: options.observer,
    };
    let set = BTreeMap::from([(name, Arc::new(function))]);
    let (sender, source) = watch::channel(Some(Arc::new(set)));
    let port = bind((Ipv4Addr::LOCALHOST, options.port).into(), threads).await?;
    let address = port.address();
    let runtime = Runtime::start(settings, source, registry, NameResolver::from_system()?)?;
    loaded(&runtime).await?;
    let connections = runtime.serve_data(port)?;
    Ok(Local {
        address,
        runtime,
        connections,
        _source: sender,
    })
}

/// Waits until the one function is loaded, or has failed: nobody changes it, so a failure is final.
async fn loaded(runtime: &Runtime) -> Result<(), LocalError> {
    let mut changes = runtime.picture().changes().follow();
    loop {
        for load in runtime.picture().loads() {
            match load {
                Load::Loaded => return Ok(()),
                Load::Failed {
                    reason, message, ..
                } => return Err(LocalError::Load { reason, message }),
                _ => {}
            }
        }
        if changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Local {
    /// Where it answers.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets requests under way finish for at most `grace`, then ends.
    pub async fn close(self, grace: Duration) {
        self.runtime.close();
        // Those that take longer are cut off when the process ends.
        let _ = timeout(grace, self.connections).await;
    }
}

/// A registry with one module.
struct File {
    digest: String,
    bytes: Bytes,
}

impl File {
    fn new(bytes: Bytes) -> Self {
        Self {
            digest: format!("sha256:{}", hex::encode(Sha256::digest(&bytes))),
            bytes,
        }
    }
}

impl Registry for File {
    fn resolve<'a>(
        &'a self,
        _image: &'a str,
        _credentials: &'a [Credentials],
    ) -> BoxFuture<'a, Result<String, RegistryError>> {
        Box::pin(std::future::ready(Ok(self.digest.clone())))
    }

    fn pull<'a>(
        &'a self,
        _image: &'a str,
        _digest: &'a str,
        _credentials: &'a [Credentials],
        max_bytes: u64,
    ) -> BoxFuture<'a, Result<Bytes, RegistryError>> {
        let length = self.bytes.len() as u64;
        Box::pin(std::future::ready(if length > max_bytes {
            Err(RegistryError::TooLarge {
                image: "the file".to_owned(),
                bytes: Some(length),
                max_bytes,
            })
        } else {
            Ok(self.bytes.clone())
        }))
    }
}
