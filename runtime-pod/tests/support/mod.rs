//! A runtime with a scripted registry, and a client that asks it as a gateway does.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "what panics here fails a test")]
#![allow(clippy::needless_pass_by_value, reason = "specs are written in place")]

pub mod callee;
pub mod client;
pub mod commands;
pub mod foreign;
pub mod guests;
pub mod large;
pub mod registry;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use client::Answer;
use registry::Shelf;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::watch};
use wasmfn_crds::{WasmFunction, status::Resolved, stores::StoreOffers};
use wasmfn_report::{Load, RuntimeFunction, RuntimeLine};
use wasmfn_runtime::{
    Runtime, Settings,
    code::Seal,
    compile::Program,
    function::ResolutionAuthority,
    name_resolver::NameResolver,
    report::Pod,
    roots::Roots,
    runtime::SLOTS,
    sandbox::{OwnHosts, keyvalue::Offers},
    serve::{DataPort, Trust, default_threads},
    siblings::Siblings,
    source::FunctionSet,
    tokens::Tokens,
};

/// What gateways show.
pub const TOKEN: &str = "data-token";
/// How long a condition may take to come true: a `JavaScript` module compiles for half a minute of both cores, and
/// a cluster may be built beside it.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// A runtime and what surrounds it.
pub struct World {
    pub address: SocketAddr,
    pub registry: Arc<Shelf>,
    pub runtime: Runtime,
    pub folder: Arc<TempDir>,
    functions: BTreeMap<String, WasmFunction>,
    source: watch::Sender<Option<Arc<FunctionSet>>>,
}

/// How many functions a measurement has: as `WASMFN_FUNCTIONS` says, or `usual`.
pub fn functions_or(usual: usize) -> usize {
    let given = std::env::var("WASMFN_FUNCTIONS").ok();
    given.map_or(usual, |text| text.parse().unwrap())
}

/// How a world differs from others.
pub struct Plan {
    /// Threads that serve.
    pub threads: NonZeroUsize,
    pub memory_budget_bytes: u64,
    pub slots: u32,
    pub folder: Option<Arc<TempDir>>,
    pub compiler: Program,
    /// Module ports of its siblings.
    pub siblings: Option<Vec<SocketAddr>>,
    pub stores: StoreOffers,
}

/// The program that compiles, as in a pod.
pub fn compiler() -> Program {
    Program::Path(env!("CARGO_BIN_EXE_wasmfn-runtime").into())
}

/// A compiler that is not there: nothing can be compiled.
pub fn no_compiler() -> Program {
    Program::Path("/nowhere/compiler".into())
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            threads: default_threads(),
            memory_budget_bytes: 1 << 30,
            slots: SLOTS,
            folder: None,
            compiler: compiler(),
            siblings: None,
            stores: StoreOffers::new(),
        }
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with(Plan::default(), Arc::new(Shelf::default())).await
    }

    pub async fn with(plan: Plan, registry: Arc<Shelf>) -> Self {
        let folder = plan
            .folder
            .unwrap_or_else(|| Arc::new(tempfile::tempdir().unwrap()));
        for (file, token) in [
            ("data-token", TOKEN),
            ("module-token", "module-token"),
            ("code-key", "code-key"),
        ] {
            std::fs::write(folder.path().join(file), token).unwrap();
        }
        let settings = Settings {
            pod: Pod::default(),
            threads: plan.threads,
            memory_budget_bytes: plan.memory_budget_bytes,
            slots: plan.slots,
            module_max_bytes: 64 << 20,
            state_folder: Some(folder.path().to_owned()),
            compiler: plan.compiler,
            seal: Seal::of_namespace(Tokens::open(folder.path().to_owned())),
            references_folder: Some(references(&folder)),
            authority: ResolutionAuthority::Operator,
            trust: Trust::Gateways(Tokens::open(folder.path().to_owned())),
            siblings: plan
                .siblings
                .map(|siblings| Siblings::at(siblings, Tokens::open(folder.path().to_owned()))),
            stores: Offers::Named(plan.stores),
            roots: Roots::default(),
            own_hosts: OwnHosts::default(),
            serves_wasi_0_3: true,
            observer: None,
        };
        let (source, functions) = watch::channel(None);
        let resolver = NameResolver::from_system().unwrap();
        let runtime = Runtime::start(settings, functions, registry.clone(), resolver).unwrap();
        let any = (Ipv4Addr::LOCALHOST, 0).into();
        let port = DataPort::bind(any, plan.threads).await.unwrap();
        let address = port.address();
        drop(runtime.serve_data(port).unwrap());
        Self {
            address,
            registry,
            runtime,
            folder,
            functions: BTreeMap::new(),
            source,
        }
    }

    /// Opens its module port.
    pub async fn module_port(&mut self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tokens = Tokens::open(self.folder.path().to_owned());
        self.runtime.serve_modules(listener, tokens);
        address
    }

    /// Applies a function, as a user does; the generation rises with each change.
    pub fn apply(&mut self, name: &str, spec: Value) {
        let before = self.functions.get(name);
        let generation = before
            .and_then(|function| function.metadata.generation)
            .unwrap_or(0)
            + 1;
        let status = before.and_then(|function| function.status.clone());
        let mut function: WasmFunction = serde_json::from_value(json!({
            "apiVersion": "wasmfn.dev/v1alpha1",
            "kind": "WasmFunction",
            "metadata": {
                "namespace": "team",
                "name": name,
                "uid": format!("uid-{name}"),
                "generation": generation,
            },
            "spec": spec,
        }))
        .unwrap();
        function.status = status;
        self.functions.insert(name.to_owned(), function);
        self.publish();
    }

    /// Applies a function, and waits until its newest generation is served.
    pub async fn serve(&mut self, name: &str, spec: Value) {
        self.apply(name, spec);
        self.record(name).await;
        self.loaded(name).await;
    }

    /// Writes down what the pod resolved, as the operator does.
    pub async fn record(&mut self, name: &str) {
        let wanted = self.functions[name].spec.image.clone();
        let is_recorded = self.functions[name]
            .status
            .as_ref()
            .and_then(|status| status.resolved.as_ref())
            .is_some_and(|resolved| resolved.image == wanted);
        if is_recorded {
            return;
        }
        let report = self
            .until(name, |report| {
                report
                    .resolution
                    .as_ref()
                    .is_some_and(|resolution| resolution.image == wanted)
            })
            .await;
        let resolution = report.resolution.unwrap();
        let function = self.functions.get_mut(name).unwrap();
        let status = function.status.get_or_insert_default();
        status.resolved = Some(Resolved::new(
            &resolution.image,
            &resolution.resolve_at,
            &resolution.digest,
        ));
        self.publish();
    }

    /// Waits until the newest generation is served.
    pub async fn loaded(&self, name: &str) -> RuntimeFunction {
        let generation = self.functions[name].metadata.generation.unwrap();
        self.until(name, |report| {
            report.generation == generation && report.load == Load::Loaded
        })
        .await
    }

    /// Waits until the newest generation has failed, and says how.
    pub async fn failed(&self, name: &str) -> (String, String) {
        let generation = self.functions[name].metadata.generation.unwrap();
        let report = self
            .until(name, |report| {
                report.generation == generation && matches!(report.load, Load::Failed { .. })
            })
            .await;
        match report.load {
            Load::Failed {
                reason, message, ..
            } => (reason, message),
            other => panic!("{other:?}"),
        }
    }

    /// Waits until the report about a function is as wanted.
    pub async fn until(
        &self,
        name: &str,
        is_wanted: impl Fn(&RuntimeFunction) -> bool,
    ) -> RuntimeFunction {
        let mut changes = self.runtime.picture().changes().follow();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let last = self.report(name);
            if let Some(report) = last.clone().filter(&is_wanted) {
                return report;
            }
            assert!(Instant::now() < deadline, "never as wanted: {last:?}");
            let _ = tokio::time::timeout(Duration::from_millis(500), changes.changed()).await;
        }
    }

    /// Waits until nothing of a function is in flight, and no instance of it waits for its next request.
    pub async fn is_idle(&self, name: &str) {
        self.until(name, |report| {
            report.in_flight == 0 && report.memory_bytes == 0
        })
        .await;
    }

    /// What the pod says about a function.
    pub fn report(&self, name: &str) -> Option<RuntimeFunction> {
        let lines = self.runtime.picture().lines();
        lines.into_iter().find_map(|(_, line)| match line {
            RuntimeLine::Function(function) if function.function.name == name => Some(function),
            _ => None,
        })
    }

    /// Waits until so many modules are on disk.
    pub async fn stored_modules(&self, count: usize) {
        stored(|| self.files("modules"), count).await;
    }

    /// Waits until the code of so many modules is on disk.
    pub async fn stored_code(&self, count: usize) {
        stored(|| self.code_files(), count).await;
    }

    /// Files of compiled code, one for each module.
    pub fn code_files(&self) -> Vec<PathBuf> {
        self.files_of_code(false)
    }

    /// Files of machine code that functions may share.
    pub fn text_files(&self) -> Vec<PathBuf> {
        self.files_of_code(true)
    }

    fn files_of_code(&self, of_texts: bool) -> Vec<PathBuf> {
        let mut files = self.files("code");
        files.retain(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("text-")
                == of_texts
        });
        files
    }

    fn files(&self, folder: &str) -> Vec<PathBuf> {
        std::fs::read_dir(self.folder.path().join(folder))
            .unwrap()
            .map(|file| file.unwrap().path())
            .filter(|path| path.extension().is_none())
            .collect()
    }

    /// Takes a function away.
    pub fn delete(&mut self, name: &str) {
        self.functions.remove(name);
        self.publish();
    }

    /// Puts a file where the kubelet projects Secrets.
    pub fn secret(&self, object: &str, key: &str, value: &str) {
        let folder = references(&self.folder).join("secrets").join(object);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(key), value).unwrap();
    }

    /// Takes the functions of another world, as a restart of the container does.
    pub fn restore(&mut self, other: &Self) {
        self.restore_from(other.functions());
    }

    /// Takes these functions.
    pub fn restore_from(&mut self, functions: BTreeMap<String, WasmFunction>) {
        self.functions = functions;
        self.publish();
    }

    /// All functions, as they were applied and recorded.
    pub fn functions(&self) -> BTreeMap<String, WasmFunction> {
        self.functions.clone()
    }

    pub async fn get(&self, function: &str, path: &str) -> Answer {
        client::get(self.address, function, path).await
    }

    fn publish(&self) {
        let set: FunctionSet = self
            .functions
            .iter()
            .map(|(name, function)| (name.clone(), Arc::new(function.clone())))
            .collect();
        self.source.send_replace(Some(Arc::new(set)));
    }
}

/// Waits until there are so many files.
async fn stored(files: impl Fn() -> Vec<PathBuf>, count: usize) {
    let deadline = Instant::now() + PATIENCE;
    while files().len() < count {
        assert!(Instant::now() < deadline, "they were never stored");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn references(folder: &TempDir) -> PathBuf {
    folder.path().join("references")
}
