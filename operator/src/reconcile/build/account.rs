use k8s_openapi::api::core::v1::ServiceAccount;
use wasmfn_crds::names::RUNTIME_ACCOUNT;

use super::meta::shared;

/// Whom the runtime pods of a namespace run as. Pods ask for its token themselves.
pub(super) fn account(namespace: &str) -> ServiceAccount {
    ServiceAccount {
        metadata: shared(namespace, RUNTIME_ACCOUNT),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
