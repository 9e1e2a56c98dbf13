//! What operations of all guests may hold at the same time.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::StoreError;
use crate::share::Share;

/// Operations that are under way; others wait.
const OPERATIONS: usize = 64;
/// Keys and values of guests for operations that wait or are under way, in KiB. They are in memory
/// before an operation can wait, so that what is more is refused.
const ARGUMENTS_KIB: u64 = 64 << 10;
/// What answers of operations that are under way may hold, in KiB; others wait.
const ANSWERS_KIB: u32 = 64 << 10;

/// What of that one function's may hold, in KiB: of what it waits for no other waits.
const ANSWERS_OF_FUNCTION_KIB: u32 = ANSWERS_KIB / 4;

/// Counts operations, and the bytes that they hold.
pub(super) struct Traffic {
    operations: Semaphore,
    arguments_kib: AtomicU64,
    answers: Semaphore,
}

/// What of it is one function's.
pub(super) struct OfFunction {
    arguments_kib: AtomicU64,
    answers: Semaphore,
}

/// An operation may wait, until this is dropped.
pub(super) struct Admitted<'a> {
    traffic: &'a Traffic,
    function: &'a OfFunction,
    kib: u64,
}

/// An operation may go on, until this is dropped.
pub(super) struct Turn<'a> {
    _of_function: SemaphorePermit<'a>,
    _answers: SemaphorePermit<'a>,
    _operation: SemaphorePermit<'a>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            operations: Semaphore::new(OPERATIONS),
            arguments_kib: AtomicU64::new(0),
            answers: Semaphore::new(ANSWERS_KIB as usize),
        }
    }
}

impl Default for OfFunction {
    fn default() -> Self {
        Self {
            arguments_kib: AtomicU64::new(0),
            answers: Semaphore::new(ANSWERS_OF_FUNCTION_KIB as usize),
        }
    }
}

impl Traffic {
    /// Lets an operation with so many bytes of arguments wait for its turn, unless others hold too many, or
    /// its function more than it leaves to them.
    pub(super) fn admit<'a>(
        &'a self,
        function: &'a OfFunction,
        argument_bytes: usize,
    ) -> Result<Admitted<'a>, StoreError> {
        let kib = u64::from(kib(argument_bytes));
        let held_kib = function.arguments_kib.fetch_add(kib, Ordering::Relaxed);
        let all_kib = self.arguments_kib.fetch_add(kib, Ordering::Relaxed);
        let admitted = Admitted {
            traffic: self,
            function,
            kib,
        };
        let free_kib = ARGUMENTS_KIB.saturating_sub(all_kib);
        let fits = kib <= free_kib && Share::Some.allows(held_kib, kib, free_kib);
        fits.then_some(admitted).ok_or(StoreError::Busy)
    }

    /// Waits until an operation whose answer holds at most so many bytes may go on.
    pub(super) async fn turn<'a>(
        &'a self,
        function: &'a OfFunction,
        answer_bytes: usize,
    ) -> Result<Turn<'a>, StoreError> {
        let kib = kib(answer_bytes).min(ANSWERS_OF_FUNCTION_KIB);
        // Its function's part comes first, and a turn last: who waits keeps nothing from others.
        let of_function = function.answers.acquire_many(kib).await;
        let answers = self.answers.acquire_many(kib).await;
        let operation = self.operations.acquire().await;
        Ok(Turn {
            _of_function: of_function.map_err(|_| StoreError::Busy)?,
            _answers: answers.map_err(|_| StoreError::Busy)?,
            _operation: operation.map_err(|_| StoreError::Busy)?,
        })
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        for count in [&self.traffic.arguments_kib, &self.function.arguments_kib] {
            count.fetch_sub(self.kib, Ordering::Relaxed);
        }
    }
}

/// Begun KiB: whatever is held counts.
fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::sandbox::keyvalue::{BATCH_MAX_BYTES, VALUE_MAX_BYTES};

    #[test]
    fn what_would_wait_with_too_many_bytes_is_refused() {
        let (traffic, function) = (Traffic::default(), OfFunction::default());
        let admit = |bytes| traffic.admit(&function, bytes);
        let mut held: Vec<_> = std::iter::from_fn(|| admit(BATCH_MAX_BYTES).ok()).collect();
        assert_eq!(held.len(), 7, "an eighth and more is left");
        assert!(matches!(admit(BATCH_MAX_BYTES), Err(StoreError::Busy)));
        let other = OfFunction::default();
        let of_other = traffic.admit(&other, BATCH_MAX_BYTES).unwrap();
        assert!(traffic.admit(&other, 1).is_err(), "nothing is left");
        drop(of_other);
        held.clear();
        assert!(admit(BATCH_MAX_BYTES).is_ok(), "all was given back");
        assert_eq!(traffic.arguments_kib.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn operations_wait_for_those_before_them_and_for_their_answers() {
        let (traffic, functions) = (Traffic::default(), [(); 5].map(|()| OfFunction::default()));
        let turn = |function: usize, answer_bytes| {
            let turn = traffic.turn(&functions[function], answer_bytes);
            turn.now_or_never()
        };
        let mut held: Vec<_> = (0..OPERATIONS).map_while(|_| turn(0, 1)).collect();
        assert_eq!(held.len(), OPERATIONS);
        assert!(turn(1, 0).is_none());
        held.pop();
        assert!(turn(1, 0).is_some());
        drop(held);

        let _most = turn(0, usize::MAX).unwrap();
        assert!(turn(0, VALUE_MAX_BYTES).is_none());
        assert!(turn(0, 0).is_some());
        let others: Vec<_> = (1..4).map(|other| turn(other, usize::MAX)).collect();
        assert!(others.iter().all(Option::is_some), "each has its part");
        assert!(turn(4, 1).is_none());
    }
}
