//! What a guest was refused while its request goes on: one word each, in its log and in the
//! metric `wasmfn_runtime_refusals_total`.

/// Why a guest did not get what it asked for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Refused {
    /// The call's scheme, host and port are not on the list.
    OutboundDenied,
    /// The host leads only to addresses that are closed.
    OutboundAddress,
    /// The request has made all the calls that it may.
    OutboundCalls,
    /// Too many calls are under way.
    OutboundConnections,
    /// The calls carried more bytes than they may.
    OutboundBytes,
    /// The call was allowed and failed.
    OutboundFailed,
    /// Log lines came too fast, or were too long together.
    LogRate,
    /// The function was not granted the key-value store.
    StoreDenied,
    /// A key, a value or a batch is larger than allowed, or the store is full.
    StoreLimit,
    /// The store was asked and failed.
    StoreFailed,
}

impl Refused {
    /// All words.
    pub const ALL: [Self; 10] = [
        Self::OutboundDenied,
        Self::OutboundAddress,
        Self::OutboundCalls,
        Self::OutboundConnections,
        Self::OutboundBytes,
        Self::OutboundFailed,
        Self::LogRate,
        Self::StoreDenied,
        Self::StoreLimit,
        Self::StoreFailed,
    ];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OutboundDenied => "OutboundDenied",
            Self::OutboundAddress => "OutboundAddress",
            Self::OutboundCalls => "OutboundCalls",
            Self::OutboundConnections => "OutboundConnections",
            Self::OutboundBytes => "OutboundBytes",
            Self::OutboundFailed => "OutboundFailed",
            Self::LogRate => "LogRate",
            Self::StoreDenied => "StoreDenied",
            Self::StoreLimit => "StoreLimit",
            Self::StoreFailed => "StoreFailed",
        }
    }
}
