//! What one instance of a guest has around it: its memory limit, what it may read, where its
//! output goes, and what it may call.

pub mod keyvalue;
mod log;
mod memory;
mod names;
mod outbound;
mod printer;
mod refused;

use std::sync::Arc;

use wasmtime::{
    Store,
    component::{Linker, ResourceTable},
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_config::WasiConfigVariables;
use wasmtime_wasi_http::{
    WasiHttpCtx, WasiHttpCtxView, WasiHttpView,
    p2::{body::HostOutgoingBody, types::HostResponseOutparam},
};

use log::Output;
pub(crate) use log::add_to_linker as add_logging_to_linker;
pub use log::{GuestLog, RequestId, RequestLog};
pub use memory::{Exceeded, Limited, MemoryLimit};
pub use outbound::{AllowList, AllowListError, Caller, Outbound, OwnHosts};
pub(crate) use printer::{Print, Printer};
pub use refused::Refused;

use crate::{
    budget::Reservation,
    engine::{Module, Occupancy, Wasi},
    function::{Reuse, Version},
    limits::Limits,
};
use keyvalue::{Granted, Keyvalue};
use outbound::{Allowance, Hooks};

/// Handles that a guest may hold for each request that it serves at the same time: the host holds up to
/// 80 KB behind one.
const HANDLES_EACH: usize = 1000;
/// Handles that a guest may hold in all: what it leaves behind is ended without a break.
const MAX_HANDLES: usize = 4000;
/// Bytes that the host copies for one call of the guest.
pub(crate) const HOST_CALL_BYTES: usize = 16 << 20;
/// Random bytes of one call: its making is not interrupted, and takes about a slice.
pub(crate) const MAX_RANDOM_BYTES: u64 = 1 << 20;
/// Size of one set of headers, as it is held in memory.
const MAX_HEADER_BYTES: usize = 64 << 10;

/// Puts bounds to words that the host keeps for guests of a generation; what the linker has of them is
/// replaced.
pub(crate) fn bound_names(linker: &mut Linker<Sandbox>, wasi: Wasi) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    names::bound_p2(linker)?;
    if wasi == Wasi::V0_3 {
        names::bound_p3(linker)?;
    }
    linker.allow_shadowing(false);
    Ok(())
}

/// The data of one instance's store.
pub struct Sandbox {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
    config: Arc<WasiConfigVariables>,
    memory: MemoryLimit,
    log: RequestLog,
    outputs: [Output; 2],
    stores: Arc<Granted>,
    /// Whether this request has used a key-value store.
    has_stored: bool,
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
        let most_handles = most_handles(version);
        let mut table = ResourceTable::new();
        table.set_max_capacity(most_handles);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(MAX_HEADER_BYTES);
        let caller = Caller {
            allowed: Arc::clone(version.allowed()),
            log: Arc::clone(log),
        };
        let log = RequestLog::new(Arc::clone(log));
        let outputs = [log.stream("stdout"), log.stream("stderr")];
        let allowance = Allowance::new(version.limits());
        let occupancy = Occupancy::new(Arc::clone(module.engine().slots()));
        let sandbox = Self {
            table,
            wasi: context(version, &outputs),
            http,
            hooks: Hooks::new(Arc::clone(outbound), caller, allowance),
            config: Arc::clone(version.config()),
            memory: MemoryLimit::new(version.limits().memory_bytes, reservation, occupancy),
            log,
            outputs,
            stores: Arc::clone(version.stores()),
            has_stored: false,
        };
        let mut store = Store::new(module.engine().wasmtime(), sandbox);
        store.limiter(|sandbox| &mut sandbox.memory);
        store.set_hostcall_fuel(HOST_CALL_BYTES);
        store.set_max_component_handles(most_handles);
        store
    }

    /// Values that the guest reads through `wasi:config`.
    pub(crate) fn config(&self) -> &WasiConfigVariables {
        &self.config
    }

    /// The key-value stores that the guest may open.
    pub(crate) fn keyvalue(&mut self) -> Keyvalue<'_> {
        self.has_stored = true;
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

/// What one request leaves to the next in an instance that serves several.
impl Sandbox {
    /// A request begins: its calls have an allowance of their own, and log lines its name. No name,
    /// where others are there as well: then nobody knows whose a line is.
    pub(crate) fn begin(&mut self, request: Option<RequestId>, limits: &Limits) {
        self.log.serves(request);
        self.hooks.renew(limits);
        self.has_stored = false;
    }

    /// The request is over: a line that it has begun ends, and is its own.
    pub(crate) fn end(&mut self) {
        for output in &self.outputs {
            output.lock().finish();
        }
    }

    /// Whether the guest holds on to the answer of the request that is over: its client would wait
    /// for as long as the instance lives. Other handles that it keeps count against its limit.
    pub(crate) fn holds_answer(&mut self) -> bool {
        self.table
            .iter_mut()
            .any(|(_, entry)| entry.is::<HostOutgoingBody>() || entry.is::<HostResponseOutparam>())
    }

    /// Whether the request has done something that is seen outside of the instance, besides its
    /// answer and its log.
    pub(crate) fn has_acted(&self) -> bool {
        self.has_stored || self.hooks.has_called()
    }

    /// What its memory limit has drawn from the pod's budget, for another instance.
    pub(crate) fn into_reservation(self) -> Reservation {
        self.memory.into_reservation()
    }
}

impl Limited for Sandbox {
    fn memory(&self) -> &MemoryLimit {
        &self.memory
    }
}

fn most_handles(version: &Version) -> usize {
    let at_once = version.reuse().map_or(1, Reuse::most_at_once);
    (HANDLES_EACH * at_once as usize).min(MAX_HANDLES)
}

/// Environment, output, clocks and randomness; no files, sockets or name look-up.
fn context(version: &Version, [stdout, stderr]: &[Output; 2]) -> WasiCtx {
    let mut builder = WasiCtx::builder();
    builder
        .envs(version.environment())
        .stdout(stdout.clone())
        .stderr(stderr.clone())
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
