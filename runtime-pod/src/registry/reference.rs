//! References to images: `HOST[:PORT]/PATH[:TAG][@DIGEST]`, by the rules of the distribution
//! project (<https://github.com/distribution/reference>).

use std::fmt;
use std::str::FromStr;

use super::digest;
use super::error::RegistryError;

/// Longest repository name, in bytes (distribution's `NameTotalLengthMax`).
const REPOSITORY_MAX_BYTES: usize = 255;
/// Longest tag, in bytes (OCI distribution specification).
const TAG_MAX_BYTES: usize = 128;
/// How much of a wrong reference an error shows, in bytes.
const SHOWN_BYTES: usize = 200;

const DOCKER_HUB: &str = "docker.io";
const DOCKER_HUB_API: &str = "registry-1.docker.io";

/// A parsed reference.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
}

impl Reference {
    /// The registry as people write it: `HOST[:PORT]`.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The `HOST[:PORT]` that answers for the registry.
    #[must_use]
    pub fn authority(&self) -> &str {
        if self.registry == DOCKER_HUB {
            DOCKER_HUB_API
        } else {
            &self.registry
        }
    }

    /// The repository's path.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The digest, where the reference names one.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// The tag; `latest` where neither tag nor digest is written.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        match (&self.tag, &self.digest) {
            (Some(tag), _) => Some(tag),
            (None, None) => Some("latest"),
            (None, Some(_)) => None,
        }
    }

    /// The same repository at another digest.
    #[must_use]
    pub fn at(&self, digest: &str) -> Self {
        Self {
            tag: None,
            digest: Some(digest.to_owned()),
            ..self.clone()
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = self.tag() {
            write!(formatter, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(formatter, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = RegistryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|problem| RegistryError::InvalidReference {
            reference: wasmfn_crds::condition::cut(text, SHOWN_BYTES).to_owned(),
            problem,
        })
    }
}

fn parse(text: &str) -> Result<Reference, String> {
    if text.contains("://") {
        return Err("it has a scheme, which references do not have".to_owned());
    }
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (text, None),
    };
    if let Some(digest) = digest
        && !digest::is_valid(digest)
    {
        return Err("its digest must be sha256: and 64 lower-case hexadecimal digits".to_owned());
    }
    let (name, tag) = split_tag(name);
    if let Some(tag) = tag {
        check_tag(tag)?;
    }
    let (registry, path) = split_registry(name);
    check_registry(registry)?;
    let repository = if registry == DOCKER_HUB && !path.contains('/') {
        format!("library/{path}")
    } else {
        path.to_owned()
    };
    check_repository(&repository)?;
    Ok(Reference {
        registry: registry.to_owned(),
        repository,
        tag: tag.map(str::to_owned),
        digest: digest.map(str::to_owned),
    })
}

/// A colon after the last slash begins a tag; one before it, a port.
fn split_tag(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once(':') {
        Some((before, tag)) if !tag.contains('/') => (before, Some(tag)),
        _ => (name, None),
    }
}

/// What is before the first slash is a registry where it looks like a host, else Docker Hub's.
fn split_registry(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some(("index.docker.io" | DOCKER_HUB_API, path)) => (DOCKER_HUB, path),
        Some((host, path))
            if host == "localhost"
                || host.contains(['.', ':'])
                || host.contains(|letter: char| letter.is_ascii_uppercase()) =>
        {
            (host, path)
        }
        _ => (DOCKER_HUB, name),
    }
}

fn check_tag(tag: &str) -> Result<(), String> {
    let valid = !tag.is_empty()
        && tag.len() <= TAG_MAX_BYTES
        && !tag.starts_with(['.', '-'])
        && tag
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if valid {
        return Ok(());
    }
    Err(format!(
        "its tag must have 1 to {TAG_MAX_BYTES} letters, digits, `_`, `.` and `-`, and not begin \
         with `.` or `-`"
    ))
}

fn check_registry(registry: &str) -> Result<(), String> {
    let (host, port) = split_port(registry);
    let valid_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if !valid_port {
        return Err("its port must be a number from 1 to 65535".to_owned());
    }
    let valid_host = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(is_label),
    };
    if valid_host {
        return Ok(());
    }
    Err("its host must be a DNS name or an address".to_owned())
}

fn split_port(registry: &str) -> (&str, Option<&str>) {
    match registry.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (registry, None),
    }
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn check_repository(repository: &str) -> Result<(), String> {
    if repository.len() > REPOSITORY_MAX_BYTES {
        return Err(format!(
            "its path must have at most {REPOSITORY_MAX_BYTES} letters"
        ));
    }
    if repository.split('/').all(is_path_component) {
        return Ok(());
    }
    Err(
        "its path must be of lower-case letters and digits, with `.`, `_`, `__` or `-` only \
         between them and no empty part"
            .to_owned(),
    )
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_path_component(component: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    if !is_word(*first) || !is_word(*last) {
        return false;
    }
    component
        .split(|letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit())
        .all(|between| {
            matches!(between, "" | "." | "_" | "__") || between.bytes().all(|byte| byte == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn references_are_taken_apart() {
        let at_digest = format!("r.example/a/b@{DIGEST}");
        let both = format!("r.example/a/b:v1@{DIGEST}");
        let table = [
            ("hello", "docker.io", "library/hello", Some("latest"), None),
            ("team/hello:v1", "docker.io", "team/hello", Some("v1"), None),
            (
                "index.docker.io/team/a",
                "docker.io",
                "team/a",
                Some("latest"),
                None,
            ),
            (
                "docker.io/hello",
                "docker.io",
                "library/hello",
                Some("latest"),
                None,
            ),
            (
                "r.example/a__b/c-d.e:V_1.2-x",
                "r.example",
                "a__b/c-d.e",
                Some("V_1.2-x"),
                None,
            ),
            ("localhost/a:v1", "localhost", "a", Some("v1"), None),
            (
                "registry:5000/a",
                "registry:5000",
                "a",
                Some("latest"),
                None,
            ),
            ("[::1]:5000/a:t", "[::1]:5000", "a", Some("t"), None),
            (
                "10.0.0.1:5000/a/b/c",
                "10.0.0.1:5000",
                "a/b/c",
                Some("latest"),
                None,
            ),
            (at_digest.as_str(), "r.example", "a/b", None, Some(DIGEST)),
            (both.as_str(), "r.example", "a/b", Some("v1"), Some(DIGEST)),
        ];
        for (text, registry, repository, tag, digest) in table {
            let reference: Reference = text.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(reference.registry(), registry, "{text}");
            assert_eq!(reference.repository(), repository, "{text}");
            assert_eq!(reference.tag(), tag, "{text}");
            assert_eq!(reference.digest(), digest, "{text}");
        }
    }

    #[test]
    fn docker_hub_answers_under_another_name() {
        let reference: Reference = "hello".parse().unwrap();
        assert_eq!(reference.authority(), "registry-1.docker.io");
        assert_eq!(reference.to_string(), "docker.io/library/hello:latest");
    }

    #[test]
    fn what_is_no_reference_is_refused_with_its_fault() {
        let table = [
            ("", "path"),
            ("https://r.example/a", "scheme"),
            ("r.example/A", "path"),
            ("r.example/a//b", "path"),
            ("r.example/a/../b", "path"),
            ("r.example/a:", "tag"),
            ("r.example/a:-x", "tag"),
            ("r.example/a:v 1", "tag"),
            ("r.example:0/a", "port"),
            ("r.example:99999/a", "port"),
            ("-r.example/a", "host"),
            ("r..example/a", "host"),
            ("[::1/a", "host"),
            ("r.example/a@sha256:abc", "digest"),
            ("r.example/a@sha512:abc", "digest"),
            ("r.example/a?x=1", "path"),
            ("r.example/a#x", "path"),
            ("user@r.example/a", "digest"),
        ];
        for (text, word) in table {
            let error = text.parse::<Reference>().expect_err(text);
            let said = error.to_string();
            assert!(said.contains(word), "{text}: {said}");
            assert_eq!(error.reason(), wasmfn_crds::Reason::InvalidImage);
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_printed_is_read_back(text in "[a-zA-Z0-9./:@_-]{0,40}") {
            if let Ok(reference) = text.parse::<Reference>() {
                let again: Reference = reference.to_string().parse().expect("printed references parse");
                proptest::prop_assert_eq!(again.to_string(), reference.to_string());
            }
        }
    }
}
