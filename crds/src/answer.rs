//! The one-word reasons of answers that wasmfn itself gives: they stand in the header
//! [`REASON_HEADER`](crate::names::REASON_HEADER) and in the JSON body, and are part of the API.

/// Why wasmfn answered instead of the guest.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum AnswerReason {
    /// No function has this host and path (404).
    NotFound,
    /// The request cannot be served as it stands (400).
    BadRequest,
    /// The function is suspended (503).
    Suspended,
    /// Too many requests wait for the function (503).
    QueueFull,
    /// The request waited too long for a pod (503).
    QueueTimeout,
    /// No pod can serve the function, and none will soon (503).
    NoCapacity,
    /// No version of the function could be loaded (503).
    LoadFailed,
    /// The function was deleted while the request waited (503).
    Deleted,
    /// The guest took longer than `timeoutSeconds` to begin its answer (504).
    Timeout,
    /// The guest ended without an answer, or trapped (500).
    Trapped,
    /// The guest ran out of memory (500).
    OutOfMemory,
    /// The guest ran out of stack (500).
    StackOverflow,
    /// The guest held too many handles: of streams, headers, requests and the like (500).
    TooManyHandles,
    /// The guest wanted to pass or get too much in one call of the host (500).
    HostCallTooLarge,
    /// The guest used up its CPU time (500).
    OutOfCpu,
    /// The guest used up its instructions (500).
    OutOfFuel,
    /// The guest sent an answer that is not allowed (500).
    InvalidResponse,
    /// The request's body is larger than `requestBytes` (413).
    RequestTooLarge,
    /// The request's headers are larger than allowed (431).
    HeadersTooLarge,
    /// The answer's body is larger than `responseBytes` (500).
    ResponseTooLarge,
    /// The pod went away with the request inside (502).
    PodLost,
    /// An upgrade such as a WebSocket was asked for (501).
    UpgradeRefused,
    /// The pod itself failed (500).
    Internal,
}

impl AnswerReason {
    /// The word in the header and in the body.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "NotFound",
            Self::BadRequest => "BadRequest",
            Self::Suspended => "Suspended",
            Self::QueueFull => "QueueFull",
            Self::QueueTimeout => "QueueTimeout",
            Self::NoCapacity => "NoCapacity",
            Self::LoadFailed => "LoadFailed",
            Self::Deleted => "Deleted",
            Self::Timeout => "Timeout",
            Self::Trapped => "Trapped",
            Self::OutOfMemory => "OutOfMemory",
            Self::StackOverflow => "StackOverflow",
            Self::TooManyHandles => "TooManyHandles",
            Self::HostCallTooLarge => "HostCallTooLarge",
            Self::OutOfCpu => "OutOfCpu",
            Self::OutOfFuel => "OutOfFuel",
            Self::InvalidResponse => "InvalidResponse",
            Self::RequestTooLarge => "RequestTooLarge",
            Self::HeadersTooLarge => "HeadersTooLarge",
            Self::ResponseTooLarge => "ResponseTooLarge",
            Self::PodLost => "PodLost",
            Self::UpgradeRefused => "UpgradeRefused",
            Self::Internal => "Internal",
        }
    }

    /// The HTTP status that goes with it.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::NotFound => 404,
            Self::RequestTooLarge => 413,
            Self::HeadersTooLarge => 431,
            Self::Trapped
            | Self::OutOfMemory
            | Self::StackOverflow
            | Self::TooManyHandles
            | Self::HostCallTooLarge
            | Self::OutOfCpu
            | Self::OutOfFuel
            | Self::InvalidResponse
            | Self::ResponseTooLarge
            | Self::Internal => 500,
            Self::UpgradeRefused => 501,
            Self::PodLost => 502,
            Self::Suspended
            | Self::QueueFull
            | Self::QueueTimeout
            | Self::NoCapacity
            | Self::LoadFailed
            | Self::Deleted => 503,
            Self::Timeout => 504,
        }
    }

    /// Whether the answer tells the client when to come back.
    #[must_use]
    pub const fn has_retry_after(self) -> bool {
        self.status() == 503
    }
}

/// Why a pod did not begin a request: the word in
/// [`REFUSED_HEADER`](crate::names::REFUSED_HEADER). Such an answer has status 503, but where a variant
/// says otherwise, and comes before
/// anything of the body is read.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Refusal {
    /// The pod has never heard of the function.
    Unknown,
    /// The function is still being loaded.
    Loading,
    /// No version of the function could be loaded.
    Failed,
    /// The pod, or its share of the function, is full.
    Full,
    /// The pod is leaving.
    Leaving,
    /// The request did not bring the token that the pod knows (with status 401).
    Unauthorized,
}

impl Refusal {
    /// All refusals.
    pub const ALL: [Self; 6] = [
        Self::Unknown,
        Self::Loading,
        Self::Failed,
        Self::Full,
        Self::Leaving,
        Self::Unauthorized,
    ];

    /// The word in the header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Loading => "Loading",
            Self::Failed => "Failed",
            Self::Full => "Full",
            Self::Leaving => "Leaving",
            Self::Unauthorized => "Unauthorized",
        }
    }

    /// The refusal behind a word, if this version knows it.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|refusal| refusal.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_found_by_their_word() {
        for refusal in Refusal::ALL {
            assert_eq!(Refusal::parse(refusal.as_str()), Some(refusal));
        }
        assert_eq!(Refusal::parse("Busy"), None);
    }

    #[test]
    fn unavailable_answers_say_when_to_come_back() {
        assert!(AnswerReason::QueueFull.has_retry_after());
        assert!(!AnswerReason::Trapped.has_retry_after());
    }
}
