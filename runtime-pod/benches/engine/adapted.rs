//! A preview 1 command called as it is and as a component, one after the other in one thread without a
//! server: what the choice of the runtime rests on. The component is made by `jco new`.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use bytes::Bytes;
use wasmtime::{
    Config, Engine, InstancePre, Module, PoolingAllocationConfig, Result, Store,
    component::{self, ResourceTable},
    ensure, format_err,
};
use wasmtime_wasi::{
    I32Exit, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView,
    p1::{self, WasiP1Ctx},
    p2::{
        bindings::CommandPre,
        pipe::{MemoryInputPipe, MemoryOutputPipe},
    },
};

use super::{foreign, guests::Guest, table};

/// Calls of each.
const CALLS: usize = 1000;
/// More than any of the guests prints.
const OUTPUT_BYTES: usize = 1 << 20;
/// What a CGI program asks of its environment (RFC 3875, 4.1).
const VARIABLES: [(&str, &str); 5] = [
    ("GATEWAY_INTERFACE", "CGI/1.1"),
    ("PATH_INFO", "/"),
    ("QUERY_STRING", ""),
    ("REQUEST_METHOD", "GET"),
    ("SERVER_PROTOCOL", "HTTP/1.1"),
];

/// Prints what calls took of `module`, which `guest` was built to.
pub(super) async fn measure(guest: Guest, module: &Path) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(component) = adapt(module, folder.path()) else {
        println!("npm install --global @bytecodealliance/jco");
        return Ok(());
    };
    let (_, _, input) = guest.request();
    let times = compare(module, &component, input.into())
        .await
        .map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let Some([direct, adapted]) = times else {
        println!("{}: fails as a component", guest.name());
        return Ok(());
    };
    let rows = [("called as it is", direct), ("as a component", adapted)];
    table::print_times(guest.name(), rows)
}

/// The component that a command is made to, in `folder`; none where what makes it is not installed.
fn adapt(module: &Path, folder: &Path) -> Option<PathBuf> {
    foreign::has("jco", "--version").then(|| {
        let component = folder.join("adapted.wasm");
        foreign::run(
            Command::new("jco")
                .arg("new")
                .arg(module)
                .args(["--wasi-command", "-o"])
                .arg(&component),
        );
        component
    })
}

/// How long calls took, of the command and of the component; nothing, where that fails.
async fn compare(
    module: &Path,
    component: &Path,
    input: Bytes,
) -> Result<Option<[Vec<Duration>; 2]>> {
    let engine = engine()?;
    let direct = Direct::new(&engine, module)?;
    let adapted = Adapted::new(&engine, component)?;
    let expected = direct.call(&input).await?;
    ensure!(!expected.is_empty(), "the command prints nothing");
    if adapted.call(&input).await.is_err() {
        return Ok(None);
    }
    let [mut times, mut adapted_times] = [Vec::new(), Vec::new()];
    for call in 0..CALLS {
        // Whichever is the second finds caches as the first has left them.
        for is_first in [call % 2 == 0, call % 2 == 1] {
            let begun_at = Instant::now();
            let printed = if is_first {
                direct.call(&input).await?
            } else {
                adapted.call(&input).await?
            };
            let times = if is_first {
                &mut times
            } else {
                &mut adapted_times
            };
            times.push(begun_at.elapsed());
            ensure!(printed == expected, "something else is printed");
        }
    }
    Ok(Some([times, adapted_times]))
}

/// With slots that are made fresh as those of the runtime that are not small.
fn engine() -> Result<Engine> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(10)
        .decommit_batch_size(16)
        .table_keep_resident(64 << 10);
    let mut config = Config::new();
    config.allocation_strategy(pool).concurrency_support(false);
    Engine::new(&config)
}

fn surroundings(input: &Bytes) -> (WasiCtxBuilder, MemoryOutputPipe) {
    let output = MemoryOutputPipe::new(OUTPUT_BYTES);
    let mut builder = WasiCtx::builder();
    builder
        .stdin(MemoryInputPipe::new(input.clone()))
        .stdout(output.clone())
        .envs(&VARIABLES);
    (builder, output)
}

/// An exit with 0 is a return like any other.
fn ended(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if matches!(error.downcast_ref(), Some(I32Exit(0))) => Ok(()),
        other => other,
    }
}

/// The program as it is.
struct Direct(InstancePre<WasiP1Ctx>);

impl Direct {
    fn new(engine: &Engine, module: &Path) -> Result<Self> {
        let mut linker = wasmtime::Linker::new(engine);
        p1::add_to_linker_async(&mut linker, |context| context)?;
        let module = Module::from_file(engine, module)?;
        Ok(Self(linker.instantiate_pre(&module)?))
    }

    async fn call(&self, input: &Bytes) -> Result<Bytes> {
        let (mut builder, output) = surroundings(input);
        let mut store = Store::new(self.0.module().engine(), builder.build_p1());
        let instance = self.0.instantiate_async(&mut store).await?;
        let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
        ended(start.call_async(&mut store, ()).await)?;
        drop(store);
        Ok(output.contents())
    }
}

/// The program within a component.
struct Adapted(Engine, CommandPre<Data>);

struct Data {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Data {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl Adapted {
    fn new(engine: &Engine, component: &Path) -> Result<Self> {
        let mut linker = component::Linker::new(engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        let component = component::Component::from_file(engine, component)?;
        let command = CommandPre::new(linker.instantiate_pre(&component)?)?;
        Ok(Self(engine.clone(), command))
    }

    async fn call(&self, input: &Bytes) -> Result<Bytes> {
        let Self(engine, command) = self;
        let (mut builder, output) = surroundings(input);
        let data = Data {
            wasi: builder.build(),
            table: ResourceTable::new(),
        };
        let mut store = Store::new(engine, data);
        let command = command.instantiate_async(&mut store).await?;
        let returned = command.wasi_cli_run().call_run(&mut store).await;
        ended(returned.and_then(|run| run.map_err(|()| format_err!("the component failed"))))?;
        drop(store);
        Ok(output.contents())
    }
}
