//! Where instances live: in slots reserved beforehand, as many as the address space admits.

use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Result};

use super::settings::settings;

/// Core instances and tables for each component instance: toolchains put several into one.
const PARTS_PER_COMPONENT: u32 = 4;
/// Memories for two component instances.
const MEMORIES_PER_TWO: u32 = 3;

/// Most parts of one component, so that none takes the whole pool.
const MAX_CORE_INSTANCES: u32 = 64;
const MAX_MEMORIES: u32 = 16;
const MAX_TABLES: u32 = 64;
const MAX_TABLES_PER_MODULE: u32 = 8;

/// Elements of one table; .NET and Python guests pass the default of 20 000.
const TABLE_ELEMENTS: usize = 100_000;
/// Size of a component's or module's own bookkeeping; as Spin has it.
const INSTANCE_BYTES: usize = 10 << 20;

/// Memory that is given back to the kernel in one go: 1.2 times the throughput of one by one.
const DECOMMIT_BATCH: usize = 16;
/// Part of a table that is reset by copying.
const TABLE_KEEP_BYTES: usize = 64 << 10;

/// Fewer slots than this are not worth a pool.
const LEAST_SLOTS: u32 = 16;

/// An engine with a pool of `slots`, or of as many as can be reserved; without any pool, instances
/// are allocated one by one, which is slower. Also says how many instances fit.
pub(super) fn engine(slots: u32) -> Result<(Engine, u32)> {
    let mut fitting = slots;
    while fitting >= LEAST_SLOTS.min(slots) {
        match Engine::new(&pooled(fitting)) {
            Ok(engine) => return Ok((engine, fitting)),
            Err(error) => {
                tracing::warn!(
                    slots = fitting,
                    error = format!("{error:#}"),
                    "the address space does not hold that many instances; trying fewer"
                );
            }
        }
        fitting /= 4;
    }
    tracing::warn!("no pool of instances can be reserved; each is allocated on its own");
    Ok((Engine::new(&settings())?, slots))
}

fn pooled(slots: u32) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(PARTS_PER_COMPONENT))
        .total_memories(slots.saturating_mul(MEMORIES_PER_TWO) / 2 + 1)
        .total_tables(slots.saturating_mul(PARTS_PER_COMPONENT))
        .total_stacks(slots)
        .max_core_instances_per_component(MAX_CORE_INSTANCES)
        .max_memories_per_component(MAX_MEMORIES)
        .max_tables_per_component(MAX_TABLES)
        .max_tables_per_module(MAX_TABLES_PER_MODULE)
        .table_elements(TABLE_ELEMENTS)
        .max_component_instance_size(INSTANCE_BYTES)
        .max_core_instance_size(INSTANCE_BYTES)
        // A slot that last ran the same module is cheaper; beyond this number none stays warm.
        .max_unused_warm_slots(slots)
        .decommit_batch_size(DECOMMIT_BATCH)
        .table_keep_resident(TABLE_KEEP_BYTES);
    let mut config = settings();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}
