//! What a child is told, as words of its command line.

use std::time::Duration;

use super::Allowance;
use crate::engine::{GuestKind, Target, Wasi};

/// What a child has to do, and what it may use for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Order {
    pub(super) allowance: Allowance,
    pub(super) target: Target,
}

impl Order {
    pub(super) fn words(self) -> [String; 4] {
        let wasi = match self.target.wasi {
            Wasi::V0_2 => "0.2",
            Wasi::V0_3 => "0.3",
        };
        [
            self.allowance.memory_bytes.to_string(),
            self.allowance.cpu_seconds.to_string(),
            wasi.to_owned(),
            self.target.counts_instructions.to_string(),
        ]
    }

    /// Reads [`words`](Self::words). The clock is the parent's business; layout and kind of guest
    /// are no matter to the compiler.
    pub(super) fn from_words(words: &[String]) -> Option<Self> {
        let [memory_bytes, cpu_seconds, wasi, counts_instructions] = words else {
            return None;
        };
        Some(Self {
            allowance: Allowance {
                memory_bytes: memory_bytes.parse().ok()?,
                cpu_seconds: cpu_seconds.parse().ok()?,
                wall: Duration::MAX,
            },
            target: Target {
                wasi: match wasi.as_str() {
                    "0.2" => Wasi::V0_2,
                    "0.3" => Wasi::V0_3,
                    _ => return None,
                },
                counts_instructions: counts_instructions.parse().ok()?,
                initial_end_bytes: 0,
                guest: GuestKind::Component,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_child_reads_what_it_is_told() {
        for wasi in [Wasi::V0_2, Wasi::V0_3] {
            for counts_instructions in [false, true] {
                let order = Order {
                    allowance: Allowance {
                        memory_bytes: 64 << 20,
                        cpu_seconds: 20,
                        wall: Duration::MAX,
                    },
                    target: Target {
                        wasi,
                        counts_instructions,
                        initial_end_bytes: 0,
                        guest: GuestKind::Component,
                    },
                };
                assert_eq!(Order::from_words(&order.words()), Some(order));
            }
        }
        for words in [
            &["1"][..],
            &["1", "x", "0.2", "true"],
            &["1", "2", "0.1", "true"],
        ] {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            assert_eq!(Order::from_words(&words), None, "{words:?}");
        }
    }
}
