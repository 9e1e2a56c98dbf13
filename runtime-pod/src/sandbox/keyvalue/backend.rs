//! What every kind of store can do.

use futures::future::BoxFuture;

use super::Space;

/// A store did not do what it was asked for. Guests are told the sentence: no addresses in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// A key is none, or longer than allowed.
    #[error("a key must have 1 to {} bytes", super::KEY_MAX_BYTES)]
    Key,
    /// A value is larger than allowed.
    #[error("a value must have at most {} bytes", super::VALUE_MAX_BYTES)]
    Value,
    /// A batch is larger than allowed.
    #[error(
        "a batch must have at most {} keys, and values of {} bytes together",
        super::BATCH_MAX_KEYS,
        super::BATCH_MAX_BYTES
    )]
    Batch,
    /// The function's part of the store holds all that it may.
    #[error("the store is full")]
    Full,
    /// Others hold too much.
    #[error("the stores have too much to do")]
    Busy,
    /// What shall be incremented is no number, or becomes too large a one.
    #[error("the value is no whole number that can be incremented so far")]
    NotANumber,
    /// It took too long.
    #[error("the store did not answer in time")]
    Late,
    /// The server's part; its own words are for the log.
    #[error("the store failed")]
    Server(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    pub(super) fn server(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Server(error.into())
    }
}

/// Some of a space's keys.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Page {
    pub(crate) keys: Vec<String>,
    /// Where the next page begins; none after the last.
    pub(crate) cursor: Option<u64>,
}

/// What an operation brings.
pub(crate) type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Keeps values. Keys and values come within their limits.
pub(crate) trait Backend: Send + Sync {
    /// The value of a key.
    fn get<'a>(&'a self, space: &'a Space, key: &'a str) -> Answer<'a, Option<Vec<u8>>>;

    /// Gives a key a value.
    fn set<'a>(&'a self, space: &'a Space, key: &'a str, value: Vec<u8>) -> Answer<'a, ()>;

    /// Forgets a key.
    fn delete<'a>(&'a self, space: &'a Space, key: &'a str) -> Answer<'a, ()>;

    /// Whether a key has a value.
    fn exists<'a>(&'a self, space: &'a Space, key: &'a str) -> Answer<'a, bool>;

    /// Keys from `cursor` on, or from the first.
    fn keys<'a>(&'a self, space: &'a Space, cursor: Option<u64>) -> Answer<'a, Page>;

    /// Adds to the decimal number of a key, in one step whoever else does the same; a missing one
    /// counts as 0. The sum.
    fn increment<'a>(&'a self, space: &'a Space, key: &'a str, delta: u64) -> Answer<'a, u64>;
}

/// The sum, where the stored text is a number and the sum one that every store can hold.
pub(super) fn sum(stored: Option<&[u8]>, delta: u64) -> Result<u64, StoreError> {
    let text = std::str::from_utf8(stored.unwrap_or(b"0")).map_err(|_| StoreError::NotANumber)?;
    let number: u64 = text.parse().map_err(|_| StoreError::NotANumber)?;
    number
        .checked_add(delta)
        // Redis counts with signed numbers.
        .filter(|sum| i64::try_from(*sum).is_ok())
        .ok_or(StoreError::NotANumber)
}
