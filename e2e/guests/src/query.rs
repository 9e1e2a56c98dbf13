use wstd::http::Uri;

/// The query of a request: `a=1&b=2`.
pub struct Query(String);

impl Query {
    /// Of a request's URI.
    #[must_use]
    pub fn of(uri: &Uri) -> Self {
        Self(uri.query().unwrap_or_default().to_owned())
    }

    /// A number by name, or `default`.
    #[must_use]
    pub fn number(&self, name: &str, default: u64) -> u64 {
        self.0
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .and_then(|(_, value)| value.parse().ok())
            .unwrap_or(default)
    }
}
