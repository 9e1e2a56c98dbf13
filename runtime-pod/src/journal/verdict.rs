//! Which function is to blame for a crash: a pure decision.

use super::record::Record;

/// Two crashes within this time are one too many, in seconds.
pub(super) const WINDOW_SECONDS: u64 = 600;

/// What is known of a function after the process crashed and was started again at `now`, in seconds
/// since 1970: a generation that was running then, and at another crash a short while before, is
/// quarantined.
pub(super) fn after_crash(record: Record, now: u64) -> Record {
    if !record.is_running {
        return record;
    }
    let is_again =
        record.crashed_at != 0 && now.saturating_sub(record.crashed_at) <= WINDOW_SECONDS;
    Record {
        is_running: false,
        crashed_at: now,
        quarantined: if is_again {
            Some(record.generation)
        } else {
            record.quarantined
        },
        ..record
    }
}

/// What is known of a function once `generation` is served: of another, nothing is held against it.
pub(super) fn served(record: Record, generation: i64) -> Record {
    if record.generation == generation {
        return record;
    }
    Record {
        generation,
        crashed_at: 0,
        quarantined: None,
        ..record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    #[test]
    fn running_at_two_crashes_within_ten_minutes_is_one_too_many() {
        let cases = [
            // (running, the crash before, already quarantined) -> quarantined
            (false, 0, None, None),
            (false, NOW - 5, None, None),
            (true, 0, None, None),
            (true, NOW - 5, None, Some(3)),
            (true, NOW - 600, None, Some(3)),
            (true, NOW - 601, None, None),
            // A clock that was set back.
            (true, NOW + 5, None, Some(3)),
            (false, NOW - 5, Some(3), Some(3)),
        ];
        for (is_running, crashed_at, before, expected) in cases {
            let record = Record {
                generation: 3,
                is_running,
                crashed_at,
                quarantined: before,
                ..Record::default()
            };
            let after = after_crash(record, NOW);
            assert_eq!(after.quarantined, expected, "{record:?}");
            assert!(!after.is_running);
            let crashed_at = if is_running { NOW } else { crashed_at };
            assert_eq!(after.crashed_at, crashed_at, "{record:?}");
        }
    }

    #[test]
    fn another_generation_begins_anew() {
        let record = Record {
            generation: 3,
            crashed_at: NOW,
            quarantined: Some(3),
            used_at: 7,
            ..Record::default()
        };
        assert_eq!(served(record, 3), record);
        let other = served(record, 4);
        assert_eq!((other.crashed_at, other.quarantined), (0, None));
        assert_eq!((other.generation, other.used_at), (4, 7));
    }
}
