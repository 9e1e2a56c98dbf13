use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{
            Capabilities, Container, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction,
            LocalObjectReference, ObjectFieldSelector, PodSecurityContext, PodSpec,
            PodTemplateSpec, Probe, SeccompProfile, SecurityContext, TopologySpreadConstraint,
        },
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};
use wasmfn_crds::names::{
    CA_CERTIFICATES_VARIABLE, REFERENCES_ANNOTATION, RUNTIME_ACCOUNT, RUNTIME_ADMIN_PORT,
    RUNTIME_DATA_PORT, RUNTIME_MODULE_PORT,
};

use super::{
    meta::{of_runtime, runtime_selector},
    volumes,
};
use crate::reconcile::validate::RuntimePlan;

/// Nobody, as distroless images number it.
const USER: i64 = 65532;

/// The runtime deployment. It never says how many replicas: that is the scaler's.
pub(super) fn deployment(plan: &RuntimePlan, gateway_host: &str) -> Deployment {
    Deployment {
        metadata: of_runtime(plan),
        spec: Some(DeploymentSpec {
            selector: LabelSelector {
                match_labels: Some(runtime_selector(&plan.name)),
                ..LabelSelector::default()
            },
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            revision_history_limit: Some(2),
            progress_deadline_seconds: Some(600),
            template: PodTemplateSpec {
                metadata: Some(pod_meta(plan)),
                spec: Some(pod(plan, gateway_host)),
            },
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

/// The function's labels and annotations come first, so that wasmfn's own win.
fn pod_meta(plan: &RuntimePlan) -> ObjectMeta {
    let mut pod_labels = plan.extra_labels.clone();
    pod_labels.extend(of_runtime(plan).labels.unwrap_or_default());
    let mut annotations = plan.extra_annotations.clone();
    annotations.insert(REFERENCES_ANNOTATION.to_owned(), plan.references.digest());
    ObjectMeta {
        labels: Some(pod_labels),
        annotations: Some(annotations),
        ..ObjectMeta::default()
    }
}

fn pod(plan: &RuntimePlan, gateway_host: &str) -> PodSpec {
    let settings = &plan.settings;
    let none_if_empty = |map: &BTreeMap<String, String>| (!map.is_empty()).then(|| map.clone());
    PodSpec {
        service_account_name: Some(RUNTIME_ACCOUNT.to_owned()),
        automount_service_account_token: Some(true),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(plan.grace_seconds),
        // A process 1 never hears of a SIGTERM that comes before it listens: docs/decisions/0047.
        share_process_namespace: Some(true),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        image_pull_secrets: (!settings.image_pull_secrets.is_empty()).then(|| {
            let reference = |name: &String| LocalObjectReference { name: name.clone() };
            settings.image_pull_secrets.iter().map(reference).collect()
        }),
        node_selector: none_if_empty(&settings.node_selector),
        tolerations: (!settings.tolerations.is_empty()).then(|| settings.tolerations.clone()),
        affinity: settings.affinity.clone(),
        priority_class_name: settings.priority_class_name.clone(),
        topology_spread_constraints: Some(spread(plan)),
        volumes: Some(volumes::volumes(&plan.references)),
        containers: vec![container(plan, gateway_host)],
        ..PodSpec::default()
    }
}

/// A wish, not a rule: a cluster of one node runs them all.
fn spread(plan: &RuntimePlan) -> Vec<TopologySpreadConstraint> {
    ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
        .map(|key| TopologySpreadConstraint {
            max_skew: 1,
            topology_key: key.to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            label_selector: Some(LabelSelector {
                match_labels: Some(runtime_selector(&plan.name)),
                ..LabelSelector::default()
            }),
            ..TopologySpreadConstraint::default()
        })
        .to_vec()
}

fn container(plan: &RuntimePlan, gateway_host: &str) -> Container {
    let port = |name: &str, number: u16| ContainerPort {
        name: Some(name.to_owned()),
        container_port: i32::from(number),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    Container {
        name: "runtime".to_owned(),
        image: Some(plan.settings.image.clone()),
        image_pull_policy: Some(plan.settings.image_pull_policy.clone()),
        env: Some(environment(plan, gateway_host)),
        ports: Some(vec![
            port("data", RUNTIME_DATA_PORT),
            port("admin", RUNTIME_ADMIN_PORT),
            port("modules", RUNTIME_MODULE_PORT),
        ]),
        // Ready as soon as it can be: requests may wait for it. There is no startup probe, since
        // it would put off the first readiness probe; liveness is lax enough for a slow start.
        readiness_probe: Some(probe("/readyz", 1, 2)),
        liveness_probe: Some(probe("/healthz", 10, 6)),
        resources: Some(plan.settings.resources.clone()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                add: None,
            }),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(volumes::mounts()),
        ..Container::default()
    }
}

fn probe(path: &str, period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("admin".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(2),
        failure_threshold: Some(failure_threshold),
        ..Probe::default()
    }
}

fn environment(plan: &RuntimePlan, gateway_host: &str) -> Vec<EnvVar> {
    let value = |name: &str, value: String| EnvVar {
        name: name.to_owned(),
        value: Some(value),
        value_from: None,
    };
    let field = |name: &str, path: &str| EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: path.to_owned(),
                api_version: None,
            }),
            ..EnvVarSource::default()
        }),
    };
    let mut variables = vec![
        field("WASMFN_NAMESPACE", "metadata.namespace"),
        field("WASMFN_POD_NAME", "metadata.name"),
        value("WASMFN_RUNTIME", plan.name.clone()),
        value(
            "WASMFN_PLAIN_HTTP_REGISTRIES",
            plan.plain_http_registries.join(","),
        ),
        value(
            "WASMFN_MODULE_MAX_BYTES",
            plan.settings.module_max_bytes.to_string(),
        ),
        value(
            "WASMFN_STORES",
            serde_json::to_string(&plan.settings.stores)
                .expect("offers are texts under names, which JSON can hold"),
        ),
        value("WASMFN_GATEWAY_HOST", gateway_host.to_owned()),
        value("WASMFN_WASI_03", plan.settings.wasi03.to_string()),
        value("WASMFN_GRACE_SECONDS", plan.grace_seconds.to_string()),
        value("RUST_LOG", plan.settings.log_filter.clone()),
    ];
    if !plan.settings.ca_certificates.is_empty() {
        let certificates = plan.settings.ca_certificates.clone();
        variables.push(value(CA_CERTIFICATES_VARIABLE, certificates));
    }
    variables
}
