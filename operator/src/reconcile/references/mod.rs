//! Secrets and ConfigMaps that functions name, and when a changed set of them may roll the pods.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};
use wasmfn_crds::{
    WasmFunction,
    spec::{KeyReference, ValueFrom},
    stores::{STORE_PASSWORD_FIELD, STORE_USERNAME_FIELD, StoreOffer, StoreOffers},
};

/// Field of a pull secret that holds the credentials.
const PULL_SECRET_KEY: &str = ".dockerconfigjson";

/// Most names in one volume.
pub const MOST_NAMES: usize = 200;

/// How long changes of the set are gathered before they roll the deployment.
pub const GATHER: Duration = Duration::from_secs(10);

/// Fields of Secrets and ConfigMaps, by name of the object and of the field.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct References {
    /// Fields of Secrets.
    pub secrets: BTreeSet<(String, String)>,
    /// Fields of ConfigMaps.
    pub config_maps: BTreeSet<(String, String)>,
}

impl References {
    /// All that a function names, and the credentials of the stores that it names.
    #[must_use]
    pub fn of(function: &WasmFunction, offers: &StoreOffers) -> Self {
        let mut references = Self::default();
        for secret in &function.spec.image_pull_secrets {
            let key = (secret.name.clone(), PULL_SECRET_KEY.to_owned());
            references.secrets.insert(key);
        }
        let env = function.spec.env.iter().map(|entry| &entry.value_from);
        let config = function.spec.config.values().map(|entry| &entry.value_from);
        for source in env.chain(config).flatten() {
            references.add(source);
        }
        let offers = function.spec.stores.iter().map(|name| offers.get(name));
        for secret in offers.flatten().filter_map(StoreOffer::secret) {
            for field in [STORE_USERNAME_FIELD, STORE_PASSWORD_FIELD] {
                let key = (secret.to_owned(), field.to_owned());
                references.secrets.insert(key);
            }
        }
        references
    }

    fn add(&mut self, source: &ValueFrom) {
        let pair = |reference: &KeyReference| (reference.name.clone(), reference.key.clone());
        self.secrets
            .extend(source.secret_key_ref.as_ref().map(pair));
        self.config_maps
            .extend(source.config_map_key_ref.as_ref().map(pair));
    }

    /// Takes over all that `other` names.
    pub fn extend(&mut self, other: Self) {
        self.secrets.extend(other.secrets);
        self.config_maps.extend(other.config_maps);
    }

    /// The Secrets and ConfigMaps, as kind and name.
    #[must_use]
    pub fn names(&self) -> BTreeSet<(&'static str, String)> {
        let secrets = self
            .secrets
            .iter()
            .map(|(name, _)| ("Secret", name.clone()));
        let config_maps = self
            .config_maps
            .iter()
            .map(|(name, _)| ("ConfigMap", name.clone()));
        secrets.chain(config_maps).collect()
    }

    /// A fingerprint of the set, in hexadecimal digits; empty for the empty set.
    #[must_use]
    pub fn digest(&self) -> String {
        if *self == Self::default() {
            return String::new();
        }
        let mut hash = Sha256::new();
        for (kind, fields) in [("secret", &self.secrets), ("configmap", &self.config_maps)] {
            for (name, key) in fields {
                hash.update(format!("{kind}/{name}/{key}\n"));
            }
        }
        hex::encode(&hash.finalize()[..16])
    }
}

/// The first problem of a function's references, if any: a path that a volume cannot have would
/// keep all pods of the set from starting.
#[must_use]
pub fn problem(references: &References) -> Option<String> {
    let fields = references.secrets.iter().chain(&references.config_maps);
    fields
        .filter_map(|(name, key)| {
            if !is_subdomain(name) {
                return Some(format!(
                    "`{name}` must be the name of a Secret or ConfigMap: lower-case letters, digits, `-` and `.`"
                ));
            }
            (key == "." || key.starts_with(".."))
                .then(|| format!("`{key}` of `{name}` must not be `.` or start with `..`"))
        })
        .next()
}

fn is_subdomain(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            let inner =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            !label.is_empty()
                && label.bytes().all(inner)
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

/// What a set of functions names together, oldest function first, and who comes too late.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gathered {
    /// What goes into the volume.
    pub references: References,
    /// UIDs of the functions that are left out, since more names than fit would come together.
    pub left_out: BTreeSet<String>,
}

/// Gathers what `functions` name, which come sorted by seniority.
#[must_use]
pub fn gather<'a>(
    functions: impl IntoIterator<Item = &'a WasmFunction>,
    offers: &StoreOffers,
) -> Gathered {
    let mut gathered = Gathered::default();
    let mut names = BTreeSet::new();
    for function in functions {
        let own = References::of(function, offers);
        if problem(&own).is_some() {
            continue;
        }
        let new: BTreeSet<_> = own.names().difference(&names).cloned().collect();
        if names.len() + new.len() <= MOST_NAMES {
            names.extend(new);
            gathered.references.extend(own);
        } else {
            let uid = function.metadata.uid.clone().unwrap_or_default();
            gathered.left_out.insert(uid);
        }
    }
    gathered
}

/// Whether a deployment may be written now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pace {
    /// It may.
    Now,
    /// It waits until then, or for the end of the roll.
    Until(Instant),
}

/// What decides about a roll.
#[derive(Clone, Copy, Debug)]
pub struct Roll<'a> {
    /// Fingerprint of the set that the pods have; unset where there is no deployment yet.
    pub live: Option<&'a str>,
    /// Fingerprint of the set that they shall have.
    pub wanted: &'a str,
    /// Since when the two have differed.
    pub differs_since: Instant,
    /// An earlier change is still rolling.
    pub rolling: bool,
}

/// A changed set rolls the pods: changes are gathered for [`GATHER`], and one roll goes at a time.
#[must_use]
pub fn pace(roll: Roll<'_>, now: Instant) -> Pace {
    match roll.live {
        None => Pace::Now,
        Some(live) if live == roll.wanted => Pace::Now,
        Some(_) => {
            let due = roll.differs_since + GATHER;
            if now < due {
                Pace::Until(due)
            } else if roll.rolling {
                Pace::Until(now + GATHER)
            } else {
                Pace::Now
            }
        }
    }
}

#[cfg(test)]
mod tests;
