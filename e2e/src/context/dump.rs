//! What a failed story leaves to look at: objects, events and logs of both sides.

use super::{Context, STORY_LABEL};
use crate::process::Command;
use crate::settings::SYSTEM_NAMESPACE;

/// Lines of each container's log.
const LOG_LINES: &str = "--tail=150";

impl Context {
    /// Prints objects, events and logs of the story's namespaces and of wasmfn's own. What cannot be
    /// had is said in its place.
    pub async fn dump(&self) {
        let mut namespaces = self.story_namespaces().await;
        namespaces.push(SYSTEM_NAMESPACE.to_owned());
        for namespace in namespaces {
            if namespace != SYSTEM_NAMESPACE {
                let functions = ["get", "wasmfunctions", "--output=yaml"];
                self.print(&namespace, &functions).await;
            }
            let kinds = "deployments,pods,services,endpointslices";
            self.print(&namespace, &["get", kinds, "--output=wide"])
                .await;
            let events = ["get", "events", "--sort-by=.metadata.creationTimestamp"];
            self.print(&namespace, &events).await;
            self.print_logs(&namespace).await;
        }
    }

    async fn story_namespaces(&self) -> Vec<String> {
        let label = format!("{STORY_LABEL}={}", self.namespace);
        let list = self
            .cluster
            .kubectl()
            .args(["get", "namespaces", "--output=name"]);
        let list = list.args(["--selector", &label]).output().await;
        let names = list.unwrap_or_default();
        let names = names
            .lines()
            .map(|line| line.trim_start_matches("namespace/").to_owned());
        names.collect()
    }

    async fn print_logs(&self, namespace: &str) {
        let pods = self
            .kubectl_in(namespace)
            .args(["get", "pods", "--output=name"]);
        for pod in pods.output().await.unwrap_or_default().lines() {
            let logs = ["logs", pod, "--all-containers", "--timestamps", LOG_LINES];
            self.print(namespace, &logs).await;
            let previous = self.kubectl_in(namespace).args(logs).arg("--previous");
            // Most containers were never restarted and have no such log.
            if let Ok(log) = previous.output().await {
                eprintln!("----- {namespace}: previous log of {pod}\n{log}");
            }
        }
    }

    async fn print(&self, namespace: &str, arguments: &[&str]) {
        eprintln!("----- {namespace}: kubectl {}", arguments.join(" "));
        match self.kubectl_in(namespace).args(arguments).output().await {
            Ok(text) => eprintln!("{text}"),
            Err(error) => eprintln!("{error:#}"),
        }
    }

    fn kubectl_in(&self, namespace: &str) -> Command {
        self.cluster
            .kubectl()
            .args(["--request-timeout=15s", "--namespace", namespace])
    }
}
