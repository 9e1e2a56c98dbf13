use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use wasmfn_crds::{WasmFunction, hosts::HostRules};
use wasmfn_gateway::{
    drain::{self, Leave},
    endpoints::{Address, Phase, RuntimeKey},
    listener::{Door, Intake, Rules},
    proxy::Gateway,
    routes::{Entrance, Function},
    token::Tokens,
    world::World,
};

/// Bytes of the master key.
pub const KEY: [u8; 32] = [9; 32];
/// How long the gateway under test goes on accepting after it was told to go, and how long requests
/// may wait after that.
pub const LAG: Duration = Duration::from_secs(3);
/// Longer than anything here takes; what takes longer hangs.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Rules that no test runs into by chance.
pub fn lenient() -> Rules {
    Rules {
        max_connections: 10_000,
        max_connections_per_client: None,
        max_requests: 20_000,
        handshake_within: PATIENCE,
        head_within: PATIENCE,
        body_within: PATIENCE,
        taken_within: PATIENCE,
        idle_after: PATIENCE,
        trusted_proxies: Vec::new(),
    }
}

/// A gateway with all its doors on loopback.
pub struct Running {
    pub public: SocketAddr,
    pub cluster: SocketAddr,
    pub gateway: Arc<Gateway>,
    pub stop: Option<oneshot::Sender<()>>,
    pub served: JoinHandle<()>,
}

impl Running {
    /// A gateway that knows no function and no pod.
    pub async fn start() -> Self {
        Self::start_by(lenient(), None).await
    }

    /// The same by other rules, and with TLS at its public door if there is a certificate.
    pub async fn start_by(rules: Rules, tls: Option<Arc<ServerConfig>>) -> Self {
        let world = Arc::new(World::new(HostRules {
            domain: "localhost".into(),
            cluster_domain: "cluster.local".into(),
            ..HostRules::default()
        }));
        let tokens = Arc::new(Tokens::new(KEY.to_vec()).unwrap());
        let gateway = Arc::new(Gateway::new(world, tokens, 1 << 20));
        let intake = Intake::new(gateway.clone(), rules);
        let mut doors = Vec::new();
        let mut addresses = Vec::new();
        for entrance in [Entrance::Public, Entrance::Cluster] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            doors.push(Door {
                entrance,
                listener,
                tls: tls.clone().filter(|_| entrance == Entrance::Public),
                intake: intake.clone(),
            });
        }
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(drain::serve_until(
            doors,
            gateway.clone(),
            async move {
                let _ = stopped.await;
            },
            Leave {
                lag: LAG,
                queue: LAG,
            },
        ));
        Self {
            public: addresses[0],
            cluster: addresses[1],
            gateway,
            stop: Some(stop),
            served,
        }
    }

    /// One function `f` in namespace `n` with these fields of its spec, and these pods.
    pub async fn serving(spec: &Value, pods: &[(SocketAddr, Phase)]) -> Self {
        Self::start().await.with(spec, pods)
    }

    /// Replaces the functions by this one `f`, and its pods.
    pub fn with(self, spec: &Value, pods: &[(SocketAddr, Phase)]) -> Self {
        self.functions(&[("f", spec)]);
        self.pods(pods);
        self
    }

    /// Replaces all functions, each with a name and fields of its spec.
    pub fn functions(&self, functions: &[(&str, &Value)]) {
        let objects: Vec<_> = functions
            .iter()
            .map(|(name, fields)| {
                let mut spec = json!({"image": "r/x:1"});
                for (key, value) in fields.as_object().unwrap() {
                    spec[key] = value.clone();
                }
                let mut object = WasmFunction::new(name, serde_json::from_value(spec).unwrap());
                object.metadata.namespace = Some("n".into());
                object.metadata.uid = Some(format!("uid-{name}"));
                Arc::new(object)
            })
            .collect();
        self.gateway.world.set_functions(&objects);
    }

    /// Replaces all pods of the namespace's shared runtime.
    pub fn pods(&self, pods: &[(SocketAddr, Phase)]) {
        let runtime = RuntimeKey {
            namespace: "n".into(),
            name: "wasmfn-shared".into(),
        };
        let addresses = pods
            .iter()
            .map(|(socket, phase)| Address {
                socket: *socket,
                uid: socket.to_string(),
                phase: *phase,
            })
            .collect();
        self.gateway
            .world
            .set_endpoints(&HashMap::from([(runtime, addresses)]));
    }

    /// The only function.
    pub fn function(&self) -> Arc<Function> {
        let routes = self.gateway.world.routes();
        let mut functions = routes.functions();
        functions.next().unwrap().clone()
    }

    /// The function of this name.
    pub fn named(&self, name: &str) -> Arc<Function> {
        let routes = self.gateway.world.routes();
        let mut functions = routes.functions();
        functions
            .find(|function| function.id.name == name)
            .unwrap()
            .clone()
    }

    /// In flight and queued, of the only function.
    pub fn counts(&self) -> (u32, u32) {
        let function = self.function();
        (function.counts.in_flight(), function.counts.queued())
    }
}

/// Waits until `holds`.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "waited in vain: {what}");
}
