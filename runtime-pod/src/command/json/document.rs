//! Whether bytes are one JSON document (RFC 8259), and nothing else.

use serde::de::IgnoredAny;

/// Bytes that are no JSON document: a sentence that says where.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotJson {
    /// There is nothing.
    #[error("it is empty")]
    Empty,
    /// It is not text.
    #[error("it is not UTF-8 at byte {0}")]
    NotUtf8(usize),
    /// It is text of another form.
    #[error("{0}")]
    Syntax(String),
}

/// Checks that `bytes` are one JSON document, with white space around it at most. Depth costs no
/// stack: what is nested is skipped, not built.
///
/// # Errors
/// [`NotJson`] with the first place that is wrong.
pub fn check(bytes: &[u8]) -> Result<(), NotJson> {
    if bytes.trim_ascii().is_empty() {
        return Err(NotJson::Empty);
    }
    let text = std::str::from_utf8(bytes).map_err(|error| NotJson::NotUtf8(error.valid_up_to()))?;
    serde_json::from_str::<IgnoredAny>(text)
        .map(|_| ())
        .map_err(|error| NotJson::Syntax(error.to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    #[test]
    fn one_document_passes() {
        for text in ["{}", " [1, 2.5e3, \"a\\n\"] \n", "null", "\"ä\"", "0"] {
            assert_eq!(check(text.as_bytes()), Ok(()), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_place() {
        let cases: [(&[u8], &str); 9] = [
            (b"", "empty"),
            (b" \n", "empty"),
            (b"{} {}", "trailing characters at line 1 column 4"),
            (b"{\"a\":}", "expected value"),
            (b"[1,]", "expected value"),
            (b"NaN", "expected"),
            (b"01", "invalid number"),
            (b"\"\xff\"", "not UTF-8 at byte 1"),
            (b"{\"a\":1", "EOF"),
        ];
        for (bytes, part) in cases {
            let error = check(bytes).unwrap_err().to_string();
            assert!(error.contains(part), "{bytes:?}: {error}");
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = [vec![b'['; 60_000], vec![b']'; 60_000]].concat();
        assert_eq!(check(&deep), Ok(()));
        assert!(check(&deep[..100_000]).is_err());
    }

    fn documents() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::vec((".*", inner), 0..8)
                    .prop_map(|pairs| Value::from(pairs.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_as_json_passes(document in documents()) {
            prop_assert_eq!(check(document.to_string().as_bytes()), Ok(()));
        }

        #[test]
        fn no_bytes_are_judged_otherwise_than_by_a_full_parse(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let parsed = serde_json::from_slice::<Value>(&bytes).is_ok();
            // A full parse refuses numbers that no `f64` holds; the grammar does not.
            prop_assert!(check(&bytes).is_ok() || !parsed);
        }
    }
}
