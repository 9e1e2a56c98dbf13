//! What the pod is told by its environment.

use std::{
    num::{NonZeroUsize, ParseIntError},
    path::PathBuf,
    time::Duration,
};

use clap::Parser;

use wasmfn_crds::{names::CA_CERTIFICATES_VARIABLE, stores::StoreOffers};

use crate::{registry::PlainHttpRegistries, roots::Roots};

/// Environment and volumes of the pod; see `docs/contracts.md`.
#[derive(Clone, Debug, Parser)]
#[command(version, about = "Serves the WasmFunctions of one namespace")]
pub struct PodSettings {
    /// Namespace of the pod.
    #[arg(long, env = "WASMFN_NAMESPACE")]
    pub namespace: String,
    /// Name of the pod.
    #[arg(long, env = "WASMFN_POD_NAME")]
    pub pod_name: String,
    /// Runtime deployment that the pod belongs to.
    #[arg(long, env = "WASMFN_RUNTIME")]
    pub runtime: String,
    /// Registries that are asked over plain HTTP: `host[:port]`, separated by commas.
    #[arg(long, env = "WASMFN_PLAIN_HTTP_REGISTRIES", default_value = "")]
    pub plain_http_registries: PlainHttpRegistries,
    /// Certificates of authorities that are believed beside those of the web, in PEM.
    #[arg(
        long = "ca-certificates",
        env = CA_CERTIFICATES_VARIABLE,
        default_value = "",
        hide_env_values = true
    )]
    pub roots: Roots,
    /// Largest module, in bytes.
    #[arg(long, env = "WASMFN_MODULE_MAX_BYTES", default_value_t = 128 << 20)]
    pub module_max_bytes: u64,
    /// Threads that serve; one for each core that the pod may use, where unset.
    #[arg(long, env = "WASMFN_SERVING_THREADS")]
    pub serving_threads: Option<NonZeroUsize>,
    /// How long the pod goes on accepting after it was told to go, at least.
    #[arg(long, env = "WASMFN_DRAIN_SECONDS", default_value = "5", value_parser = seconds)]
    pub drain_seconds: Duration,
    /// The pod's grace period.
    #[arg(long, env = "WASMFN_GRACE_SECONDS", default_value = "30", value_parser = seconds)]
    pub grace_seconds: Duration,
    /// Host of the API server's Service, which the kubelet tells every container.
    #[arg(long, env = "KUBERNETES_SERVICE_HOST")]
    pub api_server: Option<String>,
    /// Name of the gateway's Service, which functions may not call around their names.
    #[arg(long, env = "WASMFN_GATEWAY_HOST")]
    pub gateway_host: Option<String>,
    /// Key-value stores that functions may be granted, as JSON by name.
    #[arg(long, env = "WASMFN_STORES", default_value = "{}", value_parser = offers)]
    pub stores: Stores,
    /// Whether WASI 0.3 services are served.
    #[arg(long, env = "WASMFN_WASI_03", default_value_t = false, action = clap::ArgAction::Set)]
    pub wasi_03: bool,
    /// Folder of the namespace's tokens.
    #[arg(long, env = "WASMFN_KEYS_FOLDER", default_value = "/etc/wasmfn/keys")]
    pub keys_folder: PathBuf,
    /// Folder into which Secrets and `ConfigMap`s are projected.
    #[arg(
        long,
        env = "WASMFN_REFERENCES_FOLDER",
        default_value = "/etc/wasmfn/references"
    )]
    pub references_folder: PathBuf,
    /// Folder that outlives a restart of the container.
    #[arg(long, env = "WASMFN_STATE_FOLDER", default_value = "/var/lib/wasmfn")]
    pub state_folder: PathBuf,
}

/// Key-value stores by name: a type that clap takes for one value.
#[derive(Clone, Debug, Default)]
pub struct Stores(pub StoreOffers);

fn offers(text: &str) -> Result<Stores, serde_json::Error> {
    serde_json::from_str(text).map(Stores)
}

fn seconds(text: &str) -> Result<Duration, ParseIntError> {
    text.parse().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_environment_of_the_contract_is_enough() {
        PodSettings::command().debug_assert();
        let settings = PodSettings::try_parse_from([
            "wasmfn-runtime",
            "--namespace=team",
            "--pod-name=pod-1",
            "--runtime=wasmfn-shared",
            "--grace-seconds=330",
            r#"--stores={"scratch":{"kind":"Memory"}}"#,
            "--wasi-03=true",
            "--plain-http-registries=registry.test:5000,other.test",
        ])
        .unwrap();
        assert_eq!(settings.module_max_bytes, 134_217_728);
        assert_eq!(settings.drain_seconds, Duration::from_secs(5));
        assert_eq!(settings.grace_seconds, Duration::from_secs(330));
        assert_eq!(settings.stores.0.len(), 1);
        assert!(settings.wasi_03);
    }

    #[test]
    fn what_is_no_number_of_seconds_is_refused() {
        let error = PodSettings::try_parse_from([
            "wasmfn-runtime",
            "--namespace=team",
            "--pod-name=pod-1",
            "--runtime=wasmfn-shared",
            "--grace-seconds=soon",
        ])
        .unwrap_err();
        assert!(error.to_string().contains("--grace-seconds"), "{error}");
    }
}
