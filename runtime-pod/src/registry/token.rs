//! Tokens and logins that worked, kept while they are good.
//!
//! A token is kept for the very login that it was given to, so that one function's right to pull is
//! never another's, and a changed Secret counts at once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderValue;

use super::credentials::Login;
use super::reference::Reference;

/// How many are kept; beyond, those that end first go.
const KEPT_MAX: usize = 1024;

/// Whose, and for what.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Key {
    authority: String,
    repository: String,
    login: Option<[u8; 32]>,
}

impl Key {
    pub(super) fn new(reference: &Reference, login: Option<&Login>) -> Self {
        Self {
            authority: reference.authority().to_owned(),
            repository: reference.repository().to_owned(),
            login: login.map(Login::fingerprint),
        }
    }
}

struct Kept {
    authorization: HeaderValue,
    until: Instant,
}

/// The values of `Authorization` that worked last.
#[derive(Default)]
pub(super) struct Tokens {
    kept: Mutex<HashMap<Key, Kept>>,
}

impl Tokens {
    pub(super) fn get(&self, key: &Key, now: Instant) -> Option<HeaderValue> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(key)
            .filter(|kept| kept.until > now)
            .map(|kept| kept.authorization.clone())
    }

    pub(super) fn put(
        &self,
        key: Key,
        authorization: HeaderValue,
        lifetime: Duration,
        now: Instant,
    ) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.retain(|_, kept| kept.until > now);
        }
        if kept.len() >= KEPT_MAX {
            let first = kept
                .iter()
                .min_by_key(|(_, kept)| kept.until)
                .map(|(key, _)| key.clone());
            if let Some(first) = first {
                kept.remove(&first);
            }
        }
        let until = now + lifetime;
        kept.insert(
            key,
            Kept {
                authorization,
                until,
            },
        );
    }

    pub(super) fn forget(&self, key: &Key) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::credentials::Proof;

    fn login(password: &str) -> Login {
        Login {
            user: "ann".to_owned(),
            proof: Proof::Password(password.to_owned()),
        }
    }

    #[test]
    fn a_token_is_for_one_login_and_one_repository_and_ends() {
        let reference: Reference = "r.example/a".parse().unwrap();
        let other: Reference = "r.example/b".parse().unwrap();
        let (tokens, now) = (Tokens::default(), Instant::now());
        let key = Key::new(&reference, Some(&login("old")));
        let value = HeaderValue::from_static("Bearer x");
        tokens.put(key.clone(), value.clone(), Duration::from_secs(60), now);
        assert_eq!(tokens.get(&key, now), Some(value));
        for stranger in [
            Key::new(&reference, None),
            Key::new(&reference, Some(&login("new"))),
            Key::new(&other, Some(&login("old"))),
        ] {
            assert_eq!(tokens.get(&stranger, now), None);
        }
        assert_eq!(tokens.get(&key, now + Duration::from_secs(60)), None);
        tokens.forget(&key);
        assert_eq!(tokens.get(&key, now), None);
    }

    #[test]
    fn no_more_are_kept_than_allowed() {
        let (tokens, now) = (Tokens::default(), Instant::now());
        for number in 0..KEPT_MAX + 10 {
            let reference: Reference = format!("r.example/a{number}").parse().unwrap();
            let lifetime = Duration::from_secs(60 + number as u64);
            tokens.put(
                Key::new(&reference, None),
                HeaderValue::from_static("x"),
                lifetime,
                now,
            );
        }
        let kept = tokens.kept.lock().unwrap();
        assert_eq!(kept.len(), KEPT_MAX);
        let first: Reference = "r.example/a0".parse().unwrap();
        assert!(!kept.contains_key(&Key::new(&first, None)));
    }
}
