//! Code that pods are making, so that one makes it and the others wait for it.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use crate::code::CodeKey;

/// How far a pod is that has no code yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stage {
    /// It asks its siblings.
    Asking,
    /// It makes the code, since nobody had it.
    Making,
}

impl Stage {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Asking => "Asking",
            Self::Making => "Making",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        [Self::Asking, Self::Making]
            .into_iter()
            .find(|stage| stage.as_str() == word)
    }
}

/// Whether the pod at `own` waits for the sibling at `other` that is at `stage`, rather than makes
/// the code itself. Of pods that ask each other at the same time, the one with the lowest address
/// makes it.
pub(super) fn waits(own: IpAddr, other: IpAddr, stage: Stage) -> bool {
    match stage {
        Stage::Making => true,
        Stage::Asking => other < own,
    }
}

/// What this pod is making.
#[derive(Debug, Default)]
pub(crate) struct Claims(Mutex<HashMap<CodeKey, Stage>>);

/// A pod says that it will have code soon, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Claim {
    claims: Arc<Claims>,
    key: CodeKey,
}

impl Claims {
    /// Says that this pod will have the code of `key`.
    pub(crate) fn claim(self: &Arc<Self>, key: CodeKey) -> Claim {
        self.lock().insert(key, Stage::Asking);
        Claim {
            claims: Arc::clone(self),
            key,
        }
    }

    /// How far this pod is with the code of `key`, if it will have it.
    pub(super) fn stage(&self, key: &CodeKey) -> Option<Stage> {
        self.lock().get(key).copied()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<CodeKey, Stage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// The code.
    pub(crate) const fn key(&self) -> &CodeKey {
        &self.key
    }

    /// Nobody had it: this pod makes it.
    pub(crate) fn making(&self) {
        self.claims.lock().insert(self.key, Stage::Making);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_that_ask_each_other_one_waits() {
        let low: IpAddr = "10.0.0.1".parse().unwrap();
        let high: IpAddr = "10.0.0.2".parse().unwrap();
        assert!(waits(high, low, Stage::Asking));
        assert!(!waits(low, high, Stage::Asking));
        // Who is making it is waited for by all.
        assert!(waits(low, high, Stage::Making));
        assert!(waits(high, low, Stage::Making));
    }

    #[test]
    fn a_claim_stands_until_it_is_dropped() {
        let claims = Arc::new(Claims::default());
        let key = CodeKey::parse(&"a".repeat(64)).unwrap();
        assert_eq!(claims.stage(&key), None);
        let claim = claims.claim(key);
        assert_eq!(claims.stage(&key), Some(Stage::Asking));
        claim.making();
        assert_eq!(claims.stage(&key), Some(Stage::Making));
        drop(claim);
        assert_eq!(claims.stage(&key), None);
    }

    #[test]
    fn stages_are_read_as_they_are_written() {
        for stage in [Stage::Asking, Stage::Making] {
            assert_eq!(Stage::parse(stage.as_str()), Some(stage));
        }
        assert_eq!(Stage::parse(""), None);
    }
}
