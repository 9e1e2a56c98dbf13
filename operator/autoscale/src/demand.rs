use std::ops::AddAssign;

use crate::Function;

/// Shares of a pod are counted in millionths, rounded down: sums of them are exact, so that three
/// thirds are one pod and never two.
pub const MICRO_PODS: u64 = 1_000_000;

/// Guests that may wait for each core before a pod counts as fully used: up to one that runs and
/// one that waits, a core is busy and nobody waits long.
const GUESTS_PER_CORE: u64 = 2;

/// A pod, as far as it matters how much of it a function uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PodLoad {
    /// Threads that run guests; 0 where it is not known.
    pub cores: u32,
    /// Memory that it may use, in bytes; 0 where it is not known.
    pub memory_budget_bytes: u64,
    /// Memory that the guests of all functions hold, in bytes.
    pub guests_memory_bytes: u64,
    /// It refuses requests for want of memory.
    pub full: bool,
}

/// What a function uses of all pods, in millionths of one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    cpu: u64,
    memory: u64,
    memory_of_full: u64,
}

impl Usage {
    /// Adds what the function uses of one more pod: guests that wait for CPU, and memory in bytes.
    ///
    /// A pod that is full counts as used up by those whose guests hold memory there, however much
    /// of its budget is left: it is too little for one more.
    pub fn add(&mut self, pod: &PodLoad, guests_runnable: u32, memory_bytes: u64) {
        self.cpu = self.cpu.saturating_add(share(
            u64::from(guests_runnable),
            GUESTS_PER_CORE * u64::from(pod.cores),
        ));
        if pod.full {
            let used_up = share(memory_bytes, pod.guests_memory_bytes);
            self.memory_of_full = self.memory_of_full.saturating_add(used_up);
        } else {
            let used = share(memory_bytes, pod.memory_budget_bytes);
            self.memory = self.memory.saturating_add(used);
        }
    }
}

/// Demand in millionths of a pod, by what is short.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Demand {
    /// By requests in flight and waiting.
    pub requests: u64,
    /// By guests that wait for CPU.
    pub cpu: u64,
    /// By memory.
    pub memory: u64,
}

impl Demand {
    /// What a function asks for before its bounds. Where pods are full, each waiting request is
    /// taken to need as much memory as one in flight does.
    #[must_use]
    pub fn of(function: &Function) -> Self {
        if function.suspended {
            return Self::default();
        }
        let all = function.in_flight.saturating_add(function.queued);
        let usage = function.usage;
        let of_full = match function.in_flight {
            0 => usage.memory_of_full,
            in_flight => times(usage.memory_of_full, all, in_flight),
        };
        Self {
            requests: share(all, u64::from(function.target_concurrency.max(1))),
            cpu: usage.cpu,
            memory: usage.memory.saturating_add(of_full),
        }
    }

    /// The largest of them.
    #[must_use]
    pub fn largest(&self) -> u64 {
        self.requests.max(self.cpu).max(self.memory)
    }
}

impl AddAssign for Demand {
    fn add_assign(&mut self, other: Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.cpu = self.cpu.saturating_add(other.cpu);
        self.memory = self.memory.saturating_add(other.memory);
    }
}

/// What a function asks for beyond its fewest pods, within its bounds.
pub(crate) fn excess(function: &Function) -> u64 {
    let fewest = u64::from(function.fewest()) * MICRO_PODS;
    let most = u64::from(function.most()) * MICRO_PODS;
    Demand::of(function).largest().clamp(fewest, most) - fewest
}

/// Whether it asks for more than its most pods.
pub(crate) fn is_capped(function: &Function) -> bool {
    Demand::of(function).largest() > u64::from(function.most()) * MICRO_PODS
}

/// Whole pods that hold so many millionths.
pub(crate) fn pods(micro_pods: u64) -> u32 {
    u32::try_from(micro_pods.div_ceil(MICRO_PODS)).unwrap_or(u32::MAX)
}

/// `part` of `whole` in millionths; nothing where the whole is not known. Anything at all counts.
fn share(part: u64, whole: u64) -> u64 {
    if part == 0 || whole == 0 {
        return 0;
    }
    times(MICRO_PODS, part, whole).max(1)
}

/// `value * numerator / denominator` without a loss in between.
fn times(value: u64, numerator: u64, denominator: u64) -> u64 {
    let product = u128::from(value) * u128::from(numerator) / u128::from(denominator.max(1));
    u64::try_from(product).unwrap_or(u64::MAX)
}
