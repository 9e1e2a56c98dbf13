use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};
use wasmfn_crds::names::{RUNTIME_ADMIN_PORT, RUNTIME_DATA_PORT, RUNTIME_MODULE_PORT};

use super::meta::{of_runtime, runtime_selector};
use crate::reconcile::validate::RuntimePlan;

/// The headless Service of a runtime deployment: gateways read its EndpointSlices, siblings find
/// each other by its name.
pub(super) fn service(plan: &RuntimePlan) -> Service {
    let port = |name: &str, number: u16| ServicePort {
        name: Some(name.to_owned()),
        port: i32::from(number),
        target_port: Some(IntOrString::String(name.to_owned())),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    };
    Service {
        metadata: of_runtime(plan),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            cluster_ip: Some("None".to_owned()),
            selector: Some(runtime_selector(&plan.name)),
            ports: Some(vec![
                port("data", RUNTIME_DATA_PORT),
                port("admin", RUNTIME_ADMIN_PORT),
                port("modules", RUNTIME_MODULE_PORT),
            ]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}
