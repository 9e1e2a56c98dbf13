//! What one instance of a guest has around it: its memory limit, what it may read, where its
//! output goes, and what it may call.

pub mod keyvalue;
mod log;
mod memory;
mod outbound;
mod printer;
mod refused;

use std::sync::Arc;

use wasmtime::{Store, component::ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_config::WasiConfigVariables;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

pub(crate) use log::add_to_linker as add_logging_to_linker;
pub use log::{GuestLog, RequestId, RequestLog};
pub use memory::{Exceeded, Limited, MemoryLimit};
pub use outbound::{AllowList, AllowListError, Caller, Outbound, OwnHosts};
pub(crate) use printer::{Print, Printer};
pub use refused::Refused;

use crate::{budget::Reservation, engine::Module, function::Version};
use keyvalue::{Granted, Keyvalue};
use outbound::{Allowance, Hooks};

/// Handles that a guest may hold at the same time.
const MAX_HANDLES: usize = 10_000;
/// Bytes that the host copies for one call of the guest.
pub(crate) const HOST_CALL_BYTES: usize = 16 << 20;
/// Random bytes of one call.
pub(crate) const MAX_RANDOM_BYTES: u64 = 4 << 20;
/// Size of one set of headers, as it is held in memory.
const MAX_HEADER_BYTES: usize = 64 << 10;

/// The data of one instance's store.
pub struct Sandbox {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
    config: Arc<WasiConfigVariables>,
    memory: MemoryLimit,
    log: RequestLog,
    stores: Arc<Granted>,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Sandbox").finish_non_exhaustive()
    }
}

impl Sandbox {
    /// A store for one instance of `version`, which may use memory beyond `reservation` as far as
    /// its limit and the pod's budget admit.
    #[must_use]
    pub fn store(
        version: &Version,
        module: &Module,
        log: &Arc<GuestLog>,
        outbound: &Arc<Outbound>,
        reservation: Reservation,
    ) -> Store<Self> {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(MAX_HEADER_BYTES);
        let caller = Caller {
            allowed: Arc::clone(version.allowed()),
            log: Arc::clone(log),
        };
        let log = RequestLog::new(Arc::clone(log));
        let allowance = Allowance::new(version.limits());
        let sandbox = Self {
            table,
            wasi: context(version, &log),
            http,
            hooks: Hooks::new(Arc::clone(outbound), caller, allowance),
            config: Arc::clone(version.config()),
            memory: MemoryLimit::new(version.limits().memory_bytes, reservation),
            log,
            stores: Arc::clone(version.stores()),
        };
        let mut store = Store::new(module.engine().wasmtime(), sandbox);
        store.limiter(|sandbox| &mut sandbox.memory);
        store.set_hostcall_fuel(HOST_CALL_BYTES);
        store.set_max_component_handles(MAX_HANDLES);
        store
    }

    /// Values that the guest reads through `wasi:config`.
    pub(crate) fn config(&self) -> &WasiConfigVariables {
        &self.config
    }

    /// The key-value stores that the guest may open.
    pub(crate) fn keyvalue(&mut self) -> Keyvalue<'_> {
        Keyvalue {
            table: &mut self.table,
            granted: &self.stores,
            log: self.log.of_function(),
        }
    }

    /// What the instance writes.
    pub(crate) const fn log(&mut self) -> &mut RequestLog {
        &mut self.log
    }
}

impl Limited for Sandbox {
    fn memory(&self) -> &MemoryLimit {
        &self.memory
    }
}

/// Environment, output, clocks and randomness; no files, sockets or name look-up.
fn context(version: &Version, log: &RequestLog) -> WasiCtx {
    let mut builder = WasiCtx::builder();
    builder
        .envs(version.environment())
        .stdout(log.stream("stdout"))
        .stderr(log.stream("stderr"))
        .max_random_size(MAX_RANDOM_BYTES);
    builder.build()
}

impl WasiView for Sandbox {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Sandbox {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.hooks,
        }
    }
}
