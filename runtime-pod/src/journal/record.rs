//! What the journal knows of one function, and how it is written down.

/// Size of a record in the file.
pub(super) const RECORD_BYTES: usize = 64;

/// Bit of a record's flags: guests of the function are running.
const RUNNING: u8 = 1;
/// Bit of a record's flags: a generation is quarantined.
const QUARANTINED: u8 = 2;

/// Which function: the beginning of a hash of its UID. All zeros where there is none.
pub(super) type Id = [u8; 16];

/// What the journal knows of one function.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Record {
    pub(super) id: Id,
    /// Generation that is served.
    pub(super) generation: i64,
    /// Whether its guests are running.
    pub(super) is_running: bool,
    /// When it began to run last: milliseconds since 1970.
    pub(super) used_at: u64,
    /// When this generation was last running at a crash: seconds since 1970, 0 for never.
    pub(super) crashed_at: u64,
    /// Generation that is not served any more.
    pub(super) quarantined: Option<i64>,
}

impl Record {
    pub(super) fn to_bytes(self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..16].copy_from_slice(&self.id);
        let mut flags = 0;
        if self.is_running {
            flags |= RUNNING;
        }
        if self.quarantined.is_some() {
            flags |= QUARANTINED;
        }
        let numbers = [
            self.generation.to_le_bytes(),
            self.used_at.to_le_bytes(),
            self.crashed_at.to_le_bytes(),
            self.quarantined.unwrap_or_default().to_le_bytes(),
        ];
        for (place, number) in bytes[16..48].as_chunks_mut().0.iter_mut().zip(numbers) {
            *place = number;
        }
        bytes[48] = flags;
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; RECORD_BYTES]) -> Self {
        let number = |index: usize| -> [u8; 8] {
            let at = 16 + 8 * index;
            bytes[at..at + 8].try_into().unwrap_or_default()
        };
        let flags = bytes[48];
        Self {
            id: bytes[..16].try_into().unwrap_or_default(),
            generation: i64::from_le_bytes(number(0)),
            is_running: flags & RUNNING != 0,
            used_at: u64::from_le_bytes(number(1)),
            crashed_at: u64::from_le_bytes(number(2)),
            quarantined: (flags & QUARANTINED != 0).then(|| i64::from_le_bytes(number(3))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn records_are_read_as_they_are_written(
            id: Id,
            generation: i64,
            is_running: bool,
            used_at: u64,
            crashed_at: u64,
            quarantined: Option<i64>,
        ) {
            let record = Record { id, generation, is_running, used_at, crashed_at, quarantined };
            prop_assert_eq!(Record::from_bytes(&record.to_bytes()), record);
        }
    }
}
