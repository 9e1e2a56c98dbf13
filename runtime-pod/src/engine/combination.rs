//! What a wasmtime engine is made for: settings that guests of one engine have to share.

use super::reset::Reset;

/// Generation of WASI that guests speak.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Wasi {
    /// 0.2: one call at a time in each instance.
    V0_2,
    /// 0.3: calls run concurrently in one instance, for which wasmtime keeps books that make each
    /// call of a 0.2 guest up to 1.4 times as dear.
    V0_3,
}

/// What one engine is made for. Engines are made for those that are in use, when they are.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Combination {
    /// Generation of WASI.
    pub wasi: Wasi,
    /// How slots are made fresh.
    pub reset: Reset,
    /// Whether instructions are counted, besides CPU time.
    pub counts_instructions: bool,
}

impl Combination {
    /// For guests of WASI 0.2 whose instructions are not counted.
    #[must_use]
    pub const fn plain(reset: Reset) -> Self {
        Self {
            wasi: Wasi::V0_2,
            reset,
            counts_instructions: false,
        }
    }
}
