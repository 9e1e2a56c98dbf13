//! Which core runs what: servers one, the load another.

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Lets this thread, and what it starts from now on, run on the first core that it may use.
pub(super) fn to_server_core() -> Result<()> {
    to(*cores()?.first().context("no core")?)
}

/// Lets this thread, and what it starts from now on, run on the last core of the machine; where
/// that is the servers' as well, they share it.
pub(super) fn to_load_core() -> Result<()> {
    to(load_core()?)
}

/// The last core of the machine.
pub(super) fn load_core() -> Result<usize> {
    cores()?.last().copied().context("no core")
}

/// Lets this thread run on this core only.
pub(super) fn to(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).context("cannot choose a core")
}

/// Cores of the machine that tasks may run on, as the process began.
fn cores() -> Result<Vec<usize>> {
    static CORES: std::sync::OnceLock<Vec<usize>> = std::sync::OnceLock::new();
    if let Some(cores) = CORES.get() {
        return Ok(cores.clone());
    }
    let set = sched_getaffinity(None)?;
    let cores = (0..CpuSet::MAX_CPU)
        .filter(|core| set.is_set(*core))
        .collect();
    Ok(CORES.get_or_init(|| cores).clone())
}
