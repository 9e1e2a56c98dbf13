//! The part of a store that belongs to one function.

use std::fmt::Write as _;

/// A function's part of a store.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Space {
    namespace: String,
    function: String,
}

impl Space {
    /// The part of a function.
    #[must_use]
    pub fn new(namespace: &str, function: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            function: function.to_owned(),
        }
    }

    /// Namespace and function, each escaped, with `separator` between them: no two spaces have the
    /// same, and none is the beginning of another with the separator after it.
    pub(super) fn joined(&self, separator: char) -> String {
        debug_assert!(!is_plain(separator) && separator != ESCAPE);
        format!(
            "{}{separator}{}",
            escape(&self.namespace),
            escape(&self.function)
        )
    }
}

/// Begins what stands for a character that is not plain.
const ESCAPE: char = '_';

/// Names of namespaces and functions hold nothing else; what does is escaped, so that nothing
/// depends on it.
const fn is_plain(character: char) -> bool {
    character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-'
}

fn escape(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        let character = char::from(byte);
        if is_plain(character) {
            escaped.push(character);
        } else {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "{ESCAPE}{byte:02x}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_stay_readable() {
        assert_eq!(Space::new("team-a", "hello").joined(':'), "team-a:hello");
        assert_eq!(Space::new("a_b", "C:").joined(':'), "a_5fb:_43_3a");
    }

    proptest! {
        /// Whatever the names, no two functions share a space, and none reaches into another's by
        /// what it appends.
        #[test]
        fn spaces_never_meet(
            one in ("[a-c:._-]{0,4}", "[a-c:._-]{0,4}", ".{0,4}"),
            other in ("[a-c:._-]{0,4}", "[a-c:._-]{0,4}", ".{0,4}"),
            separator in prop::sample::select(vec![':', '.']),
        ) {
            prop_assume!((&one.0, &one.1) != (&other.0, &other.1));
            let key = |(namespace, function, key): &(String, String, String)| {
                format!("{}{separator}{key}", Space::new(namespace, function).joined(separator))
            };
            prop_assert_ne!(key(&one), key(&other));
        }
    }
}
