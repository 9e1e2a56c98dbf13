//! Pod networking where kind's own cannot be had: a point-to-point link for each pod, and routes
//! between the nodes. It does not enforce `NetworkPolicy`.

use std::fmt::Write;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Node;
use crate::process::Command;

/// Unit on each node that lays the routes, also after the node was restarted.
const ROUTES_UNIT: &str = "/etc/systemd/system/pod-routes.service";

struct Link {
    node: Node,
    pod_cidr: String,
    address: String,
}

/// Connects the pods of all nodes.
pub(super) async fn lay(kubectl: &impl Fn() -> Command) -> Result<()> {
    let links = links(kubectl).await?;
    for link in &links {
        let plugins = plugins(&link.pod_cidr).to_string();
        write_file(&link.node, "/etc/cni/net.d/10-ptp.conflist", &plugins).await?;
        let others = links.iter().filter(|other| other.node != link.node);
        write_file(&link.node, ROUTES_UNIT, &routes_unit(others)?).await?;
        let enable = ["systemctl", "enable", "--now", "--quiet", ROUTES_UNIT];
        link.node.exec(enable).run().await?;
    }
    Ok(())
}

async fn links(kubectl: &impl Fn() -> Command) -> Result<Vec<Link>> {
    let nodes = kubectl()
        .args(["get", "nodes", "--output=json"])
        .output()
        .await?;
    let nodes: Value = serde_json::from_str(&nodes)?;
    let nodes = nodes["items"]
        .as_array()
        .context("the cluster lists no nodes")?;
    nodes.iter().map(link).collect()
}

fn link(node: &Value) -> Result<Link> {
    let addresses = node["status"]["addresses"].as_array();
    let internal = addresses
        .into_iter()
        .flatten()
        .find(|address| address["type"] == "InternalIP")
        .and_then(|address| address["address"].as_str());
    let text = |value: &Value, what: &str| {
        let text = value.as_str().map(str::to_owned);
        text.with_context(|| format!("a node has no {what}"))
    };
    Ok(Link {
        node: Node(text(&node["metadata"]["name"], "name")?),
        pod_cidr: text(&node["spec"]["podCIDR"], "pod CIDR")?,
        address: internal
            .context("a node has no internal address")?
            .to_owned(),
    })
}

fn plugins(pod_cidr: &str) -> Value {
    json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": false,
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/cni-ipam-state",
                    "routes": [{ "dst": "0.0.0.0/0" }],
                    "ranges": [[{ "subnet": pod_cidr }]],
                },
            },
            { "type": "portmap", "capabilities": { "portMappings": true } },
        ],
    })
}

fn routes_unit<'a>(others: impl Iterator<Item = &'a Link>) -> Result<String> {
    let mut unit =
        "[Unit]\nDescription=Routes to the pods of other nodes\nBefore=kubelet.service\n\n\
                    [Service]\nType=oneshot\nRemainAfterExit=yes\n"
            .to_owned();
    for Link {
        pod_cidr, address, ..
    } in others
    {
        writeln!(
            unit,
            "ExecStart=/usr/sbin/ip route replace {pod_cidr} via {address}"
        )?;
    }
    unit.push_str("\n[Install]\nWantedBy=multi-user.target\n");
    Ok(unit)
}

async fn write_file(node: &Node, path: &str, text: &str) -> Result<()> {
    node.exec(["sh", "-c", &format!("cat > {path}")])
        .input(text)
        .run()
        .await
}
