//! Pull secrets: who a registry is asked as. The rules are the kubelet's: hosts match label by
//! label, ports exactly, paths as a beginning, and the most specific entry goes first. Helpers, which
//! are programs, are never run.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::error::RegistryError;
use super::reference::Reference;

/// The logins of one pull secret.
#[derive(Clone, Default)]
pub struct Credentials {
    entries: Vec<Entry>,
}

#[derive(Clone)]
struct Entry {
    scope: Scope,
    login: Login,
}

/// Whom to be towards a registry.
#[derive(Clone, Eq, PartialEq)]
pub(super) struct Login {
    pub(super) user: String,
    pub(super) proof: Proof,
}

/// What shows that one is who one says.
#[derive(Clone, Eq, PartialEq)]
pub(super) enum Proof {
    /// For basic authentication, towards the registry or its token server.
    Password(String),
    /// For the token server alone (`identitytoken`; an OAuth 2 refresh token).
    IdentityToken(String),
}

impl Login {
    /// Tells logins apart without keeping them: a changed password is another login.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let (kind, proof) = match &self.proof {
            Proof::Password(password) => (b'p', password),
            Proof::IdentityToken(token) => (b't', token),
        };
        let mut hash = Sha256::new();
        hash.update([kind]);
        hash.update(self.user.len().to_le_bytes());
        hash.update(&self.user);
        hash.update(proof);
        hash.finalize().into()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scopes = self.entries.iter().map(|entry| &entry.scope);
        formatter.debug_set().entries(scopes).finish()
    }
}

#[derive(Deserialize)]
struct DockerConfig {
    auths: BTreeMap<String, Auth>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

impl Credentials {
    /// Reads the field `.dockerconfigjson` of a Secret, or the `config.json` of docker.
    ///
    /// # Errors
    /// [`RegistryError::InvalidCredentials`], which quotes nothing of the contents.
    pub fn from_docker_config(bytes: &[u8]) -> Result<Self, RegistryError> {
        let invalid = |problem: String| RegistryError::InvalidCredentials { problem };
        let config: DockerConfig = serde_json::from_slice(bytes).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            invalid(match error.classify() {
                serde_json::error::Category::Data => {
                    format!("line {line}, column {column}: it needs `auths` with an object for each registry")
                }
                _ => format!("line {line}, column {column}: it is no JSON"),
            })
        })?;
        let mut entries = Vec::new();
        for (position, (key, auth)) in config.auths.into_iter().enumerate() {
            let login = auth.login().map_err(|problem| {
                invalid(format!("entry {} of `auths`: {problem}", position + 1))
            })?;
            if let Some(login) = login {
                let scope = Scope::parse(&key);
                entries.push(Entry { scope, login });
            }
        }
        entries.sort_by_key(|entry| Reverse(entry.scope.specificity()));
        Ok(Self { entries })
    }

    fn matching<'a>(&'a self, reference: &Reference) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(|entry| {
            entry
                .scope
                .covers(reference.registry(), reference.repository())
        })
    }
}

/// The logins that fit a reference, the most specific first, each once.
pub(super) fn logins_for<'a>(
    credentials: &'a [Credentials],
    reference: &Reference,
) -> Vec<&'a Login> {
    let mut entries: Vec<&Entry> = credentials
        .iter()
        .flat_map(|credentials| credentials.matching(reference))
        .collect();
    entries.sort_by_key(|entry| Reverse(entry.scope.specificity()));
    let mut logins: Vec<&Login> = Vec::new();
    for entry in entries {
        if !logins.contains(&&entry.login) {
            logins.push(&entry.login);
        }
    }
    logins
}

impl Auth {
    /// None where the entry is empty, as docker leaves them for its helpers.
    fn login(self) -> Result<Option<Login>, String> {
        let (user, password) = match self.auth.filter(|auth| !auth.is_empty()) {
            Some(auth) => decode(&auth)?,
            None => (
                self.username.unwrap_or_default(),
                self.password.unwrap_or_default(),
            ),
        };
        let proof = match self.identitytoken.filter(|token| !token.is_empty()) {
            Some(token) => Proof::IdentityToken(token),
            None if user.is_empty() && password.is_empty() => return Ok(None),
            None => Proof::Password(password),
        };
        Ok(Some(Login { user, proof }))
    }
}

/// `USER:PASSWORD` in base64; line breaks within are common.
fn decode(auth: &str) -> Result<(String, String), String> {
    let compact: String = auth
        .chars()
        .filter(|letter| !letter.is_ascii_whitespace())
        .collect();
    let bytes = STANDARD
        .decode(compact)
        .map_err(|_| "its `auth` is no base64".to_owned())?;
    let text = String::from_utf8(bytes).map_err(|_| "its `auth` is no text".to_owned())?;
    let (user, password) = text
        .trim_end_matches(['\0', '\n'])
        .split_once(':')
        .ok_or("its `auth` has no `:` between user and password")?;
    Ok((user.to_owned(), password.to_owned()))
}

/// What a key of `auths` is good for.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Scope {
    host: String,
    port: Option<String>,
    path: String,
}

impl Scope {
    fn parse(key: &str) -> Self {
        let key = key
            .trim()
            .trim_start_matches("https://")
            .trim_start_matches("http://");
        let (authority, path) = key.split_once('/').unwrap_or((key, ""));
        let path = path.trim_end_matches('/');
        let path = match path.strip_prefix("v1").or_else(|| path.strip_prefix("v2")) {
            Some("") => "",
            Some(rest) if rest.starts_with('/') => &rest[1..],
            _ => path,
        };
        let (host, port) = split_port(authority);
        Self {
            host,
            port,
            path: path.to_owned(),
        }
    }

    fn covers(&self, registry: &str, repository: &str) -> bool {
        let (host, port) = split_port(registry);
        self.port == port && host_matches(&self.host, &host) && self.covers_path(repository)
    }

    fn covers_path(&self, repository: &str) -> bool {
        match repository.strip_prefix(&self.path) {
            Some(rest) => self.path.is_empty() || rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }

    /// Larger is more specific: a longer path, then a host without wildcards.
    fn specificity(&self) -> (usize, bool) {
        (self.path.len(), !self.host.contains('*'))
    }
}

/// Docker Hub goes by several names in such files.
fn split_port(authority: &str) -> (String, Option<String>) {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port.to_owned())),
        _ => (authority, None),
    };
    let host = host.to_ascii_lowercase();
    match host.as_str() {
        "index.docker.io" | "registry-1.docker.io" => ("docker.io".to_owned(), port),
        _ => (host, port),
    }
}

fn host_matches(pattern: &str, host: &str) -> bool {
    let (patterns, labels) = (pattern.split('.'), host.split('.'));
    patterns.clone().count() == labels.clone().count()
        && patterns
            .zip(labels)
            .all(|(pattern, label)| label_matches(pattern, label))
}

/// A `*` stands for any letters within its label.
fn label_matches(pattern: &str, label: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == label,
        Some((start, rest)) => label.strip_prefix(start).is_some_and(|label| {
            (0..=label.len())
                .filter(|index| label.is_char_boundary(*index))
                .any(|index| label_matches(rest, &label[index..]))
        }),
    }
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
