use wstd::http::Uri;

/// The query of a request: `a=1&b=2`.
pub struct Query(String);

impl Query {
    /// Of a request's URI.
    #[must_use]
    pub fn of(uri: &Uri) -> Self {
        Self(uri.query().unwrap_or_default().to_owned())
    }

    /// Of the text after the question mark.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// A number by name, or `default`.
    #[must_use]
    pub fn number(&self, name: &str, default: u64) -> u64 {
        self.find(name)
            .and_then(|value| value.parse().ok())
            .unwrap_or(default)
    }

    /// A text by name, percent-decoded; empty where it is not there.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        let mut bytes = self.find(name).unwrap_or_default().bytes();
        let mut decoded = Vec::new();
        while let Some(byte) = bytes.next() {
            decoded.push(match byte {
                b'%' => {
                    let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
                    let value = digit().unwrap_or(0) * 16 + digit().unwrap_or(0);
                    u8::try_from(value).unwrap_or(b'?')
                }
                other => other,
            });
        }
        String::from_utf8_lossy(&decoded).into_owned()
    }

    fn find(&self, name: &str) -> Option<&str> {
        self.0
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }
}
