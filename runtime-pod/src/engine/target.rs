//! What the code of a module is made for, as far as its bytes and its function decide it. Kept with
//! the code, so that it can be served without the bytes.

use super::{
    CompileError,
    combination::{Combination, Wasi},
    compile::refuse_foreign,
    layout,
    reset::Reset,
};

/// Bytes of a target beside its code.
pub const TARGET_BYTES: usize = 16;

/// What code is made for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Target {
    /// Generation of WASI.
    pub wasi: Wasi,
    /// Whether instructions are counted.
    pub counts_instructions: bool,
    /// Where the module's initial layout ends, which decides how its slots are made fresh.
    pub initial_end_bytes: u64,
}

impl Target {
    /// Looks at a module.
    ///
    /// # Errors
    /// [`CompileError`], before anything costly, for what is no module that can be served.
    pub fn of(module: &[u8]) -> Result<Self, CompileError> {
        refuse_foreign(module)?;
        Ok(Self {
            wasi: Wasi::V0_2,
            counts_instructions: false,
            initial_end_bytes: layout::initial_end_bytes(module),
        })
    }

    /// The combination whose engines serve it, where slots are made fresh in this way.
    pub(super) const fn combination(self, reset: Reset) -> Combination {
        Combination {
            wasi: self.wasi,
            reset,
            counts_instructions: self.counts_instructions,
        }
    }

    /// As it is written beside the code.
    pub(crate) fn to_bytes(self) -> [u8; TARGET_BYTES] {
        let mut bytes = [0; TARGET_BYTES];
        bytes[..8].copy_from_slice(&self.initial_end_bytes.to_le_bytes());
        bytes[8] = match self.wasi {
            Wasi::V0_2 => 2,
            Wasi::V0_3 => 3,
        };
        bytes[9] = self.counts_instructions.into();
        bytes
    }

    /// Reads [`to_bytes`](Self::to_bytes); none, where nobody can have written it.
    pub(crate) fn from_bytes(bytes: [u8; TARGET_BYTES]) -> Option<Self> {
        let [low @ .., wasi, counts, _, _, _, _, _, _] = bytes;
        Some(Self {
            wasi: match wasi {
                2 => Wasi::V0_2,
                3 => Wasi::V0_3,
                _ => return None,
            },
            counts_instructions: match counts {
                0 => false,
                1 => true,
                _ => return None,
            },
            initial_end_bytes: u64::from_le_bytes(low),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_as_they_are_written() {
        for wasi in [Wasi::V0_2, Wasi::V0_3] {
            for counts_instructions in [false, true] {
                let target = Target {
                    wasi,
                    counts_instructions,
                    initial_end_bytes: 0x0123_4567_89ab,
                };
                assert_eq!(Target::from_bytes(target.to_bytes()), Some(target));
            }
        }
        assert_eq!(Target::from_bytes([0; TARGET_BYTES]), None);
        assert_eq!(Target::from_bytes([9; TARGET_BYTES]), None);
    }
}
