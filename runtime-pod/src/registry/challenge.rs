//! What a registry asks for with a 401: the header `WWW-Authenticate` (RFC 9110, section 11.6.1).

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// A way to authenticate that we know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Challenge {
    /// User and password with every request.
    Basic,
    /// A token that another server gives.
    Bearer {
        /// That server's URL.
        realm: String,
        /// The registry's name there.
        service: Option<String>,
        /// What the token has to allow.
        scope: Option<String>,
    },
}

/// The challenges of an answer that we know, in the order in which they were given.
pub(super) fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(parse)
        .collect()
}

fn parse(text: &str) -> Vec<Challenge> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',', '=']);
        if rest.is_empty() {
            break;
        }
        let (word, after) = token(rest);
        if word.is_empty() {
            let mut letters = rest.chars();
            letters.next();
            rest = letters.as_str();
            continue;
        }
        match after.trim_start().strip_prefix('=') {
            Some(value) => {
                let (value, after) = parameter_value(value.trim_start());
                if let Some((_, parameters)) = found.last_mut() {
                    parameters.push((word.to_ascii_lowercase(), value));
                }
                rest = after;
            }
            None => {
                found.push((word.to_ascii_lowercase(), Vec::new()));
                rest = after;
            }
        }
    }
    found
        .into_iter()
        .filter_map(|(scheme, parameters)| known(&scheme, parameters))
        .collect()
}

fn known(scheme: &str, parameters: Vec<(String, String)>) -> Option<Challenge> {
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => {
            let (mut realm, mut service, mut scope) = (None, None, None);
            for (name, value) in parameters {
                match name.as_str() {
                    "realm" => realm = Some(value),
                    "service" => service = Some(value),
                    "scope" => scope = Some(value),
                    _ => {}
                }
            }
            Some(Challenge::Bearer {
                realm: realm?,
                service: service.filter(|service| !service.is_empty()),
                scope: scope.filter(|scope| !scope.is_empty()),
            })
        }
        _ => None,
    }
}

fn token(text: &str) -> (&str, &str) {
    let end = text
        .find(|letter: char| {
            !(letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/:".contains(letter))
        })
        .unwrap_or(text.len());
    text.split_at(end)
}

/// A token, or a text in quotes with `\` before what is taken literally.
fn parameter_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, after) = token(text);
        return (value.to_owned(), after);
    };
    let mut value = String::new();
    let mut letters = quoted.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => break,
            '\\' => value.extend(letters.next()),
            other => value.push(other),
        }
    }
    (value, letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        }
    }

    #[test]
    fn challenges_are_taken_apart() {
        let full = bearer(
            "https://auth.example/token",
            Some("r.example"),
            Some("repository:a/b:pull,push"),
        );
        let table = [
            ("Basic realm=\"r\"", vec![Challenge::Basic]),
            ("basic", vec![Challenge::Basic]),
            (
                r#"Bearer realm="https://auth.example/token",service="r.example",scope="repository:a/b:pull,push""#,
                vec![full.clone()],
            ),
            (
                r#"BEARER  Realm = "https://auth.example/token" , service=r.example, scope="repository:a/b:pull,push", error="x""#,
                vec![full],
            ),
            (
                r#"Negotiate abc==, Basic realm="a, b=\"c\"", Bearer realm="https://x/""#,
                vec![Challenge::Basic, bearer("https://x/", None, None)],
            ),
            ("Bearer service=x", vec![]),
            ("Digest realm=x", vec![]),
            (
                "Bearer realm=\"never closed",
                vec![bearer("never closed", None, None)],
            ),
            ("=,=;;\u{7f}\"", vec![]),
            ("", vec![]),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn every_header_counts() {
        let mut headers = HeaderMap::new();
        headers.append(WWW_AUTHENTICATE, "Negotiate".parse().unwrap());
        headers.append(WWW_AUTHENTICATE, "Basic realm=x".parse().unwrap());
        assert_eq!(challenges(&headers), [Challenge::Basic]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_stops_the_parser(text in ".{0,60}") {
            parse(&text);
        }
    }
}
