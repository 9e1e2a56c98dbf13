//! What one request of a function may use at most, in the units that are enforced.

use std::time::Duration;

use wasmfn_crds::{
    quantity::{self, QuantityError},
    spec,
};

/// Limits of one request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Memory of the guest, over all its memories and tables together.
    pub memory_bytes: u64,
    /// CPU time of the guest.
    pub cpu: Duration,
    /// Time from admission to the last byte of the answer.
    pub timeout: Duration,
    /// Requests that this pod serves at the same time.
    pub max_concurrency: u32,
    /// Size of the request's body.
    pub request_bytes: u64,
    /// Size of the answer's body.
    pub response_bytes: u64,
}

/// A limit of the spec cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("`spec.limits.{field}`: {source}")]
pub struct LimitsError {
    field: &'static str,
    source: QuantityError,
}

impl Limits {
    /// Reads the limits of a spec.
    ///
    /// # Errors
    /// [`LimitsError`] for an amount of bytes that is none.
    pub fn read(limits: &spec::Limits) -> Result<Self, LimitsError> {
        let bytes =
            |field, amount| quantity::bytes(amount).map_err(|source| LimitsError { field, source });
        let positive = |number: i32| u32::try_from(number).unwrap_or(0).max(1);
        let milliseconds = u64::try_from(limits.cpu_milliseconds_per_request).unwrap_or(0);
        Ok(Self {
            memory_bytes: bytes("memoryPerRequest", &limits.memory_per_request)?,
            cpu: Duration::from_millis(milliseconds.max(1)),
            timeout: Duration::from_secs(positive(limits.timeout_seconds).into()),
            max_concurrency: positive(limits.max_concurrency),
            request_bytes: bytes("requestBytes", &limits.request_bytes)?,
            response_bytes: bytes("responseBytes", &limits.response_bytes)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

    #[test]
    fn reads_the_defaults() {
        let limits = Limits::read(&spec::Limits::default()).unwrap();
        let expected = Limits {
            memory_bytes: 128 << 20,
            cpu: Duration::from_secs(10),
            timeout: Duration::from_secs(30),
            max_concurrency: 1000,
            request_bytes: 16 << 20,
            response_bytes: 64 << 20,
        };
        assert_eq!(limits, expected);
    }

    #[test]
    fn names_the_field_that_cannot_be_read() {
        let spec = spec::Limits {
            request_bytes: Quantity("many".to_owned()),
            ..spec::Limits::default()
        };
        let error = Limits::read(&spec).unwrap_err().to_string();
        assert!(
            error.starts_with("`spec.limits.requestBytes`: `many`"),
            "{error}"
        );
    }
}
