//! How wasmtime compiles and runs guests.

use std::num::NonZeroUsize;

use wasmtime::{Config, OptLevel};

use super::combination::{Combination, Wasi};

/// Stack of a guest's own code. Wasmtime's default.
const WASM_STACK_BYTES: usize = 512 << 10;

/// Stack of a guest together with the host functions that it calls. Wasmtime's default; the gap to
/// [`WASM_STACK_BYTES`] is what host functions need.
const FULL_STACK_BYTES: usize = 2 << 20;

/// Frames of a trap's backtrace that are kept for the log.
const BACKTRACE_FRAMES: usize = 16;

/// Settings but for where instances are allocated. Of the combination, only the way in which slots
/// are made fresh leaves the compiled code as it is.
pub(super) fn settings(combination: Combination) -> Config {
    let mut config = Config::new();
    config.concurrency_support(combination.wasi == Wasi::V0_3);
    config.consume_fuel(combination.counts_instructions);
    config.epoch_interruption(true);
    config.max_wasm_stack(WASM_STACK_BYTES);
    config.async_stack_size(FULL_STACK_BYTES);
    config.cranelift_opt_level(OptLevel::Speed);
    config.wasm_backtrace_max_frames(NonZeroUsize::new(BACKTRACE_FRAMES));
    // A sixth of the code of a `JavaScript` guest, which nothing asks for that runs it: where in the
    // module an instruction comes from, names for debuggers, tables for the system's unwinder. Those
    // tables would also be told to the system each time that code is mapped.
    config.generate_address_map(false);
    config.debug_symbols(false);
    config.native_unwind_info(false);
    // What no HTTP guest needs and toolchains do not emit. Threads, garbage collection and stack
    // switching are not even compiled into this binary.
    config.wasm_memory64(false);
    config.wasm_custom_page_sizes(false);
    config.wasm_wide_arithmetic(false);
    config
}
