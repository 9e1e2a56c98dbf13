//! The stores that the admin offers, opened once for all functions that are granted them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use wasmfn_crds::stores::{STORE_PASSWORD_FIELD, STORE_USERNAME_FIELD, StoreOffer, StoreOffers};

use super::{
    Backend, Space, StoreError,
    memory::Memory,
    nats::Nats,
    redis::Redis,
    traffic::{Admitted, OfFunction, Traffic, Turn},
};
use crate::{
    budget::Budget,
    references::{MissingReference, References},
};

/// Longest time of one operation, with connecting.
pub(super) const OPERATION_TIMEOUT: Duration = Duration::from_secs(5);

/// A function cannot have a store.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// The admin offers none of that name.
    #[error("`spec.stores` names `{0}`, which is not offered in this namespace")]
    Unknown(String),
    /// Its credentials are not there.
    #[error("the credentials of the store `{store}` are missing: {source}")]
    Credentials {
        /// Name of the store.
        store: String,
        /// What is missing.
        source: MissingReference,
    },
    /// The admin's settings of it cannot be used.
    #[error("the store `{store}` cannot be used as it is set up")]
    Settings {
        /// Name of the store.
        store: String,
        /// What is wrong.
        source: redis::RedisError,
    },
}

/// What a server is shown.
#[derive(Clone, Eq, Hash, PartialEq)]
pub(super) struct Credentials {
    pub(super) username: Option<String>,
    pub(super) password: String,
}

/// One store as some functions see it: those with other credentials have another connection.
type Key = (String, Option<Credentials>);

/// Stores that are in use.
#[derive(Default)]
struct Opened {
    by_key: HashMap<Key, Weak<dyn Backend>>,
    /// Those whose values are nowhere else: they last as long as the process.
    kept: Vec<Arc<dyn Backend>>,
}

/// The stores that are offered.
pub struct Stores {
    offers: Offers,
    opened: Mutex<Opened>,
    traffic: Arc<Traffic>,
    budget: Arc<Budget>,
}

/// Which names stand for a store.
#[derive(Clone, Debug)]
pub enum Offers {
    /// Those that the admin names.
    Named(StoreOffers),
    /// Every name, in memory: for a function without a cluster.
    AllInMemory,
}

impl std::fmt::Debug for Stores {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Stores")
            .field("offers", &self.offers)
            .finish_non_exhaustive()
    }
}

impl Stores {
    /// The stores of `offers`. Those in memory draw on `budget`.
    #[must_use]
    pub fn new(offers: Offers, budget: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self {
            offers,
            opened: Mutex::default(),
            traffic: Arc::default(),
            budget,
        })
    }

    /// What a function with these `stores` may open; credentials are read now.
    ///
    /// # Errors
    /// [`GrantError`] with the store that it cannot have.
    pub fn grant(
        &self,
        space: Space,
        stores: &[String],
        references: &References,
    ) -> Result<Granted, GrantError> {
        let mut by_name = BTreeMap::new();
        for name in stores {
            by_name.insert(name.clone(), self.open(name, references)?);
        }
        Ok(Granted {
            space,
            stores: by_name,
            traffic: Arc::clone(&self.traffic),
            of_function: OfFunction::default(),
        })
    }

    fn open(&self, name: &str, references: &References) -> Result<Arc<dyn Backend>, GrantError> {
        let offer = match &self.offers {
            Offers::AllInMemory => &StoreOffer::Memory,
            Offers::Named(offers) => offers
                .get(name)
                .ok_or_else(|| GrantError::Unknown(name.to_owned()))?,
        };
        let credentials = offer
            .secret()
            .map(|secret| read(secret, references))
            .transpose()
            .map_err(|source| GrantError::Credentials {
                store: name.to_owned(),
                source,
            })?;
        let key = (name.to_owned(), credentials);
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = opened.by_key.get(&key).and_then(Weak::upgrade) {
            return Ok(store);
        }
        opened.by_key.retain(|_, store| store.strong_count() > 0);
        let store = self
            .make(offer, key.1.as_ref())
            .map_err(|source| GrantError::Settings {
                store: name.to_owned(),
                source,
            })?;
        opened.by_key.insert(key, Arc::downgrade(&store));
        if *offer == StoreOffer::Memory {
            opened.kept.push(Arc::clone(&store));
        }
        Ok(store)
    }

    fn make(
        &self,
        offer: &StoreOffer,
        credentials: Option<&Credentials>,
    ) -> Result<Arc<dyn Backend>, redis::RedisError> {
        Ok(match offer {
            StoreOffer::Memory => Arc::new(Memory::new(&self.budget)),
            StoreOffer::Redis(server) => Arc::new(Redis::new(&server.url, credentials)?),
            StoreOffer::Nats(server) => Arc::new(Nats::new(&server.url, credentials.cloned())),
        })
    }
}

/// The credentials of a Secret; it may do without a name.
fn read(secret: &str, references: &References) -> Result<Credentials, MissingReference> {
    Ok(Credentials {
        username: references.secret_text(secret, STORE_USERNAME_FIELD).ok(),
        password: references.secret_text(secret, STORE_PASSWORD_FIELD)?,
    })
}

/// What one function may open.
pub struct Granted {
    space: Space,
    stores: BTreeMap<String, Arc<dyn Backend>>,
    traffic: Arc<Traffic>,
    of_function: OfFunction,
}

impl std::fmt::Debug for Granted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Granted")
            .field("space", &self.space)
            .field("stores", &self.stores.keys())
            .finish_non_exhaustive()
    }
}

impl Granted {
    /// The store of that name, if it is granted.
    pub(super) fn store(&self, name: &str) -> Option<&Arc<dyn Backend>> {
        self.stores.get(name)
    }

    /// The function's part of each store.
    pub(super) const fn space(&self) -> &Space {
        &self.space
    }

    /// Lets an operation with so many bytes of arguments wait for its turn, unless that is too much.
    pub(super) fn admit(&self, argument_bytes: usize) -> Result<Admitted<'_>, StoreError> {
        self.traffic.admit(&self.of_function, argument_bytes)
    }

    /// Waits until an operation whose answer holds at most so many bytes may go on.
    pub(super) async fn turn(&self, answer_bytes: usize) -> Result<Turn<'_>, StoreError> {
        self.traffic.turn(&self.of_function, answer_bytes).await
    }
}
