//! This runtime, in this process: one thread that serves, gateways' tokens, and the limits that every
//! function has by default.

use std::{
    collections::{BTreeMap, HashMap},
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    sync::Arc,
};

use anyhow::{Result, bail};
use bytes::Bytes;
use futures::future::BoxFuture;
use serde_json::json;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::sync::watch;
use wasmfn_crds::WasmFunction;
use wasmfn_report::Load;
use wasmfn_runtime::{
    Runtime, Settings,
    code::Seal,
    compile::Program,
    function::ResolutionAuthority,
    memory_budget_bytes,
    name_resolver::NameResolver,
    registry::{Credentials, Registry, RegistryError},
    report::Pod,
    roots::Roots,
    runtime::SLOTS,
    sandbox::{OwnHosts, keyvalue::Offers},
    serve::{DataPort, Trust},
    source::FunctionSet,
    tokens::Tokens,
};

use super::cases::Case;

/// What the load shows as a gateway.
pub(super) const TOKEN: &str = "bench";
/// Largest module.
const MODULE_MAX_BYTES: u64 = 64 << 20;

/// Name of the function of this number.
pub(super) fn name(function: usize) -> String {
    format!("function-{function}")
}

/// The runtime; ends when dropped.
pub(super) struct Ours {
    address: SocketAddr,
    runtime: Runtime,
    _source: watch::Sender<Option<Arc<FunctionSet>>>,
    _folder: TempDir,
}

impl Ours {
    /// Serves so many functions, each with a module of its own that does what `guest` does.
    pub(super) async fn start(guest: Bytes, case: &Case) -> Result<Self> {
        let functions = case.functions;
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("data-token"), TOKEN)?;
        let settings = Settings {
            pod: Pod::default(),
            threads: NonZeroUsize::MIN,
            memory_budget_bytes: memory_budget_bytes(),
            slots: SLOTS,
            module_max_bytes: MODULE_MAX_BYTES,
            state_folder: Some(folder.path().to_owned()),
            compiler: Program::Path(env!("CARGO_BIN_EXE_wasmfn-runtime").into()),
            seal: Seal::of_process(),
            references_folder: None,
            authority: ResolutionAuthority::Own,
            trust: Trust::Gateways(Tokens::open(folder.path().to_owned())),
            siblings: None,
            stores: Offers::AllInMemory,
            roots: Roots::default(),
            own_hosts: OwnHosts::default(),
            serves_wasi_0_3: true,
            observer: None,
        };
        let set: FunctionSet = (0..functions)
            .map(|index| (name(index), Arc::new(function(index, case))))
            .collect();
        let (sender, source) = watch::channel(Some(Arc::new(set)));
        let shelf = Arc::new(Shelf::new(&guest, functions));
        let resolver = NameResolver::from_system()?;
        let runtime = Runtime::start(settings, source, shelf, resolver)?;
        loaded(&runtime, functions).await?;
        let any = (Ipv4Addr::LOCALHOST, 0).into();
        let port = DataPort::bind(any, NonZeroUsize::MIN).await?;
        let address = port.address();
        // This may be another thread than the one that began.
        super::pin::to_server_core()?;
        drop(runtime.serve_data(port)?);
        Ok(Self {
            address,
            runtime,
            _source: sender,
            _folder: folder,
        })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets compiled code go, as if nobody had asked for a while.
    pub(super) fn unmap(&self) {
        self.runtime.unmap_all();
    }
}

async fn loaded(runtime: &Runtime, functions: usize) -> Result<()> {
    let mut changes = runtime.picture().changes().follow();
    loop {
        let loads = runtime.picture().loads();
        if loads.len() == functions && loads.iter().all(|load| *load == Load::Loaded) {
            return Ok(());
        }
        if let Some(Load::Failed {
            reason, message, ..
        }) = loads
            .into_iter()
            .find(|load| matches!(load, Load::Failed { .. }))
        {
            bail!("{reason}: {message}");
        }
        changes.changed().await?;
    }
}

fn function(index: usize, case: &Case) -> WasmFunction {
    let mut spec = case.guest.spec();
    spec["image"] = image(index).into();
    spec["reuse"] = case.reuse.spec();
    serde_json::from_value(json!({
        "apiVersion": "wasmfn.dev/v1alpha1",
        "kind": "WasmFunction",
        "metadata": {"namespace": "bench", "name": name(index), "uid": name(index), "generation": 1},
        "spec": spec,
    }))
    .expect("the object is valid")
}

fn image(index: usize) -> String {
    format!("bench.test/function:{index}")
}

/// A registry with a module for each function.
struct Shelf {
    digests: HashMap<String, String>,
    modules: BTreeMap<String, Bytes>,
}

impl Shelf {
    fn new(guest: &Bytes, functions: usize) -> Self {
        let mut digests = HashMap::new();
        let mut modules = BTreeMap::new();
        for index in 0..functions {
            let bytes = marked(guest, index);
            let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
            digests.insert(image(index), digest.clone());
            modules.insert(digest, bytes);
        }
        Self { digests, modules }
    }
}

/// The guest with a custom section (WebAssembly core specification, 5.5.3) that holds a number.
fn marked(guest: &Bytes, index: usize) -> Bytes {
    let number = index.to_be_bytes();
    let mut bytes = guest.to_vec();
    bytes.extend([0, 2 + 8, 1, b'n']);
    bytes.extend(number);
    bytes.into()
}

impl Registry for Shelf {
    fn resolve<'a>(
        &'a self,
        image: &'a str,
        _credentials: &'a [Credentials],
    ) -> BoxFuture<'a, Result<String, RegistryError>> {
        Box::pin(std::future::ready(Ok(self.digests[image].clone())))
    }

    fn pull<'a>(
        &'a self,
        _image: &'a str,
        digest: &'a str,
        _credentials: &'a [Credentials],
        _max_bytes: u64,
    ) -> BoxFuture<'a, Result<Bytes, RegistryError>> {
        Box::pin(std::future::ready(Ok(self.modules[digest].clone())))
    }
}
