//! `wasi:keyvalue` as guests call it.

use std::sync::Arc;

use futures::future::try_join_all;
use tokio::time::timeout;
use wasmtime::{
    Result,
    component::{HasData, Linker, Resource, ResourceTable},
};

use super::{
    BATCH_MAX_BYTES, BATCH_MAX_KEYS, Backend, Granted, KEY_MAX_BYTES, PAGE_KEYS, Space, StoreError,
    VALUE_MAX_BYTES, stores::OPERATION_TIMEOUT,
};
use crate::sandbox::{GuestLog, Refused};

/// Operations of one batch at the same time.
const BATCH_WIDTH: usize = 8;
/// Values that a batch may hold at the same time: what it may give, and the last that it got.
const BATCH_ANSWER_VALUES: usize = BATCH_MAX_BYTES / VALUE_MAX_BYTES + BATCH_WIDTH;
/// What a page of keys may hold: some more than it should.
const PAGE_BYTES: usize = 2 * PAGE_KEYS * KEY_MAX_BYTES;

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

    /// Waits for `work`, within its time and turn. Its `arguments` have been looked at before: what waits
    /// is no more than may be, and nothing waits that is refused in the end.
    async fn finish<T>(
        &self,
        arguments: Result<usize, StoreError>,
        answer_bytes: usize,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, Failure> {
        let turn = async {
            let _held = self.granted.admit(arguments?)?;
            let _turn = self.granted.turn(answer_bytes).await?;
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
            StoreError::Key
            | StoreError::Value
            | StoreError::Batch
            | StoreError::Full
            | StoreError::Busy => Refused::StoreLimit,
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

/// The bytes of a key that is one.
fn key(key: &str) -> Result<usize, StoreError> {
    let is_key = (1..=KEY_MAX_BYTES).contains(&key.len());
    is_key.then_some(key.len()).ok_or(StoreError::Key)
}

/// The bytes of a value that is not too large.
fn value(value: &[u8]) -> Result<usize, StoreError> {
    let fits = value.len() <= VALUE_MAX_BYTES;
    fits.then_some(value.len()).ok_or(StoreError::Value)
}

/// The bytes of a batch's keys.
fn batch(keys: &[String]) -> Result<usize, StoreError> {
    if keys.len() > BATCH_MAX_KEYS {
        return Err(StoreError::Batch);
    }
    keys.iter().map(|name| key(name)).sum()
}

/// The bytes of a batch's keys and values.
fn batch_of_pairs(keys: &[String], values: &[Vec<u8>]) -> Result<usize, StoreError> {
    if values.iter().map(Vec::len).sum::<usize>() > BATCH_MAX_BYTES {
        return Err(StoreError::Batch);
    }
    let of_values: usize = values
        .iter()
        .map(|content| value(content))
        .sum::<Result<_, _>>()?;
    Ok(batch(keys)? + of_values)
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
        on.finish(key(&name), VALUE_MAX_BYTES, async {
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
        let arguments = key(&name).and_then(|bytes| Ok(bytes + value(&content)?));
        on.finish(arguments, 0, async {
            store.set(space, &name, content).await
        })
        .await
    }

    async fn delete(&mut self, bucket: Resource<Bucket>, name: String) -> Result<(), Failure> {
        let on = self.on(&bucket)?;
        let (store, space) = (on.store(), on.space());
        on.finish(key(&name), 0, async { store.delete(space, &name).await })
            .await
    }

    async fn exists(&mut self, bucket: Resource<Bucket>, name: String) -> Result<bool, Failure> {
        let on = self.on(&bucket)?;
        let (store, space) = (on.store(), on.space());
        on.finish(key(&name), 0, async { store.exists(space, &name).await })
            .await
    }

    async fn list_keys(
        &mut self,
        bucket: Resource<Bucket>,
        cursor: Option<u64>,
    ) -> Result<KeyResponse, Failure> {
        let on = self.on(&bucket)?;
        let (store, space) = (on.store(), on.space());
        let page = on.finish(Ok(0), PAGE_BYTES, async { store.keys(space, cursor).await });
        let page = page.await?;
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
        on.finish(key(&name), 0, async {
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
        let answer_bytes = keys.len().min(BATCH_ANSWER_VALUES) * VALUE_MAX_BYTES;
        on.finish(batch(&keys), answer_bytes, async {
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
        let (keys, values): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        on.finish(batch_of_pairs(&keys, &values), 0, async {
            let mut values = values.into_iter();
            for part in keys.chunks(BATCH_WIDTH) {
                let part = part.iter().zip(values.by_ref().take(BATCH_WIDTH));
                let sets: Vec<_> = part
                    .map(|(name, content)| on.store().set(on.space(), name, content))
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
        on.finish(batch(&keys), 0, async {
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

#[cfg(test)]
mod tests {
    use super::{batch::Host as _, store::Host as _, store::HostBucket as _, *};
    use crate::{
        budget::Budget,
        metrics::Metrics,
        references::References,
        sandbox::keyvalue::{Offers, Stores},
    };

    /// What the guest is told.
    fn told<T: std::fmt::Debug>(result: Result<T, Failure>) -> String {
        match result.unwrap_err() {
            Failure::Told(Error::Other(sentence)) => sentence,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_in_the_end_does_not_wait() {
        let stores = Stores::new(Offers::AllInMemory, Budget::new(1 << 30));
        let (space, names) = (Space::new("team", "f"), ["store".to_owned()]);
        let granted = stores.grant(space, &names, &References::new(None)).unwrap();
        let mut keyvalue = Keyvalue {
            table: &mut ResourceTable::new(),
            granted: &granted,
            log: &GuestLog::new("f", Arc::<Metrics>::default()),
        };
        let bucket = keyvalue.open("store".to_owned()).await.unwrap();
        let same = || Resource::<Bucket>::new_borrow(bucket.rep());
        let mut turns = Vec::new();
        while let Ok(turn) = timeout(OPERATION_TIMEOUT, granted.turn(0)).await {
            turns.push(turn);
        }
        let key = || "key".to_owned();

        let pairs = vec![(key(), vec![0; VALUE_MAX_BYTES]); 16];
        let batch = told(keyvalue.set_many(same(), pairs).await);
        assert_eq!(batch, StoreError::Batch.to_string());
        let content = vec![0; VALUE_MAX_BYTES + 1];
        let value = told(keyvalue.set(same(), key(), content).await);
        assert_eq!(value, StoreError::Value.to_string());
        let late = told(keyvalue.get(same(), key()).await);
        assert_eq!(late, StoreError::Late.to_string());

        let mut held = Vec::new();
        for argument_bytes in [1 << 20, 1] {
            while let Ok(bytes) = granted.admit(argument_bytes) {
                held.push(bytes);
            }
        }
        let busy = told(keyvalue.set(same(), key(), Vec::new()).await);
        assert_eq!(busy, StoreError::Busy.to_string());
        held.pop();
        turns.pop();
        keyvalue.set(same(), key(), Vec::new()).await.unwrap();
    }
}
