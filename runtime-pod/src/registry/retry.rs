//! When a request is sent again at once. Longer waits are the caller's, who has other functions to
//! look after meanwhile.

use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;

use super::error::RegistryError;

/// How often a request is sent, at most.
const ATTEMPTS_MAX: u32 = 3;
/// Pause after the first failure; it doubles after each.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
/// The longest pause that a registry may ask for and get here.
const PAUSE_MAX: Duration = Duration::from_secs(3);
/// A request that took this long before it failed is not sent again here.
const SLOW: Duration = Duration::from_secs(3);
/// The longest wait that a registry may ask for at all.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// The pause before the next attempt, or none where the failure shall be told.
pub(super) fn pause(attempts: u32, took: Duration, error: &RegistryError) -> Option<Duration> {
    let passing = matches!(
        error,
        RegistryError::RateLimited { .. }
            | RegistryError::Faulty { .. }
            | RegistryError::Unreachable { .. }
    );
    if !passing || attempts >= ATTEMPTS_MAX || took >= SLOW {
        return None;
    }
    let doubled = PAUSE_FIRST * 2_u32.pow(attempts.saturating_sub(1));
    let pause = error
        .retry_after()
        .map_or(doubled, |asked| asked.max(doubled));
    (pause <= PAUSE_MAX).then_some(pause)
}

/// `Retry-After` in seconds, bounded.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Said;
    use http::StatusCode;

    fn limited(retry_after: Option<u64>) -> RegistryError {
        RegistryError::RateLimited {
            registry: "r.example".to_owned(),
            said: Said {
                status: StatusCode::TOO_MANY_REQUESTS,
                code: None,
            },
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    #[test]
    fn pauses_grow_and_end() {
        let quick = Duration::from_millis(5);
        let milliseconds = |number| Some(Duration::from_millis(number));
        assert_eq!(pause(1, quick, &limited(None)), milliseconds(200));
        assert_eq!(pause(2, quick, &limited(None)), milliseconds(400));
        assert_eq!(pause(3, quick, &limited(None)), None);
        assert_eq!(pause(1, Duration::from_secs(3), &limited(None)), None);
    }

    #[test]
    fn a_short_wait_is_granted_and_a_long_one_is_told() {
        let quick = Duration::from_millis(5);
        assert_eq!(
            pause(1, quick, &limited(Some(1))),
            Some(Duration::from_secs(1))
        );
        assert_eq!(pause(1, quick, &limited(Some(0))), Some(PAUSE_FIRST));
        assert_eq!(pause(1, quick, &limited(Some(60))), None);
    }

    #[test]
    fn what_no_repetition_cures_is_told_at_once() {
        let error = RegistryError::NotWasm {
            image: String::new(),
            problem: String::new(),
        };
        assert_eq!(pause(1, Duration::ZERO, &error), None);
    }

    #[test]
    fn retry_after_is_bounded() {
        let table = [
            ("7", Some(7)),
            ("999999", Some(300)),
            ("soon", None),
            ("-1", None),
        ];
        for (value, seconds) in table {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            assert_eq!(
                retry_after(&headers),
                seconds.map(Duration::from_secs),
                "{value}"
            );
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
