//! Follows the `WasmFunction`s of the namespace at the API server.

use futures::TryStreamExt;
use kube::{
    Api, Client, ResourceExt,
    core::DeserializeGuard,
    runtime::watcher::{self, Event},
};
use wasmfn_api_server::Reach;
use wasmfn_crds::WasmFunction;

use super::feed::Feed;

/// Follows for ever. An object that cannot be read breaks nothing but itself; while the API server
/// is away, what was known last stays.
pub(super) async fn follow(client: Client, namespace: String, mut feed: Feed) {
    let api: Api<DeserializeGuard<WasmFunction>> = Api::namespaced(client, &namespace);
    let events = wasmfn_api_server::changes(api, watcher::Config::default());
    let mut events = std::pin::pin!(events);
    let mut reach = Reach::of("WasmFunctions");
    loop {
        match events.try_next().await {
            Ok(Some(event)) => {
                reach.is_there();
                apply(event, &mut feed);
            }
            Ok(None) => return,
            Err(error) => reach.is_away(&error),
        }
    }
}

fn apply(event: Event<DeserializeGuard<WasmFunction>>, feed: &mut Feed) {
    match event {
        Event::Init => feed.begin(),
        Event::InitApply(object) => feed.listed(&object.name_any(), read(object)),
        Event::InitDone => feed.complete(),
        Event::Apply(object) => feed.changed(&object.name_any(), read(object)),
        Event::Delete(object) => feed.deleted(&object.name_any()),
    }
}

/// The object, if it can be read.
fn read(object: DeserializeGuard<WasmFunction>) -> Option<WasmFunction> {
    let name = object.name_any();
    match object.0 {
        Ok(function) => Some(function),
        Err(invalid) => {
            tracing::warn!(function = name, error = %invalid.error, "the object cannot be read; its last readable version stays");
            None
        }
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
