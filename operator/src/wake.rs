//! What has to be looked at again: a set of keys, each in it at most once, and a bell.

use std::{collections::BTreeSet, sync::Mutex};

use tokio::sync::Notify;

/// Keys that wait to be looked at. Bounded by the number of keys there are, so that a standby may
/// fill it for days without anyone who empties it.
#[derive(Debug)]
pub struct Wakes<K> {
    pending: Mutex<BTreeSet<K>>,
    bell: Notify,
}

impl<K> Default for Wakes<K> {
    fn default() -> Self {
        Self {
            pending: Mutex::new(BTreeSet::new()),
            bell: Notify::new(),
        }
    }
}

impl<K: Ord> Wakes<K> {
    /// Has `key` looked at again.
    pub fn wake(&self, key: K) {
        self.wake_all([key]);
    }

    /// Has all of `keys` looked at again.
    pub fn wake_all(&self, keys: impl IntoIterator<Item = K>) {
        let mut pending = self.lock();
        pending.extend(keys);
        if !pending.is_empty() {
            self.bell.notify_one();
        }
    }

    /// Takes a key, once there is one.
    pub async fn next(&self) -> K {
        loop {
            if let Some(key) = self.lock().pop_first() {
                return key;
            }
            self.bell.notified().await;
        }
    }

    /// Takes all keys that are there now, possibly none.
    pub fn take(&self) -> BTreeSet<K> {
        std::mem::take(&mut *self.lock())
    }

    /// Waits until there may be a key.
    pub async fn ring(&self) {
        self.bell.notified().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<K>> {
        self.pending
            .lock()
            .expect("no code that holds this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;

    #[tokio::test]
    async fn a_key_is_handed_out_once_however_often_it_was_woken() {
        let wakes = Wakes::default();
        wakes.wake_all(["a", "b", "a"]);
        wakes.wake("b");
        assert_eq!(wakes.next().await, "a");
        assert_eq!(wakes.next().await, "b");
        assert!(wakes.take().is_empty());
    }

    #[tokio::test]
    async fn a_waiting_taker_wakes_up() {
        let wakes = Arc::new(Wakes::default());
        let taker = tokio::spawn({
            let wakes = Arc::clone(&wakes);
            async move { wakes.next().await }
        });
        tokio::task::yield_now().await;
        wakes.wake(7);
        let key = tokio::time::timeout(Duration::from_secs(5), taker).await;
        assert_eq!(key.unwrap().unwrap(), 7);
    }
}
