use k8s_openapi::api::rbac::v1::{RoleBinding, RoleRef, Subject};
use wasmfn_crds::names::{RUNTIME_ACCOUNT, RUNTIME_CLUSTER_ROLE};

use super::meta::shared;

/// Lets the runtime pods of a namespace read its functions, and nothing else.
pub(super) fn binding(namespace: &str) -> RoleBinding {
    RoleBinding {
        metadata: shared(namespace, RUNTIME_ACCOUNT),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "ClusterRole".to_owned(),
            name: RUNTIME_CLUSTER_ROLE.to_owned(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: RUNTIME_ACCOUNT.to_owned(),
            namespace: Some(namespace.to_owned()),
            api_group: None,
        }]),
    }
}
