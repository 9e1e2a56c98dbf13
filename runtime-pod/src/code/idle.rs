//! Which mapped modules are let go: a pure decision.

use std::time::Duration;

/// A module that was not asked for this long is let go.
const IDLE: Duration = Duration::from_secs(60);

/// Part of the limit that is freed besides once something has to go, so that it is not decided
/// anew for each module: a tenth.
const FREED_PART: u64 = 10;

/// A module that is mapped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Mapped {
    /// When it was asked for last, on the cache's clock.
    pub(super) used_at: Duration,
    /// What it costs, in bytes.
    pub(super) bytes: u64,
}

/// Places in `mapped` of those that are let go: the idle ones, and where what is left of
/// `total_bytes` passes `max_bytes`, those that were asked for longest ago. The total counts what
/// cannot be let go, too.
pub(super) fn leaving(
    mapped: &[Mapped],
    total_bytes: u64,
    now: Duration,
    max_bytes: u64,
) -> Vec<usize> {
    let mut order: Vec<usize> = (0..mapped.len()).collect();
    order.sort_by_key(|place| mapped[*place].used_at);
    let mut total = total_bytes;
    let aim = if total > max_bytes {
        max_bytes - max_bytes / FREED_PART
    } else {
        max_bytes
    };
    let mut leaving = Vec::new();
    for place in order {
        let one = mapped[place];
        let is_idle = now.saturating_sub(one.used_at) >= IDLE;
        if !is_idle && total <= aim {
            break;
        }
        total = total.saturating_sub(one.bytes);
        leaving.push(place);
    }
    leaving
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1000);

    fn ago(seconds: u64) -> Mapped {
        Mapped {
            used_at: NOW - Duration::from_secs(seconds),
            bytes: 100,
        }
    }

    #[test]
    fn idle_ones_go_and_then_those_asked_for_longest_ago() {
        let cases: [(&[Mapped], u64, &[usize]); 7] = [
            (&[], 100, &[]),
            (&[ago(1), ago(59)], 200, &[]),
            (&[ago(1), ago(60), ago(90)], 1000, &[2, 1]),
            // One too many; then a tenth is freed besides.
            (&[ago(1), ago(5), ago(3)], 299, &[1]),
            (&[ago(1), ago(5), ago(3)], 200, &[1, 2]),
            // Those that are idle make room first.
            (&[ago(1), ago(70), ago(3)], 230, &[1]),
            (&[ago(0)], 50, &[0]),
        ];
        for (mapped, max_bytes, expected) in cases {
            let total = 100 * mapped.len() as u64;
            let leaving = leaving(mapped, total, NOW, max_bytes);
            assert_eq!(leaving, expected, "{mapped:?}");
        }
        // Another one cannot be let go.
        assert_eq!(leaving(&[ago(1), ago(5)], 300, NOW, 250), [1]);
    }
}
