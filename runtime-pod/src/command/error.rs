//! What a command did wrong, and what the client is told of it.

use wasmfn_crds::answer::AnswerReason;

use super::{cgi::head::HeadError, json::document::NotJson};

/// Why a command's answer is not sent.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The program failed by its own account.
    #[error("the function exited with code {0}")]
    Exited(i32),
    /// The request makes no environment for a program.
    #[error("the request cannot be passed to a program: {0}")]
    BadRequest(&'static str),
    /// The request is no JSON document.
    #[error("the request must be one JSON document: {0}")]
    RequestNotJson(NotJson),
    /// The body of the request could not be read to its end.
    #[error("the body of the request ended early")]
    RequestBroken,
    /// What it printed does not begin with the head of a CGI answer.
    #[error("the function's answer does not begin as CGI asks: {0}")]
    Head(#[from] HeadError),
    /// It announced another length than it printed.
    #[error("the function announced {announced_bytes} bytes and printed {printed_bytes}")]
    Length {
        /// Its `Content-Length`.
        announced_bytes: u64,
        /// Bytes after the head; at least, where it printed more.
        printed_bytes: u64,
    },
    /// What it printed is no JSON document.
    #[error("the function's answer must be one JSON document: {0}")]
    AnswerNotJson(NotJson),
    /// It printed too much.
    #[error(
        "the function printed {printed_bytes} bytes, {} more than the allowed {limit_bytes}",
        printed_bytes - limit_bytes
    )]
    AnswerTooLarge {
        /// What it printed.
        printed_bytes: u64,
        /// What it may print.
        limit_bytes: u64,
    },
    /// The pod has no memory for a document, which the host holds.
    #[error("the pod has no memory for the function's {0}")]
    NoMemory(&'static str),
    /// It used too many instructions; counted to its end.
    #[error(
        "the function used {used} instructions, {} more than its budget of {budget}",
        used - budget
    )]
    OverBudget {
        /// What it used.
        used: u64,
        /// What it may use.
        budget: u64,
    },
    /// It used too many instructions, and was ended.
    #[error("the function used more than {used} instructions; its budget is {budget}")]
    FarOverBudget {
        /// What it used when it was ended.
        used: u64,
        /// What it may use.
        budget: u64,
    },
}

impl CommandError {
    /// Whether want of memory may be what is behind it.
    pub(crate) const fn may_want_memory(&self) -> bool {
        matches!(self, Self::Exited(_))
    }

    /// The word that the client gets.
    #[must_use]
    pub const fn reason(&self) -> AnswerReason {
        match self {
            Self::Exited(_) => AnswerReason::Trapped,
            Self::BadRequest(_) | Self::RequestNotJson(_) | Self::RequestBroken => {
                AnswerReason::BadRequest
            }
            Self::Head(_) | Self::Length { .. } | Self::AnswerNotJson(_) => {
                AnswerReason::InvalidResponse
            }
            Self::AnswerTooLarge { .. } => AnswerReason::ResponseTooLarge,
            Self::NoMemory(_) => AnswerReason::OutOfMemory,
            Self::OverBudget { .. } | Self::FarOverBudget { .. } => AnswerReason::OutOfFuel,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_which_limit_was_passed_and_by_how_much() {
        let over = CommandError::OverBudget {
            used: 12_000_000,
            budget: 11_000_000,
        };
        assert_eq!(over.reason(), AnswerReason::OutOfFuel);
        assert_eq!(
            over.to_string(),
            "the function used 12000000 instructions, 1000000 more than its budget of 11000000"
        );
        let large = CommandError::AnswerTooLarge {
            printed_bytes: 20_005,
            limit_bytes: 20_000,
        };
        assert_eq!(large.reason(), AnswerReason::ResponseTooLarge);
        assert_eq!(
            large.to_string(),
            "the function printed 20005 bytes, 5 more than the allowed 20000"
        );
    }
}
