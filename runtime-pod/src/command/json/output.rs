//! Standard output of a JSON command: kept up to its limit, counted beyond it, and held out of the pod's
//! budget.

use bytes::Bytes;

use crate::{
    budget::Reservation,
    command::CommandError,
    sandbox::{Print, Printer},
};

/// One call's output; clones share it.
pub(in crate::command) type Output = Printer<Printed>;

/// What was printed.
#[derive(Debug)]
pub(in crate::command) struct Printed {
    kept: Vec<u8>,
    count_bytes: u64,
    limit_bytes: u64,
    /// For what is kept.
    held: Reservation,
    /// There was no memory for it.
    is_refused: bool,
}

impl Output {
    /// Keeps at most `limit_bytes`, for which `held` grows.
    pub(in crate::command) fn new(limit_bytes: u64, held: Reservation) -> Self {
        Self::to(Printed {
            kept: Vec::new(),
            count_bytes: 0,
            limit_bytes,
            held,
            is_refused: false,
        })
    }

    /// What was printed, if it was not too much, and the memory that is held for it.
    ///
    /// # Errors
    /// [`CommandError::AnswerTooLarge`] with the count, [`CommandError::NoMemory`].
    pub(in crate::command) fn take(&self) -> Result<(Bytes, Reservation), CommandError> {
        let mut printed = self.lock();
        if printed.count_bytes > printed.limit_bytes {
            return Err(CommandError::AnswerTooLarge {
                printed_bytes: printed.count_bytes,
                limit_bytes: printed.limit_bytes,
            });
        }
        if printed.is_refused {
            return Err(CommandError::NoMemory("answer"));
        }
        let beside = printed.held.beside();
        let held = std::mem::replace(&mut printed.held, beside);
        Ok((std::mem::take(&mut printed.kept).into(), held))
    }
}

impl Print for Printed {
    fn print(&mut self, bytes: &[u8]) {
        self.count_bytes = self.count_bytes.saturating_add(bytes.len() as u64);
        self.is_refused |= !self.held.grow_to(self.count_bytes.min(self.limit_bytes));
        if self.count_bytes <= self.limit_bytes && !self.is_refused {
            self.kept.extend_from_slice(bytes);
        } else {
            // Nothing of it will be sent.
            self.kept = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use wasmtime_wasi::p2::OutputStream;

    use super::*;
    use crate::budget::Budget;

    fn output(limit_bytes: u64, budget_bytes: u64) -> Output {
        let budget = Budget::new(budget_bytes);
        Output::new(limit_bytes, budget.reserve(0).unwrap())
    }

    #[test]
    fn what_the_pod_has_no_memory_for_is_no_answer() {
        let mut output = output(100, 5);
        output.write(Bytes::from_static(b"abc")).unwrap();
        output.write(Bytes::from_static(b"def")).unwrap();
        output.write(Bytes::from_static(b"g")).unwrap();
        let error = output.take().unwrap_err().to_string();
        assert!(error.contains("no memory"), "{error}");
    }

    #[test]
    fn keeps_what_is_allowed_and_counts_the_rest() {
        let mut printing = output(5, 100);
        printing.write(Bytes::from_static(b"abc")).unwrap();
        printing.write(Bytes::from_static(b"de")).unwrap();
        let (bytes, held) = printing.clone().take().unwrap();
        assert_eq!((&bytes[..], held.bytes()), (&b"abcde"[..], 5));

        let mut output = output(5, 100);
        output.write(Bytes::from_static(b"abcdef")).unwrap();
        output.write(Bytes::from_static(b"gh")).unwrap();
        let error = output.take().unwrap_err().to_string();
        assert!(
            error.contains("8 bytes, 3 more than the allowed 5"),
            "{error}"
        );
    }
}
