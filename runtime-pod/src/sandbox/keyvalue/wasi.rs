//! `wasi:keyvalue` as guests call it.

use std::sync::Arc;

use futures::future::try_join_all;
use tokio::time::timeout;
use wasmtime::{
    Result,
    component::{HasData, Linker, Resource, ResourceTable},
};

use super::{
    BATCH_MAX_BYTES, BATCH_MAX_KEYS, Backend, Granted, KEY_MAX_BYTES, Space, StoreError,
    VALUE_MAX_BYTES, stores::OPERATION_TIMEOUT,
};
use crate::sandbox::{GuestLog, Refused};

/// Operations of one batch at the same time.
const BATCH_WIDTH: usize = 8;

/// A store that a guest has opened.
#[derive(Clone)]
pub struct Bucket {
    name: Arc<str>,
    store: Arc<dyn Backend>,
}

mod bindings {
    wasmtime::component::bindgen!({
        path: "wit/keyvalue.wit",
        world: "wasi:keyvalue/imports",
        imports: { default: async | trappable },
        with: { "wasi:keyvalue/store.bucket": super::Bucket },
        trappable_error_type: { "wasi:keyvalue/store.error" => super::Failure },
    });
}

use bindings::wasi::keyvalue::{
    atomics, batch,
    store::{self, Error, KeyResponse},
};

/// What a guest gets instead of an answer.
#[derive(Debug)]
pub enum Failure {
    /// A code of the interface.
    Told(Error),
    /// The end: it used a handle that it does not have.
    Trap(wasmtime::Error),
}

impl From<wasmtime::component::ResourceTableError> for Failure {
    fn from(error: wasmtime::component::ResourceTableError) -> Self {
        Self::Trap(error.into())
    }
}

/// What the interface works on.
pub(crate) struct Keyvalue<'a> {
    pub(crate) table: &'a mut ResourceTable,
    pub(crate) granted: &'a Granted,
    pub(crate) log: &'a GuestLog,
}

/// One operation on a bucket.
struct Operation<'a> {
    bucket: Bucket,
    granted: &'a Granted,
    log: &'a GuestLog,
}

impl<'a> Keyvalue<'a> {
    fn on(&self, bucket: &Resource<Bucket>) -> Result<Operation<'a>, Failure> {
        Ok(Operation {
            bucket: self.table.get(bucket)?.clone(),
            granted: self.granted,
            log: self.log,
        })
    }
}

impl Operation<'_> {
    fn store(&self) -> &dyn Backend {
        self.bucket.store.as_ref()
    }

    fn space(&self) -> &Space {
        self.granted.space()
    }

    /// Waits for `work`, within its time and turn.
    async fn finish<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, Failure> {
        let turn = async {
            let _turn = self.granted.operations().acquire().await;
            work.await
        };
        let result = timeout(OPERATION_TIMEOUT, turn).await;
        result
            .unwrap_or(Err(StoreError::Late))
            .map_err(|error| self.failed(&error))
    }

    /// Says what went wrong: all of it to the log, and no more than a sentence to the guest.
    fn failed(&self, error: &StoreError) -> Failure {
        let reason = match error {
            StoreError::Key | StoreError::Value | StoreError::Batch | StoreError::Full => {
                Refused::StoreLimit
            }
            StoreError::NotANumber | StoreError::Late | StoreError::Server(_) => {
                Refused::StoreFailed
            }
        };
        let source = std::error::Error::source(error);
        let cause = source.map_or_else(String::new, |source| format!(": {source}"));
        let name = &self.bucket.name;
        self.log
            .refused(reason, &format!("store `{name}`: {error}{cause}"));
        Failure::Told(Error::Other(error.to_string()))
    }
}

fn key(key: &str) -> Result<(), StoreError> {
    let is_key = (1..=KEY_MAX_BYTES).contains(&key.len());
    is_key.then_some(()).ok_or(StoreError::Key)
}

fn value(value: &[u8]) -> Result<(), StoreError> {
    let fits = value.len() <= VALUE_MAX_BYTES;
    fits.then_some(()).ok_or(StoreError::Value)
}

/// Whether these are a batch, with `bytes` of values.
fn batch<'a>(
    keys: impl ExactSizeIterator<Item = &'a String>,
    bytes: usize,
) -> Result<(), StoreError> {
    if keys.len() > BATCH_MAX_KEYS || bytes > BATCH_MAX_BYTES {
        return Err(StoreError::Batch);
    }
    let mut keys = keys;
    keys.try_for_each(|name| key(name))
}

impl store::Host for Keyvalue<'_> {
    async fn open(&mut self, identifier: String) -> Result<Resource<Bucket>, Failure> {
        let Some(store) = self.granted.store(&identifier) else {
            let message = format!("store `{}` is not granted", identifier.escape_debug());
            self.log.refused(Refused::StoreDenied, &message);
            return Err(Failure::Told(Error::AccessDenied));
        };
        let bucket = Bucket {
            name: identifier.into(),
            store: Arc::clone(store),
        };
        Ok(self.table.push(bucket)?)
    }

    fn convert_error(&mut self, failure: Failure) -> Result<Error> {
        match failure {
            Failure::Told(error) => Ok(error),
            Failure::Trap(error) => Err(error),
        }
    }
}

impl store::HostBucket for Keyvalue<'_> {
    async fn get(
        &mut self,
        bucket: Resource<Bucket>,
        name: String,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let on = self.on(&bucket)?;
        let (store, space) = (on.store(), on.space());
        on.finish(async {
            key(&name)?;
            store.get(space, &name).await
        })
        .await
    }

    async fn set(
        &mut self,
        bucket: Resource<Bucket>,
        name: String,
        content: Vec<u8>,
    ) -> Result<(), Failure> {
        let on = self.on(&bucket)?;
        let (store, space) = (on.store(), on.space());
        on.finish(async {
            key(&name)?;
            value(&content)?;
            store.set(space, &name, content).await
        })
        .await
    }

    async fn delete(&mut self, bucket: Resource<Bucket>, name: String) -> Result<(), Failure> {
        let on = self.on(&bucket)?;
        let (store, space) = (on.store(), on.space());
        on.finish(async {
            key(&name)?;
            store.delete(space, &name).await
        })
        .await
    }

    async fn exists(&mut self, bucket: Resource<Bucket>, name: String) -> Result<bool, Failure> {
        let on = self.on(&bucket)?;
        let (store, space) = (on.store(), on.space());
        on.finish(async {
            key(&name)?;
            store.exists(space, &name).await
        })
        .await
    }

    async fn list_keys(
        &mut self,
        bucket: Resource<Bucket>,
        cursor: Option<u64>,
    ) -> Result<KeyResponse, Failure> {
        let on = self.on(&bucket)?;
        let page = on.finish(on.store().keys(on.space(), cursor)).await?;
        Ok(KeyResponse {
            keys: page.keys,
            cursor: page.cursor,
        })
    }

    async fn drop(&mut self, bucket: Resource<Bucket>) -> Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for Keyvalue<'_> {
    async fn increment(
        &mut self,
        bucket: Resource<Bucket>,
        name: String,
        delta: u64,
    ) -> Result<u64, Failure> {
        let on = self.on(&bucket)?;
        let (store, space) = (on.store(), on.space());
        on.finish(async {
            key(&name)?;
            store.increment(space, &name, delta).await
        })
        .await
    }
}

impl batch::Host for Keyvalue<'_> {
    async fn get_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Result<Vec<Option<(String, Vec<u8>)>>, Failure> {
        let on = self.on(&bucket)?;
        on.finish(async {
            batch(keys.iter(), 0)?;
            let mut pairs = Vec::with_capacity(keys.len());
            let mut bytes = 0;
            for part in keys.chunks(BATCH_WIDTH) {
                let gets: Vec<_> = part
                    .iter()
                    .map(|name| on.store().get(on.space(), name))
                    .collect();
                let found = try_join_all(gets).await?;
                bytes += found.iter().flatten().map(Vec::len).sum::<usize>();
                if bytes > BATCH_MAX_BYTES {
                    return Err(StoreError::Batch);
                }
                let found = part.iter().zip(found);
                pairs.extend(found.map(|(name, content)| Some((name.clone(), content?))));
            }
            Ok(pairs)
        })
        .await
    }

    async fn set_many(
        &mut self,
        bucket: Resource<Bucket>,
        pairs: Vec<(String, Vec<u8>)>,
    ) -> Result<(), Failure> {
        let on = self.on(&bucket)?;
        on.finish(async {
            let bytes = pairs.iter().map(|(_, content)| content.len()).sum();
            batch(pairs.iter().map(|(name, _)| name), bytes)?;
            pairs.iter().try_for_each(|(_, content)| value(content))?;
            for part in pairs.chunks(BATCH_WIDTH) {
                let sets: Vec<_> = part
                    .iter()
                    .map(|(name, content)| on.store().set(on.space(), name, content.clone()))
                    .collect();
                try_join_all(sets).await?;
            }
            Ok(())
        })
        .await
    }

    async fn delete_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Result<(), Failure> {
        let on = self.on(&bucket)?;
        on.finish(async {
            batch(keys.iter(), 0)?;
            for part in keys.chunks(BATCH_WIDTH) {
                let deletes: Vec<_> = part
                    .iter()
                    .map(|name| on.store().delete(on.space(), name))
                    .collect();
                try_join_all(deletes).await?;
            }
            Ok(())
        })
        .await
    }
}

struct HasKeyvalue;

impl HasData for HasKeyvalue {
    type Data<'a> = Keyvalue<'a>;
}

/// Offers `wasi:keyvalue` on what `keyvalue` finds.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    keyvalue: fn(&mut T) -> Keyvalue<'_>,
) -> Result<()> {
    store::add_to_linker::<T, HasKeyvalue>(linker, keyvalue)?;
    atomics::add_to_linker::<T, HasKeyvalue>(linker, keyvalue)?;
    batch::add_to_linker::<T, HasKeyvalue>(linker, keyvalue)
}
