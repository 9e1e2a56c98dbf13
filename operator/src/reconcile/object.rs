//! An object as it shall be, whatever its kind.

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::Deployment,
        core::v1::{Secret, Service, ServiceAccount},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
        rbac::v1::RoleBinding,
    },
};
use kube::{Resource, api::ApiResource};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Annotation on what the operator makes: fingerprint of what it last asked for, so that nothing
/// is written again without need, also by the next operator.
pub const APPLIED_ANNOTATION: &str = "wasmfn.dev/applied";

/// Kinds of objects that the operator makes.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// A runtime deployment.
    Deployment,
    /// A function's name in the cluster, or a runtime deployment's addresses.
    Service,
    /// Whom runtime pods run as.
    ServiceAccount,
    /// What they may read.
    RoleBinding,
    /// Tokens and keys of a namespace.
    Secret,
    /// Who may reach runtime pods.
    NetworkPolicy,
    /// How many runtime pods may be evicted at a time.
    PodDisruptionBudget,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::Deployment,
        Self::Service,
        Self::ServiceAccount,
        Self::RoleBinding,
        Self::Secret,
        Self::NetworkPolicy,
        Self::PodDisruptionBudget,
    ];

    /// Where the API server keeps objects of this kind.
    #[must_use]
    pub fn resource(self) -> ApiResource {
        match self {
            Self::Deployment => ApiResource::erase::<Deployment>(&()),
            Self::Service => ApiResource::erase::<Service>(&()),
            Self::ServiceAccount => ApiResource::erase::<ServiceAccount>(&()),
            Self::RoleBinding => ApiResource::erase::<RoleBinding>(&()),
            Self::Secret => ApiResource::erase::<Secret>(&()),
            Self::NetworkPolicy => ApiResource::erase::<NetworkPolicy>(&()),
            Self::PodDisruptionBudget => ApiResource::erase::<PodDisruptionBudget>(&()),
        }
    }
}

/// Which object.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ObjectKey {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:?} `{}`", self.kind, self.name)
    }
}

/// An object as it shall be.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// Which object.
    pub key: ObjectKey,
    /// Fingerprint of `body` but for the annotation that holds it.
    pub digest: String,
    /// The object, with the fingerprint in [`APPLIED_ANNOTATION`].
    pub body: Value,
}

impl Desired {
    /// `object`, ready to be applied.
    ///
    /// # Panics
    /// Never: the kinds are the seven of [`Kind`], and they all are maps of plain data.
    #[must_use]
    pub fn of<K>(object: &K) -> Self
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Serialize,
    {
        let kind_name = K::kind(&());
        let kind = Kind::ALL
            .into_iter()
            .find(|kind| format!("{kind:?}") == kind_name)
            .expect("the operator builds only objects of its own kinds");
        let mut body = serde_json::to_value(object).expect("objects of the API are plain data");
        body["apiVersion"] = json!(K::api_version(&()));
        body["kind"] = json!(kind_name);
        let digest = hex::encode(&Sha256::digest(body.to_string())[..16]);
        body["metadata"]["annotations"][APPLIED_ANNOTATION] = json!(digest);
        let meta = object.meta();
        Self {
            key: ObjectKey {
                kind,
                namespace: meta.namespace.clone().unwrap_or_default(),
                name: meta.name.clone().unwrap_or_default(),
            },
            digest,
            body,
        }
    }
}

/// Whether `live` has all that `desired` asks for. The API server adds defaults, and leaves out
/// what is empty.
#[must_use]
pub fn covers(live: &Value, desired: &Value) -> bool {
    match (live, desired) {
        (Value::Object(live), Value::Object(desired)) => desired.iter().all(|(key, wanted)| {
            live.get(key)
                .map_or_else(|| is_empty(wanted), |value| covers(value, wanted))
        }),
        (Value::Array(live), Value::Array(desired)) => {
            live.len() == desired.len()
                && live
                    .iter()
                    .zip(desired)
                    .all(|(live, desired)| covers(live, desired))
        }
        _ => live == desired,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_and_empty_fields_are_no_difference() {
        let live = json!({ "a": 1, "default": true, "list": [{ "x": 1, "y": 2 }] });
        for (desired, same) in [
            (json!({ "a": 1 }), true),
            (json!({ "a": 2 }), false),
            (json!({ "b": 1 }), false),
            (
                json!({ "b": "" , "c": {}, "d": [], "e": { "f": null } }),
                true,
            ),
            (json!({ "list": [{ "x": 1 }] }), true),
            (json!({ "list": [{ "x": 2 }] }), false),
            (json!({ "list": [] }), false),
        ] {
            assert_eq!(covers(&live, &desired), same, "{desired}");
        }
    }

    #[test]
    fn the_fingerprint_follows_the_content() {
        let account = |label: &str| {
            let mut account = ServiceAccount::default();
            account.metadata.name = Some("a".to_owned());
            account.metadata.labels = Some([("l".to_owned(), label.to_owned())].into());
            Desired::of(&account)
        };
        assert_eq!(account("1"), account("1"));
        assert_ne!(account("1").digest, account("2").digest);
        assert_eq!(account("1").body["kind"], "ServiceAccount");
        assert_eq!(account("1").body["apiVersion"], "v1");
    }
}
