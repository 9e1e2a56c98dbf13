//! Follows the `WasmFunction`s of the namespace at the API server.

use std::time::Duration;

use backon::ExponentialBuilder;
use futures::TryStreamExt;
use kube::{
    Api, Client, ResourceExt,
    core::DeserializeGuard,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, ExponentialBackoff, watcher},
    },
};
use wasmfn_crds::WasmFunction;

use super::feed::Feed;

/// Pauses between tries while the API server is away. Kube's own grow to 30 s, for which changes
/// would wait after it is back.
fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(2))
        .without_max_times()
        .with_jitter()
        .into()
}

/// Follows for ever. An object that cannot be read breaks nothing but itself; while the API server
/// is away, what was known last stays.
pub(super) async fn follow(client: Client, namespace: String, mut feed: Feed) {
    let api: Api<DeserializeGuard<WasmFunction>> = Api::namespaced(client, &namespace);
    let mut events = std::pin::pin!(watcher(api, watcher::Config::default()).backoff(pauses()));
    let mut is_away = false;
    loop {
        match events.try_next().await {
            Ok(Some(event)) => {
                if std::mem::take(&mut is_away) {
                    tracing::info!("the API server is back");
                }
                apply(event, &mut feed);
            }
            Ok(None) => return,
            // Said once: it is asked about every second.
            Err(error) if !std::mem::replace(&mut is_away, true) => {
                tracing::warn!(
                    error = with_causes(&error),
                    "the API server is away; going on with what is known"
                );
            }
            Err(error) => tracing::debug!(%error, "the API server is still away"),
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
