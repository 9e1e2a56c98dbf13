//! From what the API server says to the set of functions that this pod holds, in memory and on
//! disk.

use std::sync::Arc;

use tokio::sync::watch::{Receiver, Sender};
use wasmfn_crds::{WasmFunction, names::is_served_by};

use super::PodSettings;
use crate::{source::FunctionSet, store::FunctionStore};

/// Builds the set and hands it to the runtime.
pub(super) struct Feed {
    runtime: String,
    /// Everything in the namespace, for this runtime or not.
    known: FunctionSet,
    /// What a listing has named so far.
    listed: Option<FunctionSet>,
    sender: Sender<Option<Arc<FunctionSet>>>,
}

impl Feed {
    /// Begins with what `sender` holds already.
    pub(super) fn new(settings: &PodSettings, sender: Sender<Option<Arc<FunctionSet>>>) -> Self {
        let known = sender.borrow().as_deref().cloned().unwrap_or_default();
        Self {
            runtime: settings.runtime.clone(),
            known,
            listed: None,
            sender,
        }
    }

    /// A listing begins.
    pub(super) fn begin(&mut self) {
        self.listed = Some(FunctionSet::new());
    }

    /// A listing names an object; unreadable, where there is no function.
    pub(super) fn listed(&mut self, name: &str, function: Option<WasmFunction>) {
        let function = function.map(slim).or_else(|| self.known.get(name).cloned());
        if let (Some(listed), Some(function)) = (&mut self.listed, function) {
            listed.insert(name.to_owned(), function);
        }
    }

    /// The listing is complete: what it did not name is gone.
    pub(super) fn complete(&mut self) {
        if let Some(listed) = self.listed.take() {
            self.known = listed;
            self.publish();
        }
    }

    /// An object is new or changed; unreadable, where there is no function.
    pub(super) fn changed(&mut self, name: &str, function: Option<WasmFunction>) {
        if let Some(function) = function {
            self.known.insert(name.to_owned(), slim(function));
            self.publish();
        }
    }

    /// An object is gone.
    pub(super) fn deleted(&mut self, name: &str) {
        if self.known.remove(name).is_some() {
            self.publish();
        }
    }

    fn publish(&self) {
        let set: FunctionSet = self
            .known
            .iter()
            .filter(|(_, function)| is_served_by(function, &self.runtime))
            .map(|(name, function)| (name.clone(), Arc::clone(function)))
            .collect();
        if self.sender.borrow().as_deref() == Some(&set) {
            return;
        }
        self.sender.send_replace(Some(Arc::new(set)));
    }
}

/// Writes each new set down, until the source is closed; of those that come while one is written,
/// only the last.
pub(super) async fn persist(store: FunctionStore, mut source: Receiver<Option<Arc<FunctionSet>>>) {
    let store = Arc::new(store);
    while source.changed().await.is_ok() {
        let Some(set) = source.borrow_and_update().clone() else {
            continue;
        };
        let store = Arc::clone(&store);
        let written = tokio::task::spawn_blocking(move || store.write(&set)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "the function list could not be written to disk");
        }
    }
}

/// The object without what nobody here reads.
fn slim(mut function: WasmFunction) -> Arc<WasmFunction> {
    function.metadata.managed_fields = None;
    function.metadata.resource_version = None;
    if let Some(status) = &mut function.status {
        // Only the resolution and the runtime that serves matter to a pod.
        status.conditions = Vec::new();
        status.replicas = 0;
        status.ready_replicas = 0;
    }
    Arc::new(function)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::function;
    use clap::Parser;
    use tokio::sync::watch::{Receiver, channel};
    use wasmfn_crds::Placement;

    fn feed_in(folder: &std::path::Path) -> (Feed, Receiver<Option<Arc<FunctionSet>>>) {
        let settings = PodSettings::parse_from([
            "wasmfn-runtime",
            "--namespace=team",
            "--pod-name=pod-1",
            "--runtime=wasmfn-shared",
        ]);
        let store = FunctionStore::open(folder).unwrap();
        let (sender, receiver) = channel(store.read().map(Arc::new));
        (Feed::new(&settings, sender), receiver)
    }

    fn names(receiver: &Receiver<Option<Arc<FunctionSet>>>) -> Option<Vec<String>> {
        let set = receiver.borrow();
        set.as_ref().map(|set| set.keys().cloned().collect())
    }

    #[tokio::test]
    async fn holds_what_its_runtime_serves_and_remembers_it() {
        let folder = tempfile::tempdir().unwrap();
        let (mut feed, receiver) = feed_in(folder.path());
        assert_eq!(names(&receiver), None);
        let mut dedicated = function("dedicated");
        dedicated.spec.placement = Placement::Dedicated;
        feed.begin();
        feed.listed("hello", Some(function("hello")));
        feed.listed("dedicated", Some(dedicated));
        assert_eq!(
            names(&receiver),
            None,
            "a listing counts when it is complete"
        );
        feed.complete();
        assert_eq!(names(&receiver).unwrap(), ["hello"]);

        // What came while nobody wrote is written as well.
        let mut written = receiver;
        written.mark_changed();
        let store = FunctionStore::open(folder.path()).unwrap();
        drop(feed);
        persist(store, written).await;
        let (_, restored) = feed_in(folder.path());
        assert_eq!(names(&restored).unwrap(), ["hello"]);
    }

    #[test]
    fn an_object_that_cannot_be_read_stays_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let (mut feed, receiver) = feed_in(folder.path());
        feed.begin();
        feed.listed("hello", Some(function("hello")));
        feed.complete();
        feed.changed("hello", None);
        feed.begin();
        feed.listed("hello", None);
        feed.listed("other", None);
        feed.complete();
        assert_eq!(names(&receiver).unwrap(), ["hello"]);
        feed.deleted("hello");
        assert!(names(&receiver).unwrap().is_empty());
    }

    #[test]
    fn a_change_that_no_pod_reads_wakes_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let (mut feed, mut receiver) = feed_in(folder.path());
        feed.changed("hello", Some(function("hello")));
        receiver.mark_unchanged();
        let mut touched = function("hello");
        touched.metadata.resource_version = Some("7".to_owned());
        feed.changed("hello", Some(touched));
        assert!(!receiver.has_changed().unwrap());
    }
}
