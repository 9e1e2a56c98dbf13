//! The containers that are a kind cluster's nodes: looked into and broken.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::Command;
use crate::wait::wait_until;

/// Longest wait for the API server after a fault.
const RESTORE_DEADLINE: Duration = Duration::from_secs(180);

/// Where the kubelet finds the API server to run.
const API_SERVER_MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
/// Where its manifest waits while the API server is away.
const PARKED_MANIFEST: &str = "/etc/kubernetes/kube-apiserver.yaml.parked";

/// The nodes of a kind cluster.
#[derive(Clone)]
pub struct Nodes {
    cluster: String,
}

impl Nodes {
    pub(super) fn of_kind(cluster: &str) -> Self {
        Self {
            cluster: cluster.to_owned(),
        }
    }

    /// The node that runs the control plane, and through which ports of 127.0.0.1 lead.
    #[must_use]
    pub fn control_plane(&self) -> Node {
        Node(format!("{}-control-plane", self.cluster))
    }

    /// The other node.
    #[must_use]
    pub fn worker(&self) -> Node {
        Node(format!("{}-worker", self.cluster))
    }

    /// The node of that name.
    ///
    /// # Errors
    /// There is none.
    pub fn named(&self, name: &str) -> Result<Node> {
        let mut nodes = self.all().into_iter();
        let found = nodes.find(|node| node.name() == name);
        found.with_context(|| format!("there is no node {name}"))
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> [Node; 2] {
        [self.control_plane(), self.worker()]
    }

    /// Takes the API server away, until [`Self::return_api_server`].
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn remove_api_server(&self) -> Result<()> {
        let node = self.control_plane();
        let park = ["mv", API_SERVER_MANIFEST, PARKED_MANIFEST];
        node.exec(park).run().await?;
        // The kubelet looks at its folder every 20 s; this does not wait for that.
        let stop = "crictl ps --quiet --name '^kube-apiserver$' | xargs -r crictl stop --timeout 1";
        node.exec(["sh", "-c", stop]).run().await
    }

    /// Puts every node back into service, whatever was done to it.
    ///
    /// # Errors
    /// A node does not come back.
    pub async fn restore(&self, kubectl: impl Fn() -> Command) -> Result<()> {
        for node in self.all() {
            match node.state().await?.as_str() {
                "running" => {}
                "paused" => node.unpause().await?,
                _ => node.start().await?,
            }
        }
        self.return_api_server().await?;
        wait_until("the API server answers", RESTORE_DEADLINE, async || {
            let readyz = kubectl().args(["get", "--raw", "/readyz", "--request-timeout=5s"]);
            Ok(readyz.raw_output().await?.status.success().then_some(()))
        })
        .await?;
        let names = self.all().map(|node| node.0);
        kubectl().arg("uncordon").args(names).run().await?;
        kubectl()
            .args([
                "wait",
                "--for=condition=Ready",
                "nodes",
                "--all",
                "--timeout=180s",
            ])
            .run()
            .await
    }

    /// Brings the API server back. Does nothing if it is not away.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn return_api_server(&self) -> Result<()> {
        let unpark =
            format!("! [ -e {PARKED_MANIFEST} ] || mv {PARKED_MANIFEST} {API_SERVER_MANIFEST}");
        let node = self.control_plane();
        node.exec(["sh", "-c", &unpark]).run().await
    }
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node(pub(super) String);

impl Node {
    /// Its name, in Kubernetes and in the container engine.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }

    /// A command that runs on the node.
    pub fn exec(
        &self,
        arguments: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>,
    ) -> Command {
        Command::new("docker")
            .args(["exec", "--interactive", &self.0])
            .args(arguments)
    }

    /// Freezes everything on the node.
    ///
    /// # Errors
    /// The container engine refuses.
    pub async fn pause(&self) -> Result<()> {
        self.docker("pause").await
    }

    /// Ends [`Self::pause`].
    ///
    /// # Errors
    /// The container engine refuses.
    pub async fn unpause(&self) -> Result<()> {
        self.docker("unpause").await
    }

    /// Takes the node's power away.
    ///
    /// # Errors
    /// The container engine refuses.
    pub async fn kill(&self) -> Result<()> {
        self.docker("kill").await
    }

    /// Starts it after [`Self::kill`].
    ///
    /// # Errors
    /// The container engine refuses.
    pub async fn start(&self) -> Result<()> {
        self.docker("start").await
    }

    /// Shuts it down and starts it.
    ///
    /// # Errors
    /// The container engine refuses.
    pub async fn restart(&self) -> Result<()> {
        self.docker("restart").await
    }

    /// Kills the first process of a pod's container with SIGKILL, as the kernel would. Asks the node
    /// itself, so it works while the API server is away.
    ///
    /// # Errors
    /// The node does not run such a container.
    pub async fn kill_container(&self, pod: &str, container: &str) -> Result<()> {
        let script = kill_script(pod, container);
        self.exec(["sh", "-c", &script])
            .run()
            .await
            .with_context(|| format!("cannot kill the container {container} of {pod}"))
    }

    /// Kills it in the same way, and gives all that it had written once the node has taken that in.
    ///
    /// # Errors
    /// The node does not run such a container.
    pub async fn last_words(&self, pod: &str, container: &str) -> Result<String> {
        let script = format!(
            "{}; until crictl inspect --output go-template --template '{{{{.status.state}}}}' \"$id\" \
             | grep -q EXITED; do sleep 0.1; done; crictl logs \"$id\" 2>&1",
            kill_script(pod, container)
        );
        self.exec(["sh", "-c", &script])
            .output()
            .await
            .with_context(|| format!("cannot read what the container {container} of {pod} wrote"))
    }

    /// What the container engine says about it: `running`, `paused`, `exited`.
    async fn state(&self) -> Result<String> {
        let inspect = Command::new("docker").args(["inspect", "--format={{.State.Status}}"]);
        let state = inspect.arg(&self.0).output().await?;
        Ok(state.trim().to_owned())
    }

    async fn docker(&self, verb: &str) -> Result<()> {
        Command::new("docker").args([verb, &self.0]).run().await
    }
}

/// Kills a container's first process, and leaves the container's id in `$id`.
fn kill_script(pod: &str, container: &str) -> String {
    format!(
        "set -e; sandbox=$(crictl pods --quiet --state ready --name '^{pod}$'); \
         test -n \"$sandbox\"; id=$(crictl ps --quiet --pod \"$sandbox\" --name '^{container}$'); \
         kill -KILL \"$(crictl inspect --output go-template --template '{{{{.info.pid}}}}' \"$id\")\""
    )
}
