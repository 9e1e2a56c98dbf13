//! Key-value stores that the admin offers under a name: what the chart's values, the operator's
//! settings and the runtime pod's environment say about one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Fields of the Secret with a store's credentials.
pub const STORE_USERNAME_FIELD: &str = "username";
/// See [`STORE_USERNAME_FIELD`].
pub const STORE_PASSWORD_FIELD: &str = "password";

/// Stores by the names under which functions are granted them.
pub type StoreOffers = BTreeMap<String, StoreOffer>;

/// A store that functions may be granted.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(tag = "kind", deny_unknown_fields)]
pub enum StoreOffer {
    /// In the memory of each pod, for development: it ends with the pod, and pods do not share it.
    Memory,
    /// A Redis or Valkey server.
    Redis(ServerOffer),
    /// The bucket `wasmfn` of a NATS server with JetStream.
    #[serde(rename = "NATS")]
    Nats(ServerOffer),
}

/// Where a store's server is.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServerOffer {
    /// Its address, without credentials.
    pub url: String,
    /// Name of a Secret, in the namespace of the function, with the fields `username` (may be
    /// missing) and `password`. None where the server asks for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

impl StoreOffer {
    /// The Secret with its credentials.
    #[must_use]
    pub fn secret(&self) -> Option<&str> {
        match self {
            Self::Memory => None,
            Self::Redis(server) | Self::Nats(server) => server.secret.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_are_written_by_kind() {
        let text = r#"{
            "scratch": {"kind": "Memory"},
            "sessions": {"kind": "Redis", "url": "redis://valkey.data.svc:6379", "secret": "sessions"},
            "open": {"kind": "NATS", "url": "nats://nats.data.svc:4222"}
        }"#;
        let offers: StoreOffers = serde_json::from_str(text).unwrap();
        assert_eq!(offers["scratch"], StoreOffer::Memory);
        assert_eq!(offers["sessions"].secret(), Some("sessions"));
        assert_eq!(offers["open"].secret(), None);
        let again: StoreOffers =
            serde_json::from_str(&serde_json::to_string(&offers).unwrap()).unwrap();
        assert_eq!(again, offers);
    }

    #[test]
    fn what_is_no_offer_is_refused() {
        for text in [
            r#"{"kind": "Etcd", "url": "http://etcd"}"#,
            r#"{"kind": "Redis"}"#,
            r#"{"kind": "Redis", "url": "redis://a", "password": "in the open"}"#,
        ] {
            assert!(serde_json::from_str::<StoreOffer>(text).is_err(), "{text}");
        }
    }
}
