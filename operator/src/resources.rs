//! Comparing quantities of resources, such as a function's memory with the admin's bound.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use thiserror::Error;

/// It is no quantity.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` must be a quantity such as `500m`, `2` or `256Mi`")]
pub struct QuantityError(String);

const SUFFIXES: [(&str, f64); 15] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
    ("n", 1e-9),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
];

/// The amount in `quantity`, in whole units. Exact enough to compare: 53 bits.
///
/// # Errors
/// [`QuantityError`] where the API server would refuse it too, or it is negative.
pub fn amount(quantity: &Quantity) -> Result<f64, QuantityError> {
    let text = quantity.0.as_str();
    let (digits, factor) = SUFFIXES
        .iter()
        .find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)))
        .unwrap_or((text, 1.0));
    let plain = |character: char| character.is_ascii_digit() || "+-.eE".contains(character);
    digits
        .chars()
        .all(plain)
        .then(|| digits.parse::<f64>().ok())
        .flatten()
        .map(|number| number * factor)
        .filter(|number| number.is_finite() && *number >= 0.0)
        .ok_or_else(|| QuantityError(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_forms_of_kubernetes() {
        for (text, expected) in [
            ("0", 0.0),
            ("500m", 0.5),
            ("2", 2.0),
            ("1.5", 1.5),
            ("256Mi", 268_435_456.0),
            ("1e3", 1000.0),
            ("1E", 1e18),
            ("3k", 3000.0),
        ] {
            assert_eq!(amount(&Quantity(text.into())), Ok(expected), "{text}");
        }
        for text in ["", "Mi", "abc", "-1", "1 Gi", "inf", "NaN", "1mm"] {
            assert!(amount(&Quantity(text.into())).is_err(), "{text}");
        }
    }
}
