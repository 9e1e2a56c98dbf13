//! Where instances live: in slots reserved beforehand, as many as the address space admits.

use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, ResourcesRequired, Result,
};

use super::{combination::Combination, settings::settings, space};

/// Core instances and tables for each component instance: toolchains put several into one.
const PARTS_PER_COMPONENT: u32 = 4;

/// Most parts of one component, so that none takes the whole pool.
const MAX_CORE_INSTANCES: u32 = 64;
const MAX_MEMORIES: u32 = 16;
const MAX_TABLES: u32 = 64;
const MAX_TABLES_PER_MODULE: u32 = 8;

/// Elements of one table; .NET and Python guests pass the default of 20 000.
const TABLE_ELEMENTS: usize = 100_000;
/// Size of a component's or module's own bookkeeping; as Spin has it.
const INSTANCE_BYTES: usize = 10 << 20;

/// Fewer slots than this are not worth a pool.
const LEAST_SLOTS: u32 = 16;

/// Share of the pod's memory that the unused slots of one engine may go on holding: the budget is
/// four fifths of the pod's limit, and this comes on top.
const WARM_SHARE: u64 = 16;

/// An engine with a pool of `slots`, or of as many as can be reserved; without any pool, instances
/// are allocated one by one, which is slower. Also says how many instances fit. `memory_bytes` is
/// what the pod may use in all.
pub(super) fn engine(
    combination: Combination,
    slots: u32,
    memory_bytes: u64,
) -> Result<(Engine, u32)> {
    let mut fitting = slots;
    while fitting >= LEAST_SLOTS.min(slots) && fitting > 0 {
        match Engine::new(&pooled(combination, fitting, memory_bytes)) {
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
    Ok((Engine::new(&settings(combination))?, slots))
}

/// Slots that an instance takes that needs `resources`: as many as have its memories and tables. A fraction
/// is dropped, so that most toolchains' guests take one.
pub(super) fn slots(resources: &ResourcesRequired) -> u32 {
    let memories = space::slots(resources.num_memories);
    let tables = resources.num_tables / PARTS_PER_COMPONENT;
    memories.max(tables).max(1)
}

fn pooled(combination: Combination, slots: u32, memory_bytes: u64) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    let warm = warm_slots(slots, memory_bytes, combination.reset.kept_bytes());
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(PARTS_PER_COMPONENT))
        .total_memories(space::memories(slots))
        .total_tables(slots.saturating_mul(PARTS_PER_COMPONENT))
        .total_stacks(slots)
        .max_core_instances_per_component(MAX_CORE_INSTANCES)
        .max_memories_per_component(MAX_MEMORIES)
        .max_tables_per_component(MAX_TABLES)
        .max_tables_per_module(MAX_TABLES_PER_MODULE)
        .table_elements(TABLE_ELEMENTS)
        .max_component_instance_size(INSTANCE_BYTES)
        .max_core_instance_size(INSTANCE_BYTES)
        .max_unused_warm_slots(warm);
    combination.reset.apply(&mut pool);
    let mut config = settings(combination);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// Unused slots that keep the memory of the module that they ran last, and run it again at a third
/// of the cost: all of them, as far as the pod's memory admits.
fn warm_slots(slots: u32, memory_bytes: u64, kept_bytes: u64) -> u32 {
    let affordable = memory_bytes / WARM_SHARE / kept_bytes.max(1);
    u32::try_from(affordable).unwrap_or(u32::MAX).min(slots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_takes_the_slots_whose_parts_it_needs() {
        let cases = [
            (0, 0, 1),
            (1, 1, 1),
            (2, 4, 1),
            (3, 4, 2),
            (MAX_MEMORIES, 2, 10),
            (1, MAX_TABLES, 16),
        ];
        for (num_memories, num_tables, expected) in cases {
            let resources = ResourcesRequired {
                num_memories,
                max_initial_memory_size: None,
                num_tables,
                max_initial_table_size: None,
            };
            assert_eq!(slots(&resources), expected, "{num_memories} {num_tables}");
        }
    }

    #[test]
    fn warm_slots_hold_a_sixteenth_of_the_memory_at_most() {
        let cases = [
            (1000, 64 << 30, 1 << 20, 1000),
            (1000, 1 << 30, 1 << 20, 64),
            (1000, 1 << 20, 1 << 20, 0),
            (1000, 0, 0, 0),
        ];
        for (slots, memory, kept, expected) in cases {
            assert_eq!(warm_slots(slots, memory, kept), expected, "{memory}");
        }
    }
}
