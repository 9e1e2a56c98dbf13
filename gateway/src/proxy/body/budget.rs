use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Bytes that may be kept over all requests.
#[derive(Clone, Debug)]
pub struct Budget(Arc<AtomicUsize>);

/// A share of the budget, given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    free: Arc<AtomicUsize>,
    bytes: usize,
}

impl Budget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    /// Bytes that are not taken.
    #[must_use]
    pub fn free(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes a share; an empty one where there is not enough left.
    pub(super) fn take(&self, bytes: usize) -> Share {
        let taken = self
            .0
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |free| {
                free.checked_sub(bytes)
            })
            .is_ok();
        Share {
            free: self.0.clone(),
            bytes: if taken { bytes } else { 0 },
        }
    }
}

impl Share {
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn give_back(&mut self) {
        self.free
            .fetch_add(std::mem::take(&mut self.bytes), Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
    }
}
