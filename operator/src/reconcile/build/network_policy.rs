use k8s_openapi::{
    api::networking::v1::{
        NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
        NetworkPolicySpec,
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use wasmfn_crds::names::{
    GATEWAY_COMPONENT, OPERATOR_COMPONENT, RUNTIME_ACCOUNT, RUNTIME_ADMIN_PORT, RUNTIME_DATA_PORT,
    RUNTIME_MODULE_PORT,
};

use super::meta::{all_runtime_pods, component_pods, labels, shared};

/// The label that Kubernetes sets on every namespace to its name.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Who may reach runtime pods: gateways the data port, the operator and whoever reads metrics the admin
/// port, siblings the module port.
pub(super) fn network_policy(
    namespace: &str,
    wasmfn_namespace: &str,
    metrics_from: &[NetworkPolicyPeer],
) -> NetworkPolicy {
    let from_wasmfn = |component| NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector {
            match_labels: Some(labels([(NAMESPACE_NAME_LABEL, wasmfn_namespace)])),
            ..LabelSelector::default()
        }),
        pod_selector: Some(component_pods(component)),
        ip_block: None,
    };
    let siblings = NetworkPolicyPeer {
        pod_selector: Some(all_runtime_pods()),
        ..NetworkPolicyPeer::default()
    };
    let mut admin = vec![from_wasmfn(OPERATOR_COMPONENT)];
    admin.extend(metrics_from.iter().cloned());
    NetworkPolicy {
        metadata: shared(namespace, RUNTIME_ACCOUNT),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(all_runtime_pods()),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![
                rule(RUNTIME_DATA_PORT, vec![from_wasmfn(GATEWAY_COMPONENT)]),
                rule(RUNTIME_ADMIN_PORT, admin),
                rule(RUNTIME_MODULE_PORT, vec![siblings]),
            ]),
            egress: None,
        }),
    }
}

fn rule(port: u16, peers: Vec<NetworkPolicyPeer>) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule {
        from: Some(peers),
        ports: Some(vec![NetworkPolicyPort {
            port: Some(IntOrString::Int(i32::from(port))),
            protocol: Some("TCP".to_owned()),
            end_port: None,
        }]),
    }
}
