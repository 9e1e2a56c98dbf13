//! A bucket of a NATS server with JetStream. All functions share it; a function's keys begin with
//! its namespace and name, and what the guest says is encoded, so that it cannot say a dot.

use async_nats::{
    ConnectOptions,
    jetstream::{
        self,
        consumer::{AckPolicy, DeliverPolicy, pull},
        kv,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures::StreamExt;
use tokio::sync::OnceCell;

use super::{
    PAGE_KEYS, Space,
    backend::{Answer, Backend, Page, StoreError, sum},
    stores::{Credentials, OPERATION_TIMEOUT},
};

/// Name of the bucket. It is made where it is not there and the account may make it.
const BUCKET: &str = "wasmfn";

/// A server, connected to when it is first needed.
pub(super) struct Nats {
    url: String,
    credentials: Option<Credentials>,
    bucket: OnceCell<kv::Store>,
}

impl Nats {
    pub(super) fn new(url: &str, credentials: Option<Credentials>) -> Self {
        Self {
            url: url.to_owned(),
            credentials,
            bucket: OnceCell::new(),
        }
    }

    async fn bucket(&self) -> Result<&kv::Store, StoreError> {
        self.bucket
            .get_or_try_init(|| self.open())
            .await
            .map_err(StoreError::Server)
    }

    async fn open(&self) -> Result<kv::Store, Box<dyn std::error::Error + Send + Sync>> {
        let mut options = ConnectOptions::new()
            .connection_timeout(OPERATION_TIMEOUT)
            .request_timeout(Some(OPERATION_TIMEOUT));
        options = match self.credentials.clone() {
            None => options,
            Some(Credentials {
                username: Some(username),
                password,
            }) => options.user_and_password(username, password),
            Some(Credentials {
                username: None,
                password,
            }) => options.token(password),
        };
        let context = jetstream::new(options.connect(&self.url).await?);
        if let Ok(bucket) = context.get_key_value(BUCKET).await {
            return Ok(bucket);
        }
        let config = kv::Config {
            bucket: BUCKET.to_owned(),
            history: 1,
            ..kv::Config::default()
        };
        Ok(context.create_key_value(config).await?)
    }
}

/// A guest's key as the bucket has it.
fn entry(space: &Space, key: &str) -> String {
    format!("{}.{}", space.joined('.'), URL_SAFE_NO_PAD.encode(key))
}

/// The guest's key behind an entry.
fn decode(entry: &str) -> Option<String> {
    let (_, key) = entry.rsplit_once('.')?;
    String::from_utf8(URL_SAFE_NO_PAD.decode(key).ok()?).ok()
}

impl Backend for Nats {
    fn get<'a>(&'a self, space: &'a Space, key: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let found = self.bucket().await?.get(entry(space, key)).await;
            let value = found.map_err(StoreError::server)?;
            Ok(value.map(Vec::from))
        })
    }

    fn set<'a>(&'a self, space: &'a Space, key: &'a str, value: Vec<u8>) -> Answer<'a, ()> {
        Box::pin(async move {
            let put = self.bucket().await?.put(entry(space, key), value.into());
            put.await.map_err(StoreError::server)?;
            Ok(())
        })
    }

    /// Purges the stream instead of marking the key: markers would stay for ever.
    fn delete<'a>(&'a self, space: &'a Space, key: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let bucket = self.bucket().await?;
            let subject = format!("{}{}", bucket.prefix, entry(space, key));
            let purged = bucket.stream.purge().filter(subject).await;
            purged.map_err(StoreError::server)?;
            Ok(())
        })
    }

    fn exists<'a>(&'a self, space: &'a Space, key: &'a str) -> Answer<'a, bool> {
        Box::pin(async move { Ok(self.get(space, key).await?.is_some()) })
    }

    /// Reads the heads of the space's messages: the cursor is a position in the stream, so that it
    /// stays good while keys come and go.
    fn keys<'a>(&'a self, space: &'a Space, cursor: Option<u64>) -> Answer<'a, Page> {
        Box::pin(async move {
            let bucket = self.bucket().await?;
            let config = pull::Config {
                deliver_policy: match cursor {
                    Some(start_sequence) => DeliverPolicy::ByStartSequence { start_sequence },
                    None => DeliverPolicy::All,
                },
                ack_policy: AckPolicy::None,
                filter_subject: format!("{}{}.>", bucket.prefix, space.joined('.')),
                headers_only: true,
                memory_storage: true,
                num_replicas: 1,
                inactive_threshold: OPERATION_TIMEOUT,
                ..pull::Config::default()
            };
            let consumer = bucket.stream.create_consumer(config).await;
            let consumer = consumer.map_err(StoreError::server)?;
            let found = consumer.fetch().max_messages(PAGE_KEYS).messages().await;
            let mut found = found.map_err(StoreError::server)?;
            let mut page = Page::default();
            while let Some(message) = found.next().await {
                let message = message.map_err(StoreError::Server)?;
                let info = message.info().map_err(StoreError::Server)?;
                page.keys.extend(decode(&message.subject));
                page.cursor = (info.pending > 0).then_some(info.stream_sequence + 1);
            }
            // Otherwise the server forgets it by itself a little later.
            if let Some(name) = consumer.cached_info().config.name.as_deref() {
                let _ = bucket.stream.delete_consumer(name).await;
            }
            Ok(page)
        })
    }

    /// Writes on the condition that nobody else has since, until that holds.
    fn increment<'a>(&'a self, space: &'a Space, key: &'a str, delta: u64) -> Answer<'a, u64> {
        Box::pin(async move {
            let bucket = self.bucket().await?;
            let name = entry(space, key);
            loop {
                let found = bucket.entry(name.clone()).await;
                let found = found.map_err(StoreError::server)?;
                let stored = found
                    .as_ref()
                    .filter(|entry| entry.operation == kv::Operation::Put);
                let sum = sum(stored.map(|entry| entry.value.as_ref()), delta)?;
                let revision = found.as_ref().map_or(0, |entry| entry.revision);
                let text = sum.to_string().into();
                match bucket.update(&name, text, revision).await {
                    Ok(_) => return Ok(sum),
                    Err(error) if error.kind() == kv::UpdateErrorKind::WrongLastRevision => {}
                    Err(error) => return Err(StoreError::server(error)),
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_come_back_as_they_were(key in ".{1,40}") {
            let entry = entry(&Space::new("team", "hello"), &key);
            prop_assert!(entry.starts_with("team.hello."));
            prop_assert_eq!(entry.matches('.').count(), 2);
            prop_assert_eq!(decode(&entry), Some(key));
        }
    }
}
