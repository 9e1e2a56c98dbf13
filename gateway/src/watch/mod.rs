//! What the API server tells: the only place that knows it. While it is away, the last that was
//! heard stands.

use std::{collections::HashMap, fmt::Debug, sync::Arc};

use futures::{Stream, StreamExt};
use k8s_openapi::{
    api::discovery::v1::EndpointSlice, apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, Resource,
    core::DeserializeGuard,
    runtime::watcher::{self, Event},
};
use wasmfn_api_server::Reach;
use wasmfn_crds::{WasmFunction, names::RUNTIME_LABEL};

use crate::{endpoints, world::World};

mod objects;

use objects::Objects;

/// Changes that are taken together when they come together.
const TOGETHER: usize = 512;

/// Follows all functions for ever.
pub async fn functions(client: Client, world: Arc<World>) {
    let api: Api<DeserializeGuard<WasmFunction>> = Api::all(client);
    follow(
        "WasmFunctions",
        wasmfn_api_server::changes(api, watcher::Config::default()),
        |guard| match guard.0 {
            Ok(function) => Some(function),
            Err(invalid) => {
                tracing::warn!(
                    namespace = invalid.metadata.namespace,
                    name = invalid.metadata.name,
                    error = invalid.error,
                    "a WasmFunction cannot be understood; what was known of it stands"
                );
                None
            }
        },
        |functions| {
            let functions: Vec<_> = functions.values().cloned().collect();
            world.set_functions(&functions);
        },
    )
    .await;
}

/// Follows the pods of all runtime deployments for ever.
pub async fn endpoints(client: Client, world: Arc<World>) {
    let api: Api<EndpointSlice> = Api::all(client);
    let config = watcher::Config::default().labels(RUNTIME_LABEL);
    follow(
        "EndpointSlices",
        wasmfn_api_server::changes(api, config),
        Some,
        |slices| {
            let addresses = endpoints::gather(slices.values().map(AsRef::as_ref));
            world.set_endpoints(&addresses);
        },
    )
    .await;
}

/// Keeps a set of objects up to date and hands it on whenever it changes, once it is complete.
/// `parsed` takes the object out of its envelope, or nothing where it is not understood.
async fn follow<E, T>(
    what: &str,
    events: impl Stream<Item = watcher::Result<Event<E>>>,
    parsed: impl Fn(E) -> Option<T>,
    changed: impl Fn(&HashMap<objects::Key, Arc<T>>),
) where
    E: Resource + Debug,
{
    let mut objects = Objects::default();
    let mut reach = Reach::of(what);
    let mut batches = std::pin::pin!(events.ready_chunks(TOGETHER));
    while let Some(batch) = batches.next().await {
        let mut news = false;
        for event in batch {
            match event {
                Ok(event) => {
                    reach.is_there();
                    news |= objects.take(event, &parsed);
                }
                Err(error) => reach.is_away(&error),
            }
        }
        if news && let Some(complete) = objects.complete() {
            changed(complete);
        }
    }
}

fn key(metadata: &ObjectMeta) -> objects::Key {
    (
        metadata.namespace.clone().unwrap_or_default(),
        metadata.name.clone().unwrap_or_default(),
    )
}
