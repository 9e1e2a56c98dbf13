//! Standard output of a JSON command: kept up to its limit, counted beyond it.

use bytes::Bytes;

use crate::{
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
}

impl Output {
    /// Keeps at most `limit_bytes`.
    pub(in crate::command) fn new(limit_bytes: u64) -> Self {
        Self::to(Printed {
            kept: Vec::new(),
            count_bytes: 0,
            limit_bytes,
        })
    }

    /// What was printed, if it was not too much.
    ///
    /// # Errors
    /// [`CommandError::AnswerTooLarge`] with the count.
    pub(in crate::command) fn take(&self) -> Result<Bytes, CommandError> {
        let mut printed = self.lock();
        if printed.count_bytes > printed.limit_bytes {
            return Err(CommandError::AnswerTooLarge {
                printed_bytes: printed.count_bytes,
                limit_bytes: printed.limit_bytes,
            });
        }
        Ok(std::mem::take(&mut printed.kept).into())
    }
}

impl Print for Printed {
    fn print(&mut self, bytes: &[u8]) {
        self.count_bytes = self.count_bytes.saturating_add(bytes.len() as u64);
        if self.count_bytes <= self.limit_bytes {
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

    #[test]
    fn keeps_what_is_allowed_and_counts_the_rest() {
        let mut output = Output::new(5);
        output.write(Bytes::from_static(b"abc")).unwrap();
        output.write(Bytes::from_static(b"de")).unwrap();
        assert_eq!(output.clone().take().unwrap(), "abcde");

        let mut output = Output::new(5);
        output.write(Bytes::from_static(b"abcdef")).unwrap();
        output.write(Bytes::from_static(b"gh")).unwrap();
        let error = output.take().unwrap_err().to_string();
        assert!(
            error.contains("8 bytes, 3 more than the allowed 5"),
            "{error}"
        );
    }
}
