//! What one call of a command has around it: its memory limit, its variables, and nothing to open.

use std::sync::Arc;

use wasmtime::{Engine, Linker, Result, Store};
use wasmtime_wasi::{
    WasiCtx,
    cli::StdoutStream,
    p1::{self, WasiP1Ctx},
};

use super::input::Input;
use crate::{
    budget::Reservation,
    engine::{Module, Occupancy},
    function::Version,
    sandbox::{HOST_CALL_BYTES, Limited, MAX_RANDOM_BYTES, MemoryLimit, RequestLog},
};

/// The data of one call's store.
pub struct CommandSandbox {
    wasi: WasiP1Ctx,
    memory: MemoryLimit,
}

impl std::fmt::Debug for CommandSandbox {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("CommandSandbox")
            .finish_non_exhaustive()
    }
}

/// What a call needs from its surroundings.
pub(crate) struct Surroundings<'a> {
    pub(crate) version: &'a Version,
    pub(crate) module: &'a Module,
    /// Name of the function.
    pub(crate) function: &'a str,
    pub(crate) log: &'a RequestLog,
    pub(crate) reservation: Reservation,
}

/// What a program reads and writes.
pub(super) struct Standard {
    pub(super) arguments: Vec<String>,
    pub(super) variables: Vec<(String, String)>,
    pub(super) input: Input,
    pub(super) output: Box<dyn StdoutStream + Sync>,
}

impl CommandSandbox {
    /// A store for one call of `version`. Files and sockets are denied: there are no folders, and
    /// preview 1 has no way to open a socket.
    pub(super) fn store(surroundings: Surroundings<'_>, standard: Standard) -> Store<Self> {
        let Surroundings {
            version,
            module,
            log,
            function: _,
            reservation,
        } = surroundings;
        let mut builder = WasiCtx::builder();
        builder
            .args(&standard.arguments)
            .envs(&standard.variables)
            .stdin(standard.input)
            .stdout(standard.output)
            .stderr(log.stream("stderr"))
            .max_random_size(MAX_RANDOM_BYTES);
        let occupancy = Occupancy::new(Arc::clone(module.engine().slots()));
        let sandbox = Self {
            wasi: builder.build_p1(),
            memory: MemoryLimit::new(version.limits().memory_bytes, reservation, occupancy),
        };
        let mut store = Store::new(module.engine().wasmtime(), sandbox);
        store.limiter(|sandbox| &mut sandbox.memory);
        store.set_hostcall_fuel(HOST_CALL_BYTES);
        store
    }
}

impl Limited for CommandSandbox {
    fn memory(&self) -> &MemoryLimit {
        &self.memory
    }
}

/// A linker with the functions of preview 1.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<CommandSandbox>> {
    let mut linker = Linker::new(engine);
    p1::add_to_linker_async(&mut linker, |sandbox: &mut CommandSandbox| {
        &mut sandbox.wasi
    })?;
    Ok(linker)
}
