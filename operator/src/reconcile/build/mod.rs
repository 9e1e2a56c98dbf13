//! The objects that a function needs, built from what validation made of it. Nothing here can fail.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Secret, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
    rbac::v1::RoleBinding,
};
use wasmfn_crds::token::MasterKey;

mod account;
mod alias;
mod binding;
mod deployment;
mod disruption_budget;
mod keys;
mod meta;
mod network_policy;
mod service;
#[cfg(test)]
mod tests;
mod volumes;

use super::{object::Desired, validate::RuntimePlan};
use crate::config::Config;

pub use alias::alias;
pub use meta::{NAME_LABEL, runtime_selector, selector_text};

/// What belongs to wasmfn as a whole.
#[derive(Clone, Copy, Debug)]
pub struct House<'a> {
    /// What the admin decided.
    pub config: &'a Config,
    /// Namespace that wasmfn itself runs in.
    pub namespace: &'a str,
    /// Where all tokens come from.
    pub master_key: &'a MasterKey,
}

impl House<'_> {
    /// DNS name of the gateway's Service inside the cluster.
    fn gateway_host(&self) -> String {
        format!(
            "{}.{}.svc.{}",
            self.config.gateway_service, self.namespace, self.config.hosts.cluster_domain
        )
    }
}

/// What every namespace with functions has.
#[must_use]
pub fn companions(house: House<'_>, namespace: &str) -> Vec<Desired> {
    vec![
        Desired::of::<ServiceAccount>(&account::account(namespace)),
        Desired::of::<RoleBinding>(&binding::binding(namespace)),
        Desired::of::<Secret>(&keys::keys(house.master_key, namespace)),
        Desired::of::<NetworkPolicy>(&network_policy::network_policy(
            namespace,
            house.namespace,
            &house.config.metrics_from,
        )),
    ]
}

/// What a runtime deployment has beside itself.
#[must_use]
pub fn runtime_companions(plan: &RuntimePlan) -> Vec<Desired> {
    vec![
        Desired::of::<Service>(&service::service(plan)),
        Desired::of::<PodDisruptionBudget>(&disruption_budget::disruption_budget(plan)),
    ]
}

/// The runtime deployment itself.
#[must_use]
pub fn runtime_deployment(house: House<'_>, plan: &RuntimePlan) -> Desired {
    Desired::of::<Deployment>(&deployment::deployment(plan, &house.gateway_host()))
}
