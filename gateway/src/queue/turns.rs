use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::Queue;

/// Whose turn it is among the functions that wait for the same pods: one after another, however
/// many requests each of them has waiting.
#[derive(Debug, Default)]
pub struct Turns {
    ring: Mutex<VecDeque<Arc<Queue>>>,
    /// Size of `ring`, so that the common case takes no lock.
    size: AtomicUsize,
}

/// A slot in a pod that has come free, offered to one request. Dropped without being taken, it goes
/// on to the function whose request has freed it: what bars the first may be a limit of its own.
#[derive(Debug)]
pub struct Offer {
    next: Option<Arc<Queue>>,
}

impl Turns {
    /// Whether no function waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.size.load(Ordering::SeqCst) == 0
    }

    /// A request of `own` has ended: the function whose turn it is may have its slot, or else `own`.
    pub fn slot_freed(&self, own: &Arc<Queue>) {
        if self.is_empty() {
            return;
        }
        let first = {
            let mut ring = self.ring();
            let Some(first) = ring.pop_front() else {
                return;
            };
            ring.push_back(first.clone());
            first
        };
        let next = (!Arc::ptr_eq(&first, own)).then(|| own.clone());
        first.offer(Offer { next });
    }

    /// A function begins to wait.
    pub(super) fn enlist(&self, queue: Arc<Queue>) {
        let mut ring = self.ring();
        ring.push_back(queue);
        self.size.store(ring.len(), Ordering::SeqCst);
    }

    /// A function waits no more.
    pub(super) fn withdraw(&self, queue: &Arc<Queue>) {
        let mut ring = self.ring();
        ring.retain(|other| !Arc::ptr_eq(other, queue));
        self.size.store(ring.len(), Ordering::SeqCst);
    }

    fn ring(&self) -> MutexGuard<'_, VecDeque<Arc<Queue>>> {
        self.ring
            .lock()
            .expect("nothing panics while it holds this lock")
    }
}

impl Offer {
    /// A request has the slot.
    pub(super) fn take(mut self) {
        self.next = None;
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        if let Some(queue) = self.next.take() {
            queue.offer(Self { next: None });
        }
    }
}
