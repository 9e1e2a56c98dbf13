/// What a client does wrong on a connection, so that it is refused or cut off.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Fault {
    /// One client has as many connections as it may.
    TooManyConnections,
    /// No TLS came about.
    Handshake,
    /// No request for a while. Not wrong, but closed all the same.
    Idle,
    /// The head of a request did not come to its end in time.
    SlowHead,
    /// The body of a request came to a stop.
    SlowBody,
    /// Nothing of an answer was read for a while.
    SlowReader,
    /// Something that is not HTTP, or not strictly.
    Malformed,
    /// A head with too many bytes or fields.
    HeadTooLarge,
    /// Too many requests were given up before they were answered.
    ResetFlood,
}

impl Fault {
    /// The word in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooManyConnections => "TooManyConnections",
            Self::Handshake => "Handshake",
            Self::Idle => "Idle",
            Self::SlowHead => "SlowHead",
            Self::SlowBody => "SlowBody",
            Self::SlowReader => "SlowReader",
            Self::Malformed => "Malformed",
            Self::HeadTooLarge => "HeadTooLarge",
            Self::ResetFlood => "ResetFlood",
        }
    }
}
