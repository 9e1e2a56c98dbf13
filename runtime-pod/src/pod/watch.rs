//! Follows the `WasmFunction`s of the namespace at the API server.

use futures::TryStreamExt;
use kube::{
    Api, Client, ResourceExt,
    core::DeserializeGuard,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use wasmfn_crds::WasmFunction;

use super::feed::Feed;

/// Follows for ever. An object that cannot be read breaks nothing but itself; while the API server
/// is away, what was known last stays.
pub(super) async fn follow(client: Client, namespace: String, mut feed: Feed) {
    let api: Api<DeserializeGuard<WasmFunction>> = Api::namespaced(client, &namespace);
    let events = watcher(api, wasmfn_api_server::watch()).backoff(wasmfn_api_server::pauses());
    let mut events = std::pin::pin!(events);
    let mut reach = Reach::of("the functions");
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

/// Whether the API server tells of something, said when that changes: it is asked every second.
pub(super) struct Reach {
    what: &'static str,
    is_away: bool,
}

impl Reach {
    pub(super) const fn of(what: &'static str) -> Self {
        Self {
            what,
            is_away: false,
        }
    }

    pub(super) fn is_there(&mut self) {
        if std::mem::take(&mut self.is_away) {
            tracing::info!(of = self.what, "the API server is back");
        }
    }

    pub(super) fn is_away(&mut self, error: &watcher::Error) {
        if std::mem::replace(&mut self.is_away, true) {
            tracing::debug!(of = self.what, %error, "the API server is still away");
        } else {
            tracing::warn!(
                of = self.what,
                error = with_causes(error),
                "the API server is away; going on with what is known"
            );
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

/// An error with what lies behind it.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
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
