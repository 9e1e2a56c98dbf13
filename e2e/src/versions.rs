//! Every version that the e2e cluster is made of.

/// Kubernetes of the nodes, and of `kubectl`.
pub const KUBERNETES: &str = "1.34.4";
/// Debian release under the node image that we build.
pub const DEBIAN: &str = "bookworm";

/// A program that is built from the Go module proxy.
pub struct GoProgram {
    /// File name of the program.
    pub name: &'static str,
    /// Its main package.
    pub package: &'static str,
    /// Version of the module that holds the package.
    pub version: &'static str,
}

/// Makes clusters out of containers.
pub const KIND: GoProgram = GoProgram {
    name: "kind",
    package: "sigs.k8s.io/kind",
    version: "v0.33.0",
};

/// Installs the chart.
pub const HELM: GoProgram = GoProgram {
    name: "helm",
    package: "helm.sh/helm/v4/cmd/helm",
    version: "v4.3.1",
};

/// Pushes image archives; asks registries about tags.
pub const CRANE: GoProgram = GoProgram {
    name: "crane",
    package: "github.com/google/go-containerregistry/cmd/crane",
    version: "v0.22.1",
};

/// Pushes modules.
pub const ORAS: GoProgram = GoProgram {
    name: "oras",
    package: "oras.land/oras/cmd/oras",
    version: "v1.3.6",
};

/// The registry that runs in the cluster.
pub const REGISTRY: GoProgram = GoProgram {
    name: "registry",
    package: "github.com/distribution/distribution/v3/cmd/registry",
    version: "v3.1.2",
};

/// Checks what the chart renders against the schemas of Kubernetes.
pub const KUBECONFORM: GoProgram = GoProgram {
    name: "kubeconform",
    package: "github.com/yannh/kubeconform/cmd/kubeconform",
    version: "v0.8.0",
};

/// Store of the control plane.
pub const ETCD: GoProgram = GoProgram {
    name: "etcd",
    package: "go.etcd.io/etcd/server/v3",
    version: "v3.6.7",
};

/// DNS of the cluster.
pub const COREDNS: GoProgram = GoProgram {
    name: "coredns",
    package: "github.com/coredns/coredns",
    version: "v1.14.0",
};

/// Speaks to a node's containerd; `kubeadm` wants it.
pub const CRICTL: GoProgram = GoProgram {
    name: "crictl",
    package: "sigs.k8s.io/cri-tools/cmd/crictl",
    version: "v1.36.0",
};
