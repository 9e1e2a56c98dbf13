//! What the compilation of one module may use, from the size of the module.

use std::time::Duration;

/// Memory of a compilation, as a multiple of the module's size. Measured: between 320 and 340 MiB for a
/// `JavaScript` component of 12.4 MiB, with the child's `ENVIRONMENT`.
const MEMORY_FACTOR: u64 = 40;
/// Memory of the smallest compilation: the program, its threads and their stacks, and one function
/// of 200 KB.
const LEAST_MEMORY_BYTES: u64 = 96 << 20;

/// CPU time of the smallest compilation, in seconds. A guest of 260 KiB takes 0.04 s; it is the
/// slow machine and the odd module that this leaves room for.
const LEAST_CPU_SECONDS: u64 = 20;
/// CPU time for each MiB of a module, in seconds. Measured: 0.84 s for a `JavaScript` component,
/// in a release build on one core.
const CPU_SECONDS_PER_MIB: u64 = 6;

/// Time on the clock, as a multiple of the CPU time: a pod may have little of a core, and
/// compilations give way to serving.
const WALL_FACTOR: u32 = 5;

/// Limits of one compilation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Allowance {
    /// Memory that the child may write to, in bytes.
    pub memory_bytes: u64,
    /// CPU time of all its threads together, in seconds.
    pub cpu_seconds: u64,
    /// Time from its start to its end.
    pub wall: Duration,
}

impl Allowance {
    /// What a module of `module_bytes` may use in a pod whose memory budget is `budget_bytes`.
    #[must_use]
    pub fn of(module_bytes: u64, budget_bytes: u64) -> Self {
        let memory = module_bytes.saturating_mul(MEMORY_FACTOR);
        let cpu_seconds = LEAST_CPU_SECONDS + (module_bytes >> 20) * CPU_SECONDS_PER_MIB;
        Self {
            memory_bytes: memory.max(LEAST_MEMORY_BYTES).min(budget_bytes),
            cpu_seconds,
            wall: Duration::from_secs(cpu_seconds) * WALL_FACTOR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn grows_with_the_module_and_stays_within_the_pod() {
        let cases = [
            (0, 400 * MIB, 96 * MIB, 20),
            (MIB / 4, 400 * MIB, 96 * MIB, 20),
            (8 * MIB, 400 * MIB, 320 * MIB, 68),
            (20 * MIB, 400 * MIB, 400 * MIB, 140),
            (MIB, 10 * MIB, 10 * MIB, 26),
        ];
        for (module, budget, memory, cpu) in cases {
            let allowance = Allowance::of(module, budget);
            assert_eq!(allowance.memory_bytes, memory, "{module}");
            assert_eq!(allowance.cpu_seconds, cpu, "{module}");
            assert!(allowance.wall >= Duration::from_secs(cpu), "{module}");
        }
    }
}
