//! From bytes to a module that can be called.

use std::sync::Arc;

use wasmfn_crds::{ModuleKind, Reason};
use wasmtime::component::Component;
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use super::{
    Engine, EngineError, imports,
    inspect::{self, Exports},
};
use crate::{
    budget::{Budget, Reservation},
    detect::{Detected, detect},
    sandbox::Sandbox,
};

/// What a WASI preview 1 command is told.
const COMMAND: &str = "it is a WASI preview 1 command, which is not served yet; build it for \
                       `wasm32-wasip2` as a `wasi:http/proxy` component";

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
    /// It is not valid, or uses a feature that is off.
    #[error("the module cannot be compiled: {0:#}")]
    Invalid(wasmtime::Error),
    /// Its imports or exports have the wrong types.
    #[error("the module cannot be linked: {0:#}")]
    Link(wasmtime::Error),
    /// There is no engine for it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The process is going down, or compilation panicked.
    #[error("the compilation was stopped")]
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
            Self::Invalid(_) => Reason::CompileFailed,
            Self::Link(_) => Reason::MissingImport,
            Self::Engine(_) | Self::Stopped => Reason::LoadFailed,
        }
    }
}

/// How a guest is called: what its instances are made from, by kind.
pub enum Guest {
    /// It exports `wasi:http/incoming-handler` 0.2: its own instance for each request, which gets
    /// the request and a place for the answer.
    Proxy(ProxyPre<Sandbox>),
}

/// A module that is compiled and linked.
pub struct Module {
    digest: String,
    guest: Guest,
    engine: Arc<Engine>,
    _code: Reservation,
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
        ModuleKind::Component
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
}

/// Refuses, before anything costly, what is no WebAssembly.
pub(super) fn refuse_foreign(bytes: &[u8]) -> Result<(), CompileError> {
    let what = match detect(bytes) {
        Detected::Component => return Ok(()),
        Detected::CoreModule => {
            let (is_command, exports) = inspect::core_module(bytes);
            return Err(if is_command {
                CompileError::Unsupported(COMMAND)
            } else {
                CompileError::WrongExports(format!(
                    "{exports}, and it is a core module, not a component"
                ))
            });
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

/// Compiles and links; blocks for as long as it takes.
pub(super) fn compile(
    engine: &Arc<Engine>,
    digest: &str,
    bytes: &[u8],
    budget: &Arc<Budget>,
) -> Result<Module, CompileError> {
    let wasmtime = engine.wasmtime();
    let component = Component::from_binary(wasmtime, bytes).map_err(CompileError::Invalid)?;
    match inspect::component(wasmtime, &component) {
        Exports::Handler => {}
        Exports::Known(what) => return Err(CompileError::Unsupported(what)),
        Exports::Other(exports) => return Err(CompileError::WrongExports(exports)),
    }
    let missing = imports::missing(wasmtime, &component);
    if !missing.is_empty() {
        return Err(CompileError::MissingImport(inspect::list(&missing)));
    }
    let instance = engine
        .linker()
        .instantiate_pre(&component)
        .map_err(CompileError::Link)?;
    let pre = ProxyPre::new(instance).map_err(CompileError::Link)?;
    let range = component.image_range();
    let code_bytes = (range.end as usize).saturating_sub(range.start as usize);
    let code = budget.charge(u64::try_from(code_bytes).unwrap_or(u64::MAX));
    Ok(Module {
        digest: digest.to_owned(),
        guest: Guest::Proxy(pre),
        engine: Arc::clone(engine),
        _code: code,
    })
}
