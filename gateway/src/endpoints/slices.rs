use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
};

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointSlice};
use wasmfn_crds::names::{RUNTIME_DATA_PORT, RUNTIME_LABEL};

use super::RuntimeKey;

/// Name of the data port in the Services of runtime deployments.
const DATA_PORT_NAME: &str = "data";

/// How far a pod is in its life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    /// It is ready.
    Ready,
    /// It was told to go and still accepts.
    Leaving,
    /// It is not ready yet.
    Starting,
}

/// Where a pod is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Address {
    /// Address of its data port.
    pub socket: SocketAddr,
    /// UID of the pod; empty where the slice does not say.
    pub uid: String,
    /// How far it is.
    pub phase: Phase,
}

/// Pods of each runtime deployment, from all its slices. A pod that has addresses of both families
/// is listed once, with the one of IPv4.
#[must_use]
pub fn gather<'a>(
    slices: impl IntoIterator<Item = &'a EndpointSlice>,
) -> HashMap<RuntimeKey, Vec<Address>> {
    let mut by_runtime: HashMap<RuntimeKey, BTreeMap<String, Address>> = HashMap::new();
    for slice in slices {
        let Some(runtime) = runtime(slice) else {
            continue;
        };
        let pods = by_runtime.entry(runtime).or_default();
        for address in addresses(slice) {
            let identity = if address.uid.is_empty() {
                address.socket.to_string()
            } else {
                address.uid.clone()
            };
            let known = pods.entry(identity).or_insert_with(|| address.clone());
            if known.socket.is_ipv6() && address.socket.is_ipv4() {
                *known = address;
            }
        }
    }
    by_runtime
        .into_iter()
        .map(|(runtime, pods)| (runtime, pods.into_values().collect()))
        .collect()
}

fn runtime(slice: &EndpointSlice) -> Option<RuntimeKey> {
    Some(RuntimeKey {
        namespace: slice.metadata.namespace.clone()?,
        name: slice.metadata.labels.as_ref()?.get(RUNTIME_LABEL)?.clone(),
    })
}

fn addresses(slice: &EndpointSlice) -> impl Iterator<Item = Address> {
    let port = slice
        .ports
        .iter()
        .flatten()
        .find(|port| port.name.as_deref() == Some(DATA_PORT_NAME))
        .and_then(|port| u16::try_from(port.port?).ok())
        .unwrap_or(RUNTIME_DATA_PORT);
    slice.endpoints.iter().filter_map(move |endpoint| {
        let ip: IpAddr = endpoint.addresses.first()?.parse().ok()?;
        Some(Address {
            socket: SocketAddr::new(ip, port),
            uid: uid(endpoint),
            phase: phase(endpoint.conditions.as_ref())?,
        })
    })
}

fn uid(endpoint: &Endpoint) -> String {
    endpoint
        .target_ref
        .as_ref()
        .and_then(|target| target.uid.clone())
        .unwrap_or_default()
}

/// `serving` is asked before `ready`: a Service that publishes addresses that are not ready calls
/// all of them ready. What neither serves nor starts is no use to anyone.
fn phase(conditions: Option<&EndpointConditions>) -> Option<Phase> {
    let conditions = conditions.cloned().unwrap_or_default();
    let serving = conditions
        .serving
        .unwrap_or_else(|| conditions.ready.unwrap_or(true));
    match (conditions.terminating.unwrap_or(false), serving) {
        (false, true) => Some(Phase::Ready),
        (false, false) => Some(Phase::Starting),
        (true, true) => Some(Phase::Leaving),
        (true, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(family: &str, endpoints: &serde_json::Value) -> EndpointSlice {
        serde_json::from_value(serde_json::json!({
            "metadata": {"namespace": "a", "name": family, "labels": {RUNTIME_LABEL: "wasmfn-shared"}},
            "addressType": family,
            "ports": [{"name": "admin", "port": 1}, {"name": "data", "port": 9000}],
            "endpoints": endpoints,
        }))
        .unwrap()
    }

    fn endpoint(address: &str, uid: &str, conditions: &serde_json::Value) -> serde_json::Value {
        serde_json::json!({
            "addresses": [address], "conditions": conditions, "targetRef": {"kind": "Pod", "uid": uid}
        })
    }

    #[test]
    fn phases() {
        let cases = [
            (serde_json::json!({}), Some(Phase::Ready)),
            (serde_json::json!({"ready": false}), Some(Phase::Starting)),
            (
                serde_json::json!({"ready": true, "serving": false}),
                Some(Phase::Starting),
            ),
            (
                serde_json::json!({"ready": false, "serving": true, "terminating": true}),
                Some(Phase::Leaving),
            ),
            (
                serde_json::json!({"ready": true, "serving": false, "terminating": true}),
                None,
            ),
        ];
        for (conditions, expected) in cases {
            let parsed = serde_json::from_value(conditions.clone()).unwrap();
            assert_eq!(phase(Some(&parsed)), expected, "{conditions}");
        }
    }

    #[test]
    fn a_pod_of_two_families_is_listed_once() {
        let ready = serde_json::json!({"ready": true});
        let six = slice(
            "IPv6",
            &serde_json::json!([endpoint("fd00::1", "u", &ready)]),
        );
        let four = slice(
            "IPv4",
            &serde_json::json!([
                endpoint("10.0.0.1", "u", &ready),
                endpoint("10.0.0.2", "v", &ready)
            ]),
        );
        for order in [[&six, &four], [&four, &six]] {
            let runtimes = gather(order);
            let pods = runtimes.values().next().unwrap();
            let sockets: Vec<_> = pods.iter().map(|pod| pod.socket.to_string()).collect();
            assert_eq!(sockets, ["10.0.0.1:9000", "10.0.0.2:9000"]);
        }
    }

    #[test]
    fn a_slice_without_the_label_is_passed_over() {
        let mut slice = slice("IPv4", &serde_json::json!([]));
        slice.metadata.labels = None;
        assert!(gather([&slice]).is_empty());
    }
}
