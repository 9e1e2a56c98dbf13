//! What every reconcile shares.

use std::sync::Arc;

use kube::{Client, runtime::events::Recorder};
use tokio::sync::Notify;
use wasmfn_crds::{hosts::FunctionKey, token::MasterKey};

use crate::{
    backoff::Backoff,
    caches::Caches,
    config::Config,
    follow::Knowledge,
    host_table::HostTables,
    metrics::Metrics,
    reconcile::{Applier, House, Pacing, Recent},
    wake::Wakes,
};

/// What every reconcile shares.
pub struct Context {
    /// Speaks to the API server.
    pub client: Client,
    /// What the admin decided.
    pub config: Config,
    /// Namespace that wasmfn itself runs in.
    pub namespace: String,
    /// Where all tokens come from.
    pub master_key: MasterKey,
    /// What the API server holds.
    pub caches: Arc<Caches>,
    /// What pods and gateways said.
    pub knowledge: Arc<Knowledge>,
    /// Who owns which host.
    pub hosts: HostTables,
    /// Functions to look at again.
    pub functions: Arc<Wakes<FunctionKey>>,
    /// Namespaces whose runtime deployments may have to scale.
    pub namespaces: Arc<Wakes<String>>,
    /// Something may be needed no more.
    pub removal: Notify,
    /// Writes objects.
    pub applier: Applier,
    /// Since when sets of references have waited to roll.
    pub pacing: Pacing,
    /// What was written to `status` and may not be in the caches yet.
    pub recent: Recent,
    /// Failures in a row.
    pub backoff: Backoff,
    /// Publishes events.
    pub recorder: Recorder,
    /// What is counted.
    pub metrics: Metrics,
}

impl Context {
    /// What builders need to know of wasmfn as a whole.
    #[must_use]
    pub fn house(&self) -> House<'_> {
        House {
            config: &self.config,
            namespace: &self.namespace,
            master_key: &self.master_key,
        }
    }
}
