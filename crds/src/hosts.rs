//! Who owns a host: the same answer in every gateway and in the operator.
//!
//! Every function owns `NAME.NAMESPACE.DOMAIN` and nobody may claim anything else under `DOMAIN`.
//! Another host must lie under a suffix that the admin granted to the namespace. Of two functions
//! that claim the same host and path the older one (creation time, then UID) has it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::spec::{Visibility, WasmFunction};

/// What the admin decided about hosts.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HostRules {
    /// Every function answers at `NAME.NAMESPACE.DOMAIN`.
    pub domain: String,
    /// DNS domain of the cluster's Services, without a leading dot: `cluster.local`.
    pub cluster_domain: String,
    /// Suffixes granted to each namespace: `example.com` grants `example.com` and every host under
    /// it.
    pub granted_suffixes: BTreeMap<String, Vec<String>>,
}

/// Namespace and name of a function.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct FunctionKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl FunctionKey {
    /// Key of an object from the API server.
    #[must_use]
    pub fn of(function: &WasmFunction) -> Self {
        Self {
            namespace: function.metadata.namespace.clone().unwrap_or_default(),
            name: function.metadata.name.clone().unwrap_or_default(),
        }
    }
}

impl std::fmt::Display for FunctionKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

/// Why a function does not have a host that it claims.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HostProblem {
    /// The host lies under no suffix granted to the namespace, or under wasmfn's own domain.
    NotAllowed {
        /// The host.
        host: String,
    },
    /// An older function has this host and path.
    Taken {
        /// The host.
        host: String,
        /// The path prefix.
        path: String,
        /// Who has it.
        owner: FunctionKey,
    },
}

impl std::fmt::Display for HostProblem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotAllowed { host } => write!(
                formatter,
                "host `{host}` lies under no suffix that is granted to this namespace"
            ),
            // Another tenant's names are not this one's to know.
            Self::Taken { host, path, .. } => write!(
                formatter,
                "host `{host}` with path `{path}` belongs to an older function"
            ),
        }
    }
}

/// Which function answers for a host and path.
#[derive(Clone, Debug, Default)]
pub struct HostTable {
    hosts: BTreeMap<String, BTreeMap<String, FunctionKey>>,
    visible: BTreeMap<FunctionKey, Visibility>,
    problems: BTreeMap<FunctionKey, Vec<HostProblem>>,
}

impl HostTable {
    /// Settles all claims of `functions`, in whatever order they come.
    #[must_use]
    pub fn build<'a>(
        rules: &HostRules,
        functions: impl IntoIterator<Item = &'a WasmFunction>,
    ) -> Self {
        let mut by_age: Vec<&WasmFunction> = functions.into_iter().collect();
        by_age.sort_by_cached_key(|function| seniority(function));
        let mut table = Self::default();
        for function in by_age {
            table.add(rules, function);
        }
        table
    }

    fn add(&mut self, rules: &HostRules, function: &WasmFunction) {
        let key = FunctionKey::of(function);
        self.visible
            .insert(key.clone(), function.spec.route.visibility);
        self.hosts
            .entry(rules.own_host(&key))
            .or_default()
            .insert("/".to_owned(), key.clone());
        for host in &function.spec.route.hosts {
            if rules.allows(&key.namespace, host) {
                self.claim(host, &function.spec.route.paths, &key);
            } else {
                self.problem(&key, HostProblem::NotAllowed { host: host.clone() });
            }
        }
    }

    fn claim(&mut self, host: &str, paths: &[String], key: &FunctionKey) {
        let everything = ["/".to_owned()];
        let paths = if paths.is_empty() { &everything } else { paths };
        for path in paths {
            let owners = self.hosts.entry(host.to_owned()).or_default();
            let owner = owners
                .entry(normal_prefix(path).to_owned())
                .or_insert_with(|| key.clone());
            if owner != key {
                let owner = owner.clone();
                self.problem(
                    key,
                    HostProblem::Taken {
                        host: host.to_owned(),
                        path: path.clone(),
                        owner,
                    },
                );
            }
        }
    }

    fn problem(&mut self, key: &FunctionKey, problem: HostProblem) {
        self.problems.entry(key.clone()).or_default().push(problem);
    }

    /// Why a function lacks hosts that it claims; empty where it has them all.
    #[must_use]
    pub fn problems(&self, key: &FunctionKey) -> &[HostProblem] {
        self.problems.get(key).map_or(&[], Vec::as_slice)
    }

    /// The function that answers for `host` (lower case, no port, no trailing dot) and `path`: the
    /// longest prefix by whole segments.
    #[must_use]
    pub fn find(&self, host: &str, path: &str) -> Option<(&FunctionKey, Visibility)> {
        let key = self
            .hosts
            .get(host)?
            .iter()
            .filter(|(prefix, _)| is_prefix(prefix, path))
            .max_by_key(|(prefix, _)| prefix.len())
            .map(|(_, key)| key)?;
        Some((key, self.visibility(key)?))
    }

    /// Visibility of a function, if there is such a function.
    #[must_use]
    pub fn visibility(&self, key: &FunctionKey) -> Option<Visibility> {
        self.visible.get(key).copied()
    }
}

impl HostRules {
    /// The host that a function owns by its name.
    #[must_use]
    pub fn own_host(&self, key: &FunctionKey) -> String {
        format!("{}.{}.{}", key.name, key.namespace, self.domain)
    }

    /// The function that a host inside the cluster names: `NAME.NAMESPACE`, `NAME.NAMESPACE.svc` or
    /// `NAME.NAMESPACE.svc.CLUSTERDOMAIN`.
    #[must_use]
    pub fn internal(&self, host: &str) -> Option<FunctionKey> {
        let short = host
            .strip_suffix(self.cluster_domain.as_str())
            .and_then(|rest| rest.strip_suffix('.'))
            .unwrap_or(host);
        let short = short.strip_suffix(".svc").unwrap_or(short);
        let (name, namespace) = short.split_once('.')?;
        (!name.is_empty() && !namespace.is_empty() && !namespace.contains('.')).then(|| {
            FunctionKey {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            }
        })
    }

    fn allows(&self, namespace: &str, host: &str) -> bool {
        !is_under(host, &self.domain)
            && self
                .granted_suffixes
                .get(namespace)
                .is_some_and(|suffixes| suffixes.iter().any(|suffix| is_under(host, suffix)))
    }
}

fn is_under(host: &str, suffix: &str) -> bool {
    host == suffix
        || host
            .strip_suffix(suffix)
            .is_some_and(|rest| rest.ends_with('.'))
}

fn normal_prefix(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" => "/",
        trimmed => trimmed,
    }
}

fn is_prefix(prefix: &str, path: &str) -> bool {
    prefix == "/"
        || path
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Sorts the oldest first; an object without a creation time counts as the youngest.
#[must_use]
pub fn seniority(function: &WasmFunction) -> (bool, String, String) {
    let created = function.metadata.creation_timestamp.as_ref();
    (
        created.is_none(),
        created.map_or_else(String::new, |time| time.0.to_string()),
        function.metadata.uid.clone().unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests;
