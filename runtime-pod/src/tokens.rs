//! Tokens of the namespace, from the mounted Secret; read again when they change.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use wasmfn_crds::token::{Purpose, equal};

/// How often the files are looked at without need.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// Pause between looks because a token did not match.
const RECHECK_PAUSE: Duration = Duration::from_secs(1);

/// The tokens that this pod knows.
#[derive(Debug)]
pub struct Tokens {
    folder: PathBuf,
    known: ArcSwap<HashMap<Purpose, String>>,
    looked_at: Mutex<Instant>,
}

impl Tokens {
    /// Tokens in the files of `folder`. Missing ones admit nobody until they are there.
    #[must_use]
    pub fn open(folder: PathBuf) -> Arc<Self> {
        let known = ArcSwap::from_pointee(read(&folder));
        Arc::new(Self {
            folder,
            known,
            looked_at: Mutex::new(Instant::now()),
        })
    }

    /// The token for a purpose, if it is there.
    #[must_use]
    pub fn get(&self, purpose: Purpose) -> Option<String> {
        self.known.load().get(&purpose).cloned()
    }

    /// Whether `shown` is the token for `purpose`.
    #[must_use]
    pub fn matches(&self, purpose: Purpose, shown: &[u8]) -> bool {
        if shown.is_empty() {
            return false;
        }
        self.is_known(purpose, shown) || (self.look_again() && self.is_known(purpose, shown))
    }

    /// Whether `header` is `Bearer` and the token for `purpose`.
    #[must_use]
    pub fn matches_bearer(&self, purpose: Purpose, header: Option<&http::HeaderValue>) -> bool {
        header
            .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "))
            .is_some_and(|token| self.matches(purpose, token))
    }

    /// Looks for changes until dropped.
    pub async fn watch(&self) {
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        loop {
            looks.tick().await;
            self.known.store(Arc::new(read(&self.folder)));
        }
    }

    fn is_known(&self, purpose: Purpose, shown: &[u8]) -> bool {
        self.known
            .load()
            .get(&purpose)
            .is_some_and(|token| equal(token.as_bytes(), shown))
    }

    /// Reads the files because a token did not match, but not for each who guesses.
    fn look_again(&self) -> bool {
        let mut looked_at = self
            .looked_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if looked_at.elapsed() < RECHECK_PAUSE {
            return false;
        }
        *looked_at = Instant::now();
        self.known.store(Arc::new(read(&self.folder)));
        true
    }
}

fn read(folder: &std::path::Path) -> HashMap<Purpose, String> {
    let mut tokens = HashMap::new();
    for purpose in Purpose::ALL {
        if let Ok(text) = std::fs::read_to_string(folder.join(purpose.field())) {
            let token = text.trim();
            if !token.is_empty() {
                tokens.insert(purpose, token.to_owned());
            }
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_for_the_purpose_matches() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("data-token"), "abc\n").unwrap();
        std::fs::write(folder.path().join("admin-token"), "").unwrap();
        let tokens = Tokens::open(folder.path().to_owned());
        assert!(tokens.matches(Purpose::Data, b"abc"));
        assert!(!tokens.matches(Purpose::Data, b"abd"));
        assert!(!tokens.matches(Purpose::Data, b""));
        assert!(!tokens.matches(Purpose::Admin, b"abc"));
        assert!(!tokens.matches(Purpose::Admin, b""));
        let header = http::HeaderValue::from_static("Bearer abc");
        assert!(tokens.matches_bearer(Purpose::Data, Some(&header)));
        assert!(!tokens.matches_bearer(Purpose::Data, None));
    }

    #[test]
    fn a_new_token_is_found_when_it_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(folder.path().to_owned());
        assert!(!tokens.matches(Purpose::Data, b"new"));
        std::fs::write(folder.path().join("data-token"), "new").unwrap();
        *tokens.looked_at.lock().unwrap() -= 2 * RECHECK_PAUSE;
        assert!(tokens.matches(Purpose::Data, b"new"));
    }
}
