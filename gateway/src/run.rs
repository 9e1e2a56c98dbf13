//! The gateway as a whole: what it is made of and in which order it starts and ends.

use std::{
    net::{Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use thiserror::Error;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use wasmfn_crds::names::{
    GATEWAY_ADMIN_PORT, GATEWAY_CLUSTER_PORT, GATEWAY_PUBLIC_PORT, GATEWAY_PUBLIC_TLS_PORT,
};

use crate::{
    admin::{self, Admin},
    command::Serve,
    config::{Config, ConfigError},
    drain::{self, Leave},
    listener::{
        Door, Intake, Rules,
        tls::{Certificate, CertificateError},
    },
    proxy::Gateway,
    routes::Entrance,
    token::{TokenError, Tokens},
    watch,
    world::World,
};

/// How long requests may wait in a gateway that has stopped accepting: the default of
/// `maxQueueSeconds`. The chart's grace period adds `drainSeconds` and the longest shared request.
const QUEUE_WHILE_LEAVING: Duration = Duration::from_secs(30);

/// Length of the kernel's queue of connections that nobody has accepted yet.
const BACKLOG: u32 = 4096;

/// The gateway cannot serve.
#[derive(Debug, Error)]
pub enum RunError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The master key.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The API server's address and credentials.
    #[error("cannot find out how to reach the API server")]
    Cluster(#[source] Box<kube::Error>),
    /// A port.
    #[error("cannot listen on port {port}")]
    Listen {
        /// The port.
        port: u16,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Signals.
    #[error("cannot wait for SIGTERM")]
    Signal(#[source] std::io::Error),
}

/// Serves until SIGTERM or SIGINT, and until everything is answered.
///
/// # Errors
/// [`RunError`], before anything is served.
pub async fn run(arguments: Serve) -> Result<(), RunError> {
    let config = Config::read(&arguments.config)?;
    let tokens = Arc::new(Tokens::read(&arguments.master_key)?);
    let rules = Rules::from(&config);
    let certificate = match &config.tls {
        Some(tls) => Some(Arc::new(Certificate::read(&tls.directory)?)),
        None => None,
    };
    let world = Arc::new(World::new(config.hosts));
    let gateway = Arc::new(Gateway::new(
        world.clone(),
        tokens.clone(),
        config.limits.max_queued_bytes,
    ));
    let client = client()
        .await
        .map_err(|error| RunError::Cluster(Box::new(error)))?;
    let doors = open_doors(&Intake::new(gateway.clone(), rules), certificate.as_ref())?;
    let stop = told_to_go()?;
    let admin = serve_admin(&arguments, &gateway)?;
    tokio::spawn(watch::functions(client.clone(), world.clone()));
    tokio::spawn(watch::endpoints(client, world));
    tokio::spawn(follow(tokens, arguments.master_key));
    if let Some(certificate) = certificate {
        tokio::spawn(async move { certificate.follow().await });
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "serving");
    let leave = Leave {
        lag: Duration::from_secs(config.drain_seconds),
        queue: QUEUE_WHILE_LEAVING,
    };
    drain::serve_until(doors, gateway, stop, leave).await;
    admin.abort();
    Ok(())
}

/// The doors for clients outside, with TLS where there is a certificate, and inside.
fn open_doors(
    intake: &Arc<Intake>,
    certificate: Option<&Arc<Certificate>>,
) -> Result<Vec<Door>, RunError> {
    let door = |entrance, port, tls| {
        Ok::<_, RunError>(Door {
            entrance,
            listener: listen(port)?,
            tls,
            intake: intake.clone(),
        })
    };
    let mut doors = vec![
        door(Entrance::Public, GATEWAY_PUBLIC_PORT, None)?,
        door(Entrance::Cluster, GATEWAY_CLUSTER_PORT, None)?,
    ];
    if let Some(certificate) = certificate {
        let tls = Some(certificate.config()?);
        doors.push(door(Entrance::Public, GATEWAY_PUBLIC_TLS_PORT, tls)?);
    }
    Ok(doors)
}

fn serve_admin(
    arguments: &Serve,
    gateway: &Arc<Gateway>,
) -> Result<tokio::task::JoinHandle<()>, RunError> {
    let admin = Admin {
        gateway: gateway.clone(),
        namespace: arguments.namespace.as_str().into(),
        pod: arguments.pod.as_str().into(),
    };
    let listener = listen(GATEWAY_ADMIN_PORT)?;
    Ok(tokio::spawn(async move {
        if let Err(error) = admin::serve(admin, listener).await {
            tracing::error!(%error, "the admin port has failed");
        }
    }))
}

async fn follow(tokens: Arc<Tokens>, path: PathBuf) {
    tokens.follow(&path).await;
}

/// On all addresses of both families, or of IPv4 alone where there is no IPv6.
fn listen(port: u16) -> Result<TcpListener, RunError> {
    let on = |socket: std::io::Result<tokio::net::TcpSocket>, address: SocketAddr| {
        let socket = socket?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    on(
        tokio::net::TcpSocket::new_v6(),
        (Ipv6Addr::UNSPECIFIED, port).into(),
    )
    .or_else(|_| on(tokio::net::TcpSocket::new_v4(), ([0, 0, 0, 0], port).into()))
    .map_err(|source| RunError::Listen { port, source })
}

fn told_to_go() -> Result<impl Future<Output = ()>, RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signal)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

async fn client() -> Result<kube::Client, kube::Error> {
    let config = kube::Config::infer().await;
    wasmfn_api_server::client(config.map_err(kube::Error::InferConfig)?)
}
