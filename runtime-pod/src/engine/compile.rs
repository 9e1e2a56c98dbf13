//! From bytes to compiled code, and from compiled code to a module that can be called.

use std::{io, sync::Arc};

use wasmfn_crds::{ModuleKind, Reason};
use wasmtime::{InstancePre, ResourcesRequired};
use wasmtime_wasi_http::{p2::bindings::ProxyPre, p3::bindings::ServicePre};

use super::{
    Engine, EngineError, GuestKind, Reset, Target, Wasi, advice, core_module, imports,
    inspect::{self, Exports},
    layout, pool,
    settings::settings,
};
use crate::{
    budget::{Budget, Reservation},
    code::{self, CodeFile},
    command::CommandSandbox,
    detect::{Detected, detect},
    sandbox::Sandbox,
};

/// Memory of a small module that is mapped, in bytes, besides the pages of its file. Measured:
/// 0.2 MB.
const MAPPED_BYTES: u64 = 200 << 10;
/// What a larger one costs besides, as a part of its code. Measured: 1.1 MB for 34 MB of code.
const MAPPED_PART: u64 = 32;

/// Why a module cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// It is code for a machine.
    #[error("the module is native code ({0}), not WebAssembly; build it for `wasm32-wasip2`")]
    NativeCode(&'static str),
    /// It is something else.
    #[error("the module is not WebAssembly: it is {0}")]
    NotWasm(String),
    /// It is a guest of a kind that is not served.
    #[error("the module cannot be served: {0}")]
    Unsupported(&'static str),
    /// Nothing can be called.
    #[error("the module must export `wasi:http/incoming-handler@0.2`, but it exports {0}")]
    WrongExports(String),
    /// It wants something that is not offered.
    #[error("the module imports what wasmfn does not offer: {0}")]
    MissingImport(String),
    /// Its imports or exports have the wrong types.
    #[error("the module cannot be linked: {0:#}")]
    Link(wasmtime::Error),
    /// There is no engine for it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Its compiled code cannot be mapped.
    #[error("the compiled code cannot be mapped: {0:#}")]
    Unmappable(wasmtime::Error),
    /// Its compiled code cannot be written or read.
    #[error("the compiled code cannot be kept: {0}")]
    Storage(#[source] io::Error),
    /// The process is going down, or loading panicked.
    #[error("the loading was stopped")]
    Stopped,
}

impl CompileError {
    /// The reason of the API that it stands for.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::NativeCode(_) => Reason::NativeCode,
            Self::NotWasm(_) => Reason::NotWasm,
            Self::Unsupported(_) => Reason::Unsupported,
            Self::WrongExports(_) => Reason::WrongExports,
            Self::MissingImport(_) => Reason::MissingImport,
            Self::Link(_) => Reason::MissingImport,
            Self::Engine(_) | Self::Unmappable(_) | Self::Storage(_) | Self::Stopped => {
                Reason::LoadFailed
            }
        }
    }

    /// Whether it may pass by itself.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unmappable(_) | Self::Storage(_) | Self::Stopped)
    }
}

/// How a guest is called: what its instances are made from, by kind.
pub enum Guest {
    /// It exports `wasi:http/incoming-handler` 0.2: its own instance for each request, which gets
    /// the request and a place for the answer.
    Proxy(ProxyPre<Sandbox>),
    /// It exports `wasi:http/handler` 0.3: its own instance for each request.
    Service(ServicePre<Sandbox>),
    /// It is a preview 1 command: its own instance for each request, which runs `_start`.
    Command(InstancePre<CommandSandbox>),
}

impl Guest {
    /// What an instance begins with; none, where that cannot be told.
    fn resources(&self) -> Option<ResourcesRequired> {
        match self {
            Self::Proxy(proxy) => proxy.instance_pre().component().resources_required(),
            Self::Service(service) => service.instance_pre().component().resources_required(),
            Self::Command(command) => Some(command.module().resources_required()),
        }
    }
}

/// A module that is compiled and linked.
pub struct Module {
    digest: String,
    guest: Guest,
    target: Target,
    engine: Arc<Engine>,
    memory_bytes: u64,
    initial_bytes: u64,
    slots: u32,
    _memory: Reservation,
}

impl std::fmt::Debug for Module {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Module")
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl Module {
    /// Digest of its manifest.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What it turned out to be.
    #[must_use]
    pub const fn kind(&self) -> ModuleKind {
        match self.guest {
            Guest::Proxy(_) | Guest::Service(_) => ModuleKind::Component,
            Guest::Command(_) => ModuleKind::Command,
        }
    }

    /// What its code was made for.
    #[must_use]
    pub const fn target(&self) -> Target {
        self.target
    }

    /// How it is called.
    #[must_use]
    pub const fn guest(&self) -> &Guest {
        &self.guest
    }

    /// The engine that it was compiled for, and whose slots its instances live in.
    #[must_use]
    pub const fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Memory that it costs while it is mapped, in bytes, without the pages of its file, which the
    /// kernel takes back when it needs them.
    #[must_use]
    pub const fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// Size of the largest memory and table that an instance begins with, in bytes.
    #[must_use]
    pub const fn initial_bytes(&self) -> u64 {
        self.initial_bytes
    }

    /// Slots that an instance takes: one, unless it has many parts.
    #[must_use]
    pub const fn slots(&self) -> u32 {
        self.slots
    }
}

/// Says what kind of guest some bytes are; refuses, before anything costly, what is none.
pub(super) fn guest_kind(bytes: &[u8]) -> Result<GuestKind, CompileError> {
    let what = match detect(bytes) {
        Detected::Component => return Ok(GuestKind::Component),
        Detected::CoreModule => {
            let contract = core_module::command(bytes)?;
            return Ok(GuestKind::Command { contract });
        }
        Detected::NativeCode(format) => return Err(CompileError::NativeCode(format)),
        Detected::Archive(format) => format!("packed ({format}); push the module itself"),
        Detected::UnknownWasm => {
            "WebAssembly of a version that is neither a core module nor a component".to_owned()
        }
        Detected::Text => "text".to_owned(),
        Detected::Empty => "empty".to_owned(),
        Detected::Other => "of an unknown format".to_owned(),
    };
    Err(CompileError::NotWasm(what))
}

/// Compiles, as the engines that serve would; blocks for as long as it takes.
pub(crate) fn precompile(bytes: &[u8], target: Target) -> wasmtime::Result<Vec<u8>> {
    // Without the pool of the engines that serve, which makes no difference to the code.
    let settings = settings(target.combination(Reset::Batch));
    let engine = wasmtime::Engine::new(&settings)?;
    match detect(bytes) {
        Detected::CoreModule => engine.precompile_module(bytes),
        _ => engine.precompile_component(bytes),
    }
}

/// Maps compiled code and links it; a matter of a few milliseconds at most.
pub(super) fn link(
    engine: &Arc<Engine>,
    digest: &str,
    code: &CodeFile,
    budget: &Arc<Budget>,
) -> Result<Module, CompileError> {
    let guest = match code.target().guest {
        GuestKind::Component => component(engine, code)?,
        GuestKind::Command { .. } => command(engine, code)?,
    };
    let memory_bytes = MAPPED_BYTES + code.bytes() / MAPPED_PART;
    Ok(Module {
        digest: digest.to_owned(),
        initial_bytes: guest.resources().as_ref().map_or(0, layout::initial_bytes),
        slots: guest.resources().as_ref().map_or(1, pool::slots),
        guest,
        target: code.target(),
        engine: Arc::clone(engine),
        memory_bytes,
        _memory: budget.charge(memory_bytes),
    })
}

fn component(engine: &Engine, code: &CodeFile) -> Result<Guest, CompileError> {
    let wasmtime = engine.wasmtime();
    let component = code::component(wasmtime, code).map_err(CompileError::Unmappable)?;
    match inspect::component(wasmtime, &component) {
        Exports::Handler | Exports::Service => {}
        Exports::Known(what) => return Err(CompileError::Unsupported(what)),
        Exports::Other(exports) => return Err(CompileError::WrongExports(exports)),
    }
    let wasi = engine.combination().wasi;
    let missing = imports::missing(wasmtime, &component, wasi);
    if !missing.is_empty() {
        return Err(CompileError::MissingImport(advice::with_list(&missing)));
    }
    let instance = engine
        .linker()
        .instantiate_pre(&component)
        .map_err(CompileError::Link)?;
    match wasi {
        Wasi::V0_2 => ProxyPre::new(instance).map(Guest::Proxy),
        Wasi::V0_3 => ServicePre::new(instance).map(Guest::Service),
    }
    .map_err(CompileError::Link)
}

fn command(engine: &Engine, code: &CodeFile) -> Result<Guest, CompileError> {
    let wasmtime = engine.wasmtime();
    let module = code::module(wasmtime, code).map_err(CompileError::Unmappable)?;
    let linker = crate::command::linker(wasmtime).map_err(CompileError::Link)?;
    linker
        .instantiate_pre(&module)
        .map(Guest::Command)
        .map_err(CompileError::Link)
}
