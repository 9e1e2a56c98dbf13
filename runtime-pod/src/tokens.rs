//! Tokens of the namespace, kept in files that outlive a restart of the container.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use tokio::sync::watch::Sender;
use wasmfn_crds::token::{Purpose, equal};

use crate::store::write_atomically;

type Known = HashMap<Purpose, String>;

/// The tokens that this pod knows.
#[derive(Debug)]
pub struct Tokens {
    folder: PathBuf,
    known: ArcSwap<Known>,
    is_complete: Sender<bool>,
}

impl Tokens {
    /// Tokens in the files of `folder`. Missing ones admit nobody until they are there.
    #[must_use]
    pub fn open(folder: PathBuf) -> Arc<Self> {
        let known = gather(|field| std::fs::read(folder.join(field)).ok());
        Arc::new(Self {
            folder,
            is_complete: Sender::new(is_complete(&known)),
            known: ArcSwap::from_pointee(known),
        })
    }

    /// Waits until there is a token for each purpose.
    pub async fn complete(&self) {
        let mut is_complete = self.is_complete.subscribe();
        // The sender lives as long as `self`.
        let _ = is_complete.wait_for(|is_complete| *is_complete).await;
    }

    /// Takes what `field` gives for each [`Purpose::field`] in place of what was known, and writes it
    /// down. False, and all is as it was, where one of them is missing.
    pub fn replace<'a>(&self, field: impl Fn(&str) -> Option<&'a [u8]>) -> bool {
        let known = gather(field);
        if !is_complete(&known) {
            return false;
        }
        for (purpose, token) in &known {
            let file = self.folder.join(purpose.field());
            if let Err(error) = write_atomically(&file, &[token.as_bytes()]) {
                tracing::warn!(%error, file = %file.display(), "a token cannot be written down");
            }
        }
        self.known.store(Arc::new(known));
        self.is_complete.send_replace(true);
        true
    }

    /// The token for a purpose, if it is there.
    #[must_use]
    pub fn get(&self, purpose: Purpose) -> Option<String> {
        self.known.load().get(&purpose).cloned()
    }

    /// Whether `shown` is the token for `purpose`.
    #[must_use]
    pub fn matches(&self, purpose: Purpose, shown: &[u8]) -> bool {
        let known = self.known.load();
        let token = known.get(&purpose);
        token.is_some_and(|token| equal(token.as_bytes(), shown))
    }

    /// Whether `header` is `Bearer` and the token for `purpose`.
    #[must_use]
    pub fn matches_bearer(&self, purpose: Purpose, header: Option<&http::HeaderValue>) -> bool {
        header
            .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "))
            .is_some_and(|token| self.matches(purpose, token))
    }
}

fn is_complete(known: &Known) -> bool {
    known.len() == Purpose::ALL.len()
}

/// The tokens that there are, each from its field.
fn gather<B: AsRef<[u8]>>(field: impl Fn(&str) -> Option<B>) -> Known {
    let token = |purpose: Purpose| {
        let bytes = field(purpose.field())?;
        let token = std::str::from_utf8(bytes.as_ref()).ok()?.trim();
        (!token.is_empty()).then(|| (purpose, token.to_owned()))
    };
    Purpose::ALL.into_iter().filter_map(token).collect()
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

    #[tokio::test]
    async fn what_is_taken_is_there_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(folder.path().to_owned());
        let waiting = tokens.complete();
        assert!(tokens.replace(|field| Some(match field {
            "data-token" => b"first",
            _ => b"other",
        })));
        waiting.await;
        assert!(tokens.matches(Purpose::Data, b"first"));
        let restarted = Tokens::open(folder.path().to_owned());
        restarted.complete().await;
        assert!(restarted.matches(Purpose::Data, b"first"));
        assert!(tokens.replace(|_| Some(b"second")));
        assert!(!tokens.matches(Purpose::Data, b"first"));
        assert!(tokens.matches(Purpose::Data, b"second"));
    }

    #[test]
    fn what_is_incomplete_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(folder.path().to_owned());
        assert!(!tokens.replace(|field| (field != "code-key").then_some(b"new".as_slice())));
        assert!(!tokens.replace(|_| Some(b" ")));
        assert!(!tokens.matches(Purpose::Data, b"new"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
