//! Pushing a module: its bytes, a config that says what they are, and a manifest that names both, as the
//! CNCF's "Wasm OCI Artifact layout" has it.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Uri};
use serde_json::json;

use super::client::within;
use super::credentials::{Credentials, Login, logins_for};
use super::error::RegistryError;
use super::exchange::Ask;
use super::manifest::{CNCF_CONFIG, MANIFEST};
use super::reference::Reference;
use super::{OciRegistry, digest};
use crate::detect::{Detected, detect};

const PUSH_TIMEOUT: Duration = Duration::from_secs(1800);
const LAYER: &str = "application/wasm";
/// Kind of bytes that are sent, whatever they are.
const BYTES: &str = "application/octet-stream";

impl OciRegistry {
    /// Stores `module` under `image`, which names a tag. Gives the digest of its manifest, which is the same
    /// for the same bytes.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn push(
        &self,
        image: &str,
        module: Bytes,
        credentials: &[Credentials],
    ) -> Result<String, RegistryError> {
        let reference: Reference = image.parse()?;
        let Some(tag) = reference.tag().filter(|_| reference.digest().is_none()) else {
            return Err(RegistryError::InvalidReference {
                reference: image.to_owned(),
                problem: "what is pushed gets a tag; its digest follows from its bytes".to_owned(),
            });
        };
        let logins = logins_for(credentials, &reference);
        let push = self.push_all(&reference, tag, module, &logins);
        within(PUSH_TIMEOUT, reference.registry(), push).await
    }

    async fn push_all(
        &self,
        reference: &Reference,
        tag: &str,
        module: Bytes,
        logins: &[&Login],
    ) -> Result<String, RegistryError> {
        let config = config(&module);
        let manifest = manifest(&config, &module);
        for blob in [config, module] {
            self.push_blob(reference, blob, logins).await?;
        }
        let digest = digest::of(&manifest);
        let ask = Ask {
            method: Method::PUT,
            path: format!("manifests/{tag}"),
            content: Some((MANIFEST, manifest)),
            ..writing(reference, format!("{}:{tag}", reference.repository()))
        };
        self.exchange.ask(&ask, logins).await?;
        Ok(digest)
    }

    /// Sends bytes, unless they are there.
    async fn push_blob(
        &self,
        reference: &Reference,
        bytes: Bytes,
        logins: &[&Login],
    ) -> Result<(), RegistryError> {
        let digest = digest::of(&bytes);
        let what = format!("{}@{digest}", reference.repository());
        let look = Ask {
            method: Method::HEAD,
            path: format!("blobs/{digest}"),
            content: None,
            ..writing(reference, what.clone())
        };
        match self.exchange.ask(&look, logins).await {
            // Who may push and not pull is not told.
            Err(RegistryError::NotFound { .. } | RegistryError::Denied { .. }) => {}
            decided => return decided.map(drop),
        }
        let begin = Ask {
            path: "blobs/uploads/".to_owned(),
            ..writing(reference, what.clone())
        };
        let begun = self.exchange.ask(&begin, logins).await?;
        let place = self.exchange.next(&begin, &begun)?;
        let send = Ask {
            method: Method::PUT,
            content: Some((BYTES, bytes)),
            at: Some(with_digest(&begin, &place, &digest)?),
            ..writing(reference, what)
        };
        self.exchange.ask(&send, logins).await.map(drop)
    }
}

/// A request that writes nothing yet.
fn writing(reference: &Reference, what: String) -> Ask<'_> {
    Ask {
        method: Method::POST,
        reference,
        path: String::new(),
        accept: None,
        max_bytes: 0,
        content: Some((BYTES, Bytes::new())),
        at: None,
        what,
    }
}

/// Where bytes go, with the digest that they have.
fn with_digest(ask: &Ask<'_>, place: &Uri, digest: &str) -> Result<Uri, RegistryError> {
    let joint = if place.query().is_some() { '&' } else { '?' };
    format!("{place}{joint}digest={digest}")
        .parse()
        .map_err(|_| ask.invalid("a place for the bytes that is no URL".to_owned()))
}

/// What the module is. The time is that of no clock: the same bytes have the same digest.
fn config(module: &[u8]) -> Bytes {
    let os = match detect(module) {
        Detected::CoreModule => "wasip1",
        _ => "wasip2",
    };
    let config = json!({
        "created": "1970-01-01T00:00:00Z",
        "architecture": "wasm",
        "os": os,
        "layerDigests": [digest::of(module)],
    });
    config.to_string().into()
}

fn manifest(config: &[u8], module: &[u8]) -> Bytes {
    let descriptor = |kind: &str, bytes: &[u8]| json!({ "mediaType": kind, "digest": digest::of(bytes), "size": bytes.len() });
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CNCF_CONFIG, config),
        "layers": [descriptor(LAYER, module)],
    });
    manifest.to_string().into()
}
