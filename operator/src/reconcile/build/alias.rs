use k8s_openapi::api::core::v1::{Service, ServiceSpec};

use super::{House, meta::owned};
use crate::reconcile::{object::Desired, validate::Owner};

/// The Service of a function's name: inside the cluster it leads to the gateway.
#[must_use]
pub fn alias(house: House<'_>, namespace: &str, owner: &Owner) -> Desired {
    Desired::of::<Service>(&Service {
        metadata: owned(namespace, &owner.name, owner),
        spec: Some(ServiceSpec {
            type_: Some("ExternalName".to_owned()),
            external_name: Some(house.gateway_host()),
            ..ServiceSpec::default()
        }),
        status: None,
    })
}
