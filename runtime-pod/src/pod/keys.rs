//! Follows the Secret with the namespace's tokens at the API server.
//!
//! A volume would do the same, but a kubelet that is refused the Secret of a pod so new that the node
//! authorizer has not heard of it mounts it 1.5 s later (`docs/decisions/0051-pods-read-their-keys.md`).

use std::sync::Arc;

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client,
    runtime::{WatchStreamExt, watcher},
};
use wasmfn_api_server::Reach;
use wasmfn_crds::names::KEYS_SECRET;

use crate::tokens::Tokens;

/// Follows for ever. A Secret that is deleted or incomplete changes nothing.
pub(super) async fn follow(client: Client, namespace: String, tokens: Arc<Tokens>) {
    let api: Api<Secret> = Api::namespaced(client, &namespace);
    let only = watcher::Config::default().fields(&format!("metadata.name={KEYS_SECRET}"));
    let secrets = wasmfn_api_server::changes(api, only).applied_objects();
    let mut secrets = std::pin::pin!(secrets);
    let mut reach = Reach::of(KEYS_SECRET);
    loop {
        match secrets.try_next().await {
            Ok(Some(secret)) => {
                reach.is_there();
                take(&secret, &tokens);
            }
            Ok(None) => return,
            Err(error) => reach.is_away(&error),
        }
    }
}

fn take(secret: &Secret, tokens: &Tokens) {
    let data = secret.data.as_ref();
    if !tokens.replace(|field| Some(data?.get(field)?.0.as_slice())) {
        tracing::warn!("the Secret `{KEYS_SECRET}` is incomplete; going on with what is known");
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
