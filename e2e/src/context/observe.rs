//! One object, watched: what became of it, and when.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::TryStreamExt;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use wasmfn_crds::names;

use super::Context;

/// Longest wait for the first picture.
const FIRST_DEADLINE: Duration = Duration::from_secs(30);

/// What was seen of an object, in order, with the time at which it was heard.
pub struct Observed<T> {
    seen: watch::Receiver<Vec<(Instant, T)>>,
    task: JoinHandle<()>,
}

impl<T> Drop for Observed<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Replicas of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replicas {
    /// `spec.replicas`.
    pub desired: i32,
    /// `status.readyReplicas`.
    pub ready: i32,
}

impl Context {
    /// Watches one object of the namespace, and keeps what `look` makes of it whenever that changes.
    ///
    /// # Errors
    /// Nothing is heard of it within half a minute.
    pub async fn observe<K, T>(
        &self,
        name: &str,
        look: impl Fn(&K) -> T + Send + Sync + 'static,
    ) -> Result<Observed<T>>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
        K: Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
        T: Clone + PartialEq + Send + Sync + 'static,
    {
        let api: Api<K> = self.api();
        let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let (heard, mut seen) = watch::channel(Vec::new());
        let task = tokio::spawn(async move {
            let objects = watcher(api, only).default_backoff().applied_objects();
            let told = objects.try_for_each(|object| {
                note(&heard, look(&object));
                futures::future::ok(())
            });
            // Only an API server that refuses ends it; whoever waits then says what they miss.
            let _ = told.await;
        });
        let first = seen.wait_for(|seen: &Vec<_>| !seen.is_empty());
        let first = tokio::time::timeout(FIRST_DEADLINE, first).await;
        first.with_context(|| format!("nothing is heard of {name}"))??;
        Ok(Observed { seen, task })
    }

    /// Watches the replicas of a Dedicated function's deployment.
    ///
    /// # Errors
    /// As [`Self::observe`].
    pub async fn observe_replicas(&self, function: &str) -> Result<Observed<Replicas>> {
        let name = names::dedicated_runtime(function);
        self.observe(&name, |deployment: &Deployment| Replicas {
            desired: deployment
                .spec
                .as_ref()
                .and_then(|spec| spec.replicas)
                .unwrap_or(1),
            ready: deployment
                .status
                .as_ref()
                .and_then(|status| status.ready_replicas)
                .unwrap_or(0),
        })
        .await
    }
}

fn note<T: Clone + PartialEq>(heard: &watch::Sender<Vec<(Instant, T)>>, now: T) {
    heard.send_if_modified(|seen| {
        let is_new = seen.last().is_none_or(|(_, last)| *last != now);
        if is_new {
            seen.push((Instant::now(), now));
        }
        is_new
    });
}

impl<T: Clone + PartialEq + std::fmt::Debug> Observed<T> {
    /// All that was seen so far.
    #[must_use]
    pub fn all(&self) -> Vec<(Instant, T)> {
        self.seen.borrow().clone()
    }

    /// Waits until `holds` says so of the object at `since` or later, and gives how long after
    /// `since` that was.
    ///
    /// # Errors
    /// It does not within `deadline`; says what was seen.
    pub async fn until(
        &self,
        since: Instant,
        what: &str,
        deadline: Duration,
        holds: impl Fn(&T) -> bool,
    ) -> Result<Duration> {
        let mut seen = self.seen.clone();
        let found = seen.wait_for(|seen| first(seen, since, &holds).is_some());
        match tokio::time::timeout(deadline, found).await {
            Ok(Ok(seen)) => first(&seen, since, &holds).context("it was just there"),
            _ => anyhow::bail!(
                "waited {} s in vain until {what}; seen since: {:?}",
                deadline.as_secs(),
                self.since(since)
            ),
        }
    }

    /// What was seen at `since` and after it.
    #[must_use]
    pub fn since(&self, since: Instant) -> Vec<T> {
        let seen = self.seen.borrow();
        let before = seen.iter().filter(|(at, _)| *at <= since).count();
        let kept = seen.iter().skip(before.saturating_sub(1));
        kept.map(|(_, value)| value.clone()).collect()
    }
}

impl Observed<Replicas> {
    /// Waits until just `count` replicas are asked for, and gives how long after `since` that was.
    ///
    /// # Errors
    /// As [`Self::until`].
    pub async fn asked_for(
        &self,
        since: Instant,
        count: i32,
        within: Duration,
    ) -> Result<Duration> {
        let what = format!("{count} replicas are asked for");
        self.until(since, &what, within, |seen| seen.desired == count)
            .await
    }

    /// Waits until just `count` pods are ready, and gives how long after `since` that was.
    ///
    /// # Errors
    /// As [`Self::until`].
    pub async fn are_ready(
        &self,
        since: Instant,
        count: i32,
        within: Duration,
    ) -> Result<Duration> {
        let what = format!("{count} pods are ready");
        self.until(since, &what, within, |seen| seen.ready == count)
            .await
    }
}

/// How long after `since` it first held; zero where it did already.
fn first<T>(seen: &[(Instant, T)], since: Instant, holds: impl Fn(&T) -> bool) -> Option<Duration> {
    let before = seen.iter().filter(|(at, _)| *at <= since).count();
    let relevant = seen.iter().skip(before.saturating_sub(1));
    let found = relevant.into_iter().find(|(_, value)| holds(value));
    found.map(|(at, _)| at.saturating_duration_since(since))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_runs_from_since_and_what_held_before_counts_only_if_it_still_does() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let seen = [(start, 1), (start + second, 2), (start + 3 * second, 1)];
        assert_eq!(
            first(&seen, start, |value| *value == 1),
            Some(Duration::ZERO)
        );
        let later = start + 2 * second;
        assert_eq!(first(&seen, later, |value| *value == 1), Some(second));
        assert_eq!(
            first(&seen, later, |value| *value == 2),
            Some(Duration::ZERO)
        );
        assert_eq!(first(&seen, later, |value| *value == 3), None);
    }
}
