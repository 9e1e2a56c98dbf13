//! What the code of a module is made for, as far as its bytes and its function decide it. Kept with
//! the code, so that it can be served without the bytes.

use wasmfn_crds::spec::Contract;

use super::{
    CompileError,
    combination::{Combination, Wasi},
    compile::guest_kind,
    inspect, layout,
    reset::Reset,
};
use crate::command::contract::Counting;

/// Bytes of a target beside its code.
pub const TARGET_BYTES: usize = 16;

/// What kind of guest a module is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GuestKind {
    /// A component.
    Component,
    /// A WASI preview 1 command.
    Command {
        /// The contract that the module itself names.
        contract: Option<Contract>,
    },
}

/// What code is made for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Target {
    /// Generation of WASI.
    pub wasi: Wasi,
    /// Whether instructions are counted.
    pub counts_instructions: bool,
    /// Where the module's initial layout ends, which decides how its slots are made fresh.
    pub initial_end_bytes: u64,
    /// How it is called.
    pub guest: GuestKind,
}

impl Target {
    /// Looks at a module, whose instructions its function wants counted as `counting` says.
    ///
    /// # Errors
    /// [`CompileError`], before anything costly, for what is no module that can be served.
    pub fn of(module: &[u8], counting: Counting) -> Result<Self, CompileError> {
        let guest = guest_kind(module)?;
        let (wasi, counts_instructions) = match guest {
            GuestKind::Component => (inspect::generation(module), false),
            GuestKind::Command { contract } => (Wasi::V0_2, counting.counts(contract)),
        };
        Ok(Self {
            wasi,
            counts_instructions,
            initial_end_bytes: layout::initial_end_bytes(module),
            guest,
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
        bytes[10] = match self.guest {
            GuestKind::Component => 0,
            GuestKind::Command { contract: None } => 1,
            GuestKind::Command {
                contract: Some(Contract::CGI),
            } => 2,
            GuestKind::Command {
                contract: Some(Contract::JSON),
            } => 3,
        };
        bytes
    }

    /// Reads [`to_bytes`](Self::to_bytes); none, where nobody can have written it.
    pub(crate) fn from_bytes(bytes: [u8; TARGET_BYTES]) -> Option<Self> {
        let [low @ .., wasi, counts, guest, _, _, _, _, _] = bytes;
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
            guest: match guest {
                0 => GuestKind::Component,
                1 => GuestKind::Command { contract: None },
                2 => GuestKind::Command {
                    contract: Some(Contract::CGI),
                },
                3 => GuestKind::Command {
                    contract: Some(Contract::JSON),
                },
                _ => return None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_as_they_are_written() {
        let contracts = [None, Some(Contract::CGI), Some(Contract::JSON)];
        let commands = contracts.map(|contract| GuestKind::Command { contract });
        for guest in commands.into_iter().chain([GuestKind::Component]) {
            for wasi in [Wasi::V0_2, Wasi::V0_3] {
                for counts_instructions in [false, true] {
                    let target = Target {
                        wasi,
                        counts_instructions,
                        initial_end_bytes: 0x0123_4567_89ab,
                        guest,
                    };
                    assert_eq!(Target::from_bytes(target.to_bytes()), Some(target));
                }
            }
        }
        assert_eq!(Target::from_bytes([0; TARGET_BYTES]), None);
        assert_eq!(Target::from_bytes([9; TARGET_BYTES]), None);
    }
}
