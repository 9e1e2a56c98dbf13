use k8s_openapi::{ByteString, api::core::v1::Secret};
use wasmfn_crds::{
    names::KEYS_SECRET,
    token::{MasterKey, Purpose},
};

use super::meta::shared;

/// The tokens and keys of a namespace.
pub(super) fn keys(master_key: &MasterKey, namespace: &str) -> Secret {
    let data = Purpose::ALL
        .into_iter()
        .map(|purpose| {
            let token = master_key.derive(purpose, namespace);
            (purpose.field().to_owned(), ByteString(token.into_bytes()))
        })
        .collect();
    Secret {
        metadata: shared(namespace, KEYS_SECRET),
        type_: Some("Opaque".to_owned()),
        data: Some(data),
        ..Secret::default()
    }
}
