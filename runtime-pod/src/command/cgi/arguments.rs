//! Arguments of a CGI program (RFC 3875, 4.4).

use http::Method;
use percent_encoding::percent_decode_str;

/// The words of an indexed query: of a `GET` or `HEAD` whose query holds no `=`. None, where a word
/// is no text that an argument could hold.
pub(in crate::command) fn arguments(method: &Method, query: Option<&str>) -> Vec<String> {
    let Some(query) = query.filter(|query| !query.is_empty() && !query.contains('=')) else {
        return Vec::new();
    };
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Vec::new();
    }
    query
        .split('+')
        .map(decode)
        .collect::<Option<_>>()
        .unwrap_or_default()
}

fn decode(word: &str) -> Option<String> {
    let text = percent_decode_str(word).decode_utf8().ok()?;
    (!text.contains('\0')).then(|| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_an_indexed_query_are_arguments() {
        let cases: [(&Method, Option<&str>, &[&str]); 7] = [
            (&Method::GET, Some("one+t%77o"), &["one", "two"]),
            (&Method::HEAD, Some("one"), &["one"]),
            (&Method::POST, Some("one"), &[]),
            (&Method::GET, Some("a=b"), &[]),
            (&Method::GET, Some("a+b%00"), &[]),
            (&Method::GET, Some(""), &[]),
            (&Method::GET, None, &[]),
        ];
        for (method, query, expected) in cases {
            assert_eq!(arguments(method, query), expected, "{method} {query:?}");
        }
    }
}
