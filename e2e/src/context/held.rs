//! Requests that a story holds open, and where they were begun.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::LogParams;

use super::Context;
use crate::http::Held;
use crate::wait::wait_until;

/// What the guest's paths `/hold` and `/started` log before the request's id.
const STARTED: &str = "started ";

impl Context {
    /// Opens `count` requests to a function, from outside, that end when they are let go.
    #[must_use]
    pub fn hold(&self, function: &str, count: usize) -> Held {
        Held::start(&self.gateway, &self.host(function), "/hold", count)
    }

    /// Ids of the requests that a pod's guests say were begun there; of its container before the last
    /// restart where `previous` says so.
    ///
    /// # Errors
    /// There is no such log.
    pub async fn begun_in(&self, pod: &str, previous: bool) -> Result<BTreeSet<String>> {
        let which = LogParams {
            previous,
            ..LogParams::default()
        };
        let log = self.api::<Pod>().logs(pod, &which).await?;
        Ok(log.lines().filter_map(begun).collect())
    }

    /// Kills the runtime in a pod, and gives the ids of the requests that its guests had begun by then.
    ///
    /// # Errors
    /// This cluster's nodes are not to be broken, or do not run it.
    pub async fn begun_when_killed(&self, pod: &Pod) -> Result<BTreeSet<String>> {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        let node = self.nodes()?.named(node.context("the pod has a node")?)?;
        let log = node.last_words(&pod.name_any(), "runtime").await?;
        Ok(log.lines().filter_map(begun).collect())
    }

    /// Waits until the function's pods have begun all of these requests, and gives their ids by pod.
    ///
    /// # Errors
    /// They have not within `deadline`.
    pub async fn begun(
        &self,
        function: &str,
        held: &Held,
        deadline: Duration,
    ) -> Result<Vec<(Pod, BTreeSet<String>)>> {
        let ours: BTreeSet<String> = held.ids().map(str::to_owned).collect();
        wait_until("the requests have begun", deadline, async || {
            let mut by_pod = Vec::new();
            for pod in self.pods_of(function).await? {
                let mut ids = self.begun_in(&pod.name_any(), false).await?;
                ids.retain(|id| ours.contains(id));
                by_pod.push((pod, ids));
            }
            let begun: usize = by_pod.iter().map(|(_, ids)| ids.len()).sum();
            if begun >= ours.len() {
                return Ok(Some(by_pod));
            }
            anyhow::bail!("{begun} of {} have", ours.len())
        })
        .await
    }
}

/// The id in a log line that says that a request was begun.
fn begun(line: &str) -> Option<String> {
    let (_, rest) = line.split_once(STARTED)?;
    let id: String = rest
        .chars()
        .take_while(|letter| letter.is_ascii_hexdigit() || *letter == '-')
        .collect();
    (!id.is_empty()).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_in_log_lines() {
        let line = r#"{"level":"INFO","fields":{"message":"started 1f00aa-12"},"target":"guest"}"#;
        assert_eq!(begun(line).as_deref(), Some("1f00aa-12"));
        assert_eq!(begun("the server has started "), None);
    }
}
