//! The registry client: from a reference to a digest, and from a digest to a module's bytes.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::Method;

use super::Registry;
use super::credentials::{Credentials, Login, logins_for};
use super::digest;
use super::error::RegistryError;
use super::exchange::{Answer, Ask, Exchange};
use super::manifest::{self, Descriptor, MANIFEST_MAX_BYTES, Selection, Unusable};
use super::plain_http::PlainHttpRegistries;
use super::reference::Reference;
use super::transport::{self, Transport};
use crate::name_resolver::NameResolver;
use crate::roots::Roots;

const RESOLVE_TIMEOUT: Duration = Duration::from_secs(60);
const PULL_TIMEOUT: Duration = Duration::from_secs(300);
/// Documents on the way to a layer: an index, an index within, a manifest.
const DOCUMENTS_MAX: usize = 3;
const DIGEST_HEADER: &str = "docker-content-digest";

/// Asks registries by the OCI distribution API.
pub struct OciRegistry {
    pub(super) exchange: Exchange,
}

impl OciRegistry {
    /// A client that asks the listed registries over plain HTTP and all others over HTTPS, if `roots`
    /// vouch for them.
    #[must_use]
    pub fn new(resolver: NameResolver, plain_http: PlainHttpRegistries, roots: &Roots) -> Self {
        let exchange = Exchange::new(Transport::new(resolver, roots), plain_http);
        Self { exchange }
    }

    /// By a HEAD, which registries do not count; by a GET where that says too little.
    async fn resolve_tag(
        &self,
        reference: &Reference,
        logins: &[&Login],
    ) -> Result<String, RegistryError> {
        let name = reference.tag().unwrap_or_default();
        match self.manifest(Method::HEAD, reference, name, logins).await {
            Ok(answer) => {
                if let Some(digest) = announced_digest(&answer) {
                    return Ok(digest);
                }
            }
            Err(
                error @ (RegistryError::RateLimited { .. }
                | RegistryError::Faulty { .. }
                | RegistryError::Unreachable { .. }),
            ) => return Err(error),
            Err(_) => {}
        }
        let answer = self.manifest(Method::GET, reference, name, logins).await?;
        Ok(answer.body.digest)
    }

    async fn manifest(
        &self,
        method: Method,
        reference: &Reference,
        name: &str,
        logins: &[&Login],
    ) -> Result<Answer, RegistryError> {
        let separator = if digest::is_valid(name) { '@' } else { ':' };
        let ask = Ask {
            method,
            reference,
            path: format!("manifests/{name}"),
            accept: Some(manifest::ACCEPT),
            max_bytes: MANIFEST_MAX_BYTES,
            content: None,
            at: None,
            what: format!("{}{separator}{name}", reference.repository()),
        };
        let answer = self.exchange.ask(&ask, logins).await?;
        if answer.body.cut && ask.method == Method::GET {
            return Err(ask.invalid(format!(
                "the manifest has more than {MANIFEST_MAX_BYTES} bytes"
            )));
        }
        Ok(answer)
    }

    async fn pull_module(
        &self,
        reference: &Reference,
        digest: &str,
        logins: &[&Login],
        max_bytes: u64,
    ) -> Result<Bytes, RegistryError> {
        let image = format!(
            "{}/{}@{digest}",
            reference.registry(),
            reference.repository()
        );
        let layer = self.find_layer(reference, digest, logins, &image).await?;
        if layer.size > max_bytes {
            return Err(RegistryError::TooLarge {
                image,
                bytes: Some(layer.size),
                max_bytes,
            });
        }
        let module = self.blob(reference, &layer, logins).await?;
        if let Some(format) = manifest::archive_format(&module) {
            let problem = format!("its layer is {format}, as of a container image");
            return Err(RegistryError::NotWasm { image, problem });
        }
        Ok(module)
    }

    async fn find_layer(
        &self,
        reference: &Reference,
        digest: &str,
        logins: &[&Login],
        image: &str,
    ) -> Result<Descriptor, RegistryError> {
        let mut digest = digest.to_owned();
        for _ in 0..DOCUMENTS_MAX {
            let answer = self
                .manifest(Method::GET, reference, &digest, logins)
                .await?;
            if answer.body.digest != digest {
                return Err(mismatch(reference, &digest, &answer.body.digest));
            }
            let selection = manifest::select(&answer.body.bytes)
                .map_err(|unusable| unusable.of(reference, image))?;
            match selection {
                Selection::Layer(layer) => return Ok(layer),
                Selection::Manifest(descriptor) => digest = descriptor.digest,
            }
        }
        let problem = "its index leads to an index that leads to an index".to_owned();
        Err(Unusable::Unsupported(problem).of(reference, image))
    }

    async fn blob(
        &self,
        reference: &Reference,
        layer: &Descriptor,
        logins: &[&Login],
    ) -> Result<Bytes, RegistryError> {
        let ask = Ask {
            method: Method::GET,
            reference,
            path: format!("blobs/{}", layer.digest),
            accept: None,
            max_bytes: layer.size,
            content: None,
            at: None,
            what: format!("{}@{}", reference.repository(), layer.digest),
        };
        let body = self.exchange.ask(&ask, logins).await?.body;
        if body.cut || body.bytes.len() as u64 != layer.size {
            let sent = if body.cut { "more" } else { "fewer" };
            let problem = format!(
                "{sent} than the {} bytes that its manifest says",
                layer.size
            );
            return Err(RegistryError::DigestMismatch {
                registry: reference.registry().to_owned(),
                what: ask.what,
                problem,
            });
        }
        if body.digest != layer.digest {
            return Err(mismatch(reference, &layer.digest, &body.digest));
        }
        Ok(body.bytes)
    }
}

impl Registry for OciRegistry {
    fn resolve<'a>(
        &'a self,
        image: &'a str,
        credentials: &'a [Credentials],
    ) -> BoxFuture<'a, Result<String, RegistryError>> {
        Box::pin(async move {
            let reference: Reference = image.parse()?;
            if let Some(digest) = reference.digest() {
                return Ok(digest.to_owned());
            }
            let logins = logins_for(credentials, &reference);
            let resolve = self.resolve_tag(&reference, &logins);
            within(RESOLVE_TIMEOUT, reference.registry(), resolve).await
        })
    }

    fn pull<'a>(
        &'a self,
        image: &'a str,
        digest: &'a str,
        credentials: &'a [Credentials],
        max_bytes: u64,
    ) -> BoxFuture<'a, Result<Bytes, RegistryError>> {
        Box::pin(async move {
            let reference: Reference = image.parse()?;
            if !digest::is_valid(digest) {
                return Err(RegistryError::InvalidReference {
                    reference: format!("{}@{digest}", reference.repository()),
                    problem: "its digest must be sha256: and 64 lower-case hexadecimal digits"
                        .to_owned(),
                });
            }
            let logins = logins_for(credentials, &reference);
            let pull = self.pull_module(&reference, digest, &logins, max_bytes);
            within(PULL_TIMEOUT, reference.registry(), pull).await
        })
    }
}

pub(super) async fn within<T>(
    limit: Duration,
    registry: &str,
    work: impl Future<Output = Result<T, RegistryError>>,
) -> Result<T, RegistryError> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => Err(transport::unreachable(
            registry,
            format!("it took longer than {} seconds", limit.as_secs()),
        )),
    }
}

fn announced_digest(answer: &Answer) -> Option<String> {
    let digest = answer.headers.get(DIGEST_HEADER)?.to_str().ok()?;
    digest::is_valid(digest).then(|| digest.to_owned())
}

fn mismatch(reference: &Reference, wanted: &str, sent: &str) -> RegistryError {
    RegistryError::DigestMismatch {
        registry: reference.registry().to_owned(),
        what: format!("{}@{wanted}", reference.repository()),
        problem: format!("what came has the digest {sent}"),
    }
}

impl Unusable {
    fn of(self, reference: &Reference, image: &str) -> RegistryError {
        let image = image.to_owned();
        match self {
            Self::Invalid(problem) => RegistryError::InvalidAnswer {
                registry: reference.registry().to_owned(),
                what: image,
                problem,
            },
            Self::NotWasm(problem) => RegistryError::NotWasm { image, problem },
            Self::Unsupported(problem) => RegistryError::Unsupported { image, problem },
        }
    }
}
