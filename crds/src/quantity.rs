//! Amounts of memory as Kubernetes writes them.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use thiserror::Error;

/// Why an amount of bytes could not be read.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum QuantityError {
    /// It is no whole number with one of the suffixes that bytes take.
    #[error("`{0}` must be a whole number of bytes, with no suffix or one of k, M, G, Ki, Mi, Gi")]
    NotBytes(String),
    /// It does not fit 64 bits.
    #[error("`{0}` is too large")]
    TooLarge(String),
}

const SUFFIXES: [(&str, u64); 6] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
];

/// Bytes in `quantity`. The CRD admits only the forms that this reads.
///
/// # Errors
/// [`QuantityError`] for any other form.
pub fn bytes(quantity: &Quantity) -> Result<u64, QuantityError> {
    let text = quantity.0.as_str();
    let (digits, factor) = SUFFIXES
        .iter()
        .find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)))
        .unwrap_or((text, 1));
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(QuantityError::NotBytes(text.to_owned()));
    }
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(|| QuantityError::TooLarge(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_suffix() {
        for (text, expected) in [
            ("0", 0),
            ("17", 17),
            ("1k", 1_000),
            ("2Ki", 2_048),
            ("128Mi", 128 << 20),
            ("3G", 3_000_000_000),
            ("1Gi", 1 << 30),
        ] {
            assert_eq!(bytes(&Quantity(text.into())), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_amount_of_bytes() {
        for text in ["", "Mi", "1.5Mi", "-1", "10m", "1Ti", "1e3", " 1"] {
            let error = bytes(&Quantity(text.into())).expect_err(text);
            assert_eq!(error, QuantityError::NotBytes(text.into()));
        }
        let huge = "99999999999Gi";
        assert_eq!(
            bytes(&Quantity(huge.into())),
            Err(QuantityError::TooLarge(huge.into()))
        );
    }
}
