//! How long a function that failed waits for its next try: doubling, by object.

use std::{collections::HashMap, sync::Mutex, time::Duration};

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// Failures in a row, by the object's UID.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: Mutex<HashMap<String, u32>>,
}

impl Backoff {
    /// Counts a failure of the object; says how long it shall wait.
    pub fn failed(&self, uid: &str) -> Duration {
        let mut failures = self.lock();
        let count = failures.entry(uid.to_owned()).or_insert(0);
        let delay = FIRST.saturating_mul(1 << (*count).min(16)).min(LONGEST);
        *count += 1;
        delay
    }

    /// The object succeeded, or is there no more.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, u32>> {
        self.failures
            .lock()
            .expect("no code that holds this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_five_minutes_and_forgets() {
        let backoff = Backoff::default();
        let delays: Vec<u64> = (0..11).map(|_| backoff.failed("a").as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(backoff.failed("b").as_secs(), 1, "each object by itself");
        backoff.forget("a");
        assert_eq!(backoff.failed("a").as_secs(), 1);
    }
}
