//! The master key: made by the first operator that starts, read by all others.

use std::time::Duration;

use k8s_openapi::{
    ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, Client, api::PostParams};
use rand::{TryRng, rngs::SysRng};
use thiserror::Error;
use wasmfn_crds::{
    names::{FIELD_MANAGER, MANAGED_BY, MANAGED_BY_LABEL, MASTER_KEY_FIELD, MASTER_KEY_SECRET},
    token::{KEY_BYTES, KeyLengthError, MasterKey},
};

use crate::telemetry::chain;

/// There is no usable master key.
#[derive(Debug, Error)]
pub enum MasterKeyError {
    /// The Secret can be neither read nor made.
    #[error("cannot read or make the Secret `{MASTER_KEY_SECRET}`")]
    Api(#[source] kube::Error),
    /// The system gives no random bytes.
    #[error("cannot make a random key")]
    Random(#[source] rand::rngs::SysError),
    /// The Secret lacks the field.
    #[error(
        "the Secret `{MASTER_KEY_SECRET}` lacks the field `{MASTER_KEY_FIELD}`; remove it to have a new one made"
    )]
    Missing,
    /// The field is not a key.
    #[error("the Secret `{MASTER_KEY_SECRET}` is unusable; remove it to have a new one made")]
    Length(#[from] KeyLengthError),
}

/// How long to wait before the API server is asked again.
const RETRY_EVERY: Duration = Duration::from_secs(2);
/// How often it is looked whether the key is still the same: sooner than the kubelet brings a new one to the
/// gateways, which takes up to a minute and more.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// Reads the master key from wasmfn's own namespace, or makes it. Waits for an API server that is
/// away: an operator that gave up would be back only after longer and longer pauses.
///
/// # Errors
/// [`MasterKeyError`] where waiting does not help.
pub async fn load(client: Client, namespace: &str) -> Result<MasterKey, MasterKeyError> {
    loop {
        match load_once(client.clone(), namespace).await {
            Err(MasterKeyError::Api(error)) => {
                tracing::warn!(error = chain(&error), "cannot see to the master key yet");
                tokio::time::sleep(RETRY_EVERY).await;
            }
            outcome => return outcome,
        }
    }
}

async fn load_once(client: Client, namespace: &str) -> Result<MasterKey, MasterKeyError> {
    let api: Api<Secret> = Api::namespaced(client, namespace);
    if let Some(secret) = get(&api).await.map_err(MasterKeyError::Api)? {
        return read(&secret);
    }
    match create(&api, &secret(namespace, random()?)).await {
        Ok(created) => read(&created),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            // Another operator was quicker.
            let theirs = get(&api).await.map_err(MasterKeyError::Api)?;
            read(&theirs.ok_or(MasterKeyError::Missing)?)
        }
        Err(source) => Err(MasterKeyError::Api(source)),
    }
}

/// Ends once the Secret holds another key than `key`: whoever goes on with the old one is strange to gateways,
/// which read theirs from the Secret. One that is gone is made again, with `key`; one that cannot be used
/// changes nothing, here as there.
pub async fn replaced(client: Client, namespace: &str, key: &MasterKey) {
    let api: Api<Secret> = Api::namespaced(client, namespace);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        match look(&api, namespace, key).await {
            Ok(true) => {}
            Ok(false) => return,
            // Also where another one was quicker to make it: that one's key is looked at next time.
            Err(error) => tracing::warn!(error = chain(&error), "cannot see to the master key"),
        }
    }
}

/// Whether `key` is still the one.
async fn look(api: &Api<Secret>, namespace: &str, key: &MasterKey) -> Result<bool, MasterKeyError> {
    if let Some(found) = get(api).await.map_err(MasterKeyError::Api)? {
        return Ok(read(&found)? == *key);
    }
    tracing::warn!("the Secret `{MASTER_KEY_SECRET}` is gone; it is made again");
    let made = create(api, &secret(namespace, key.bytes().to_vec())).await;
    made.map(|_| true).map_err(MasterKeyError::Api)
}

async fn create(api: &Api<Secret>, secret: &Secret) -> Result<Secret, kube::Error> {
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    api.create(&params, secret).await
}

async fn get(api: &Api<Secret>) -> Result<Option<Secret>, kube::Error> {
    api.get_opt(MASTER_KEY_SECRET).await
}

fn read(secret: &Secret) -> Result<MasterKey, MasterKeyError> {
    let data = secret.data.as_ref();
    let bytes = data
        .and_then(|data| data.get(MASTER_KEY_FIELD))
        .ok_or(MasterKeyError::Missing)?;
    Ok(MasterKey::new(&bytes.0)?)
}

fn random() -> Result<Vec<u8>, MasterKeyError> {
    let mut key = vec![0_u8; KEY_BYTES];
    SysRng
        .try_fill_bytes(&mut key)
        .map_err(MasterKeyError::Random)?;
    Ok(key)
}

fn secret(namespace: &str, key: Vec<u8>) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(MASTER_KEY_SECRET.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some([(MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned())].into()),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        data: Some([(MASTER_KEY_FIELD.to_owned(), ByteString(key))].into()),
        ..Secret::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::{ApiServer, refusal};

    #[test]
    fn a_fresh_key_is_random_and_readable() {
        let (one, other) = (random().unwrap(), random().unwrap());
        assert_ne!(one, other);
        assert!(read(&secret("wasmfn", one)).is_ok());
    }

    fn holds(byte: u8) -> (u16, serde_json::Value) {
        (200, json!(secret("wasmfn", vec![byte; KEY_BYTES])))
    }

    #[tokio::test]
    async fn two_operators_that_start_together_share_one_key() {
        let server = ApiServer::scripted(vec![
            refusal(404, "NotFound"),
            refusal(409, "AlreadyExists"),
            holds(1),
        ]);
        assert!(load(server.client(), "wasmfn").await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_is_away_is_waited_for() {
        let server = ApiServer::scripted(vec![
            refusal(500, "InternalError"),
            refusal(403, "Forbidden"),
            holds(1),
        ]);
        assert!(load(server.client(), "wasmfn").await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn another_key_in_its_place_is_noticed() {
        let key = MasterKey::new(&[1; KEY_BYTES]).unwrap();
        let server = ApiServer::scripted(vec![
            holds(1),
            refusal(500, "InternalError"),
            (200, json!(secret("wasmfn", vec![1; 3]))),
            holds(1),
            holds(2),
        ]);
        replaced(server.client(), "wasmfn", &key).await;
        assert_eq!(server.calls().len(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_gone_is_put_back() {
        let key = MasterKey::new(&[1; KEY_BYTES]).unwrap();
        let server = ApiServer::scripted(vec![refusal(404, "NotFound"), holds(1), holds(2)]);
        replaced(server.client(), "wasmfn", &key).await;
        let requests = server.calls();
        assert_eq!(requests[1].method, "POST");
        let made: Secret = serde_json::from_value(requests[1].body.clone()).unwrap();
        assert!(read(&made).unwrap() == key);
    }

    #[test]
    fn says_what_to_do_about_a_broken_secret() {
        let error = read(&Secret::default()).unwrap_err();
        assert!(error.to_string().contains("remove it"), "{error}");
    }
}
