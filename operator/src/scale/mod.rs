//! Scales runtime deployments. The scaler alone writes `replicas`.
//!
//! Whatever may change a decision wakes it: what pods and gateways say, what the API server tells,
//! and the time at which a decision said that time alone changes it. The standby watches in the same
//! way and writes nothing, so that it decides from knowledge once it leads.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::api::apps::v1::Deployment;
use kube::{ResourceExt, runtime::events::Event};
use tokio::task::JoinSet;

mod act;
mod agenda;
mod cached;
mod collect;
mod deletion_cost;
mod metrics;
mod room;
mod tell;
#[cfg(test)]
mod tests;
mod usage;
mod watched;
mod write;

use crate::context::Context;
use act::{Change, Outcome};
use agenda::Agenda;
use cached::Cached;
use collect::Namespace;
pub use metrics::ScaleMetrics;
use watched::{Step, Watched};

/// How often all namespaces are looked at without any reason: a net under the wakes. A history that
/// nobody adds to for three times as long begins anew.
const SAFETY_NET: Duration = Duration::from_secs(10);

/// Whether this operator writes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Role {
    Standby,
    Leader,
}

/// Watches runtime deployments, and scales them.
pub struct Scaler {
    context: Arc<Context>,
    agenda: Agenda,
    all_at: Instant,
    deployments: HashMap<String, Watched>,
    changes: JoinSet<Option<Outcome>>,
}

impl Scaler {
    /// Knows of no deployment yet.
    #[must_use]
    pub fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            agenda: Agenda::default(),
            all_at: Instant::now(),
            deployments: HashMap::new(),
            changes: JoinSet::new(),
        }
    }

    /// Watches for as long as it is polled, and writes nothing.
    pub async fn watch(&mut self) {
        self.go_on(Role::Standby).await;
    }

    /// Scales for as long as it is polled.
    pub async fn run(&mut self) {
        self.all_at = Instant::now();
        self.go_on(Role::Leader).await;
    }

    async fn go_on(&mut self, role: Role) {
        loop {
            let now = Instant::now();
            for namespace in self.context.namespaces.take() {
                self.agenda.at(&namespace, now);
            }
            if self.all_at <= now {
                self.look_at_all(now);
            }
            let due = self.agenda.take_due(now);
            if !due.is_empty() {
                self.look_at(&due, role, now);
            }
            let next = self
                .agenda
                .next()
                .map_or(self.all_at, |at| at.min(self.all_at));
            tokio::select! {
                () = tokio::time::sleep_until(next.into()) => {}
                () = self.context.namespaces.ring() => {}
                Some(ended) = self.changes.join_next() => {
                    if let Ok(Some(outcome)) = ended {
                        self.changed(outcome);
                    }
                }
            }
        }
    }

    fn look_at_all(&mut self, now: Instant) {
        self.all_at = now + SAFETY_NET;
        let deployments = self.context.caches.deployments.state();
        let there: HashSet<String> = deployments.iter().filter_map(|one| one.uid()).collect();
        let metrics = &self.context.metrics.scale;
        self.deployments.retain(|uid, watched| {
            let stays = there.contains(uid);
            if !stays {
                metrics.gone(watched.deployment());
            }
            stays
        });
        let namespaces: HashSet<String> = deployments
            .iter()
            .filter_map(|one| one.namespace())
            .collect();
        self.agenda
            .retain(|namespace| namespaces.contains(namespace));
        for namespace in &namespaces {
            self.agenda.at(namespace, now);
        }
    }

    /// Decides on the runtime deployments of some namespaces.
    fn look_at(&mut self, due: &BTreeSet<String>, role: Role, now: Instant) {
        let context = Arc::clone(&self.context);
        let cached = Cached::new(&context.caches, due);
        for name in due {
            let begun = Instant::now();
            let namespace = Namespace::new(&context, name, &cached);
            for deployment in cached.deployments.get(name).into_iter().flatten() {
                if deployment.metadata.deletion_timestamp.is_none()
                    && let Some(at) = self.decide(&namespace, deployment, role, now)
                {
                    self.agenda.at(name, at);
                }
            }
            self.agenda.took(name, begun.elapsed(), now);
        }
    }

    /// Decides on one deployment; says when to do so again without any news.
    fn decide(
        &mut self,
        namespace: &Namespace<'_>,
        deployment: &Arc<Deployment>,
        role: Role,
        now: Instant,
    ) -> Option<Instant> {
        let (uid, pods) = (deployment.uid()?, namespace.pods(&deployment.name_any()));
        let watched = self
            .deployments
            .entry(uid)
            .or_insert_with(|| Watched::new(deployment));
        let inputs = watched.observe(namespace, deployment, now);
        if role == Role::Standby {
            return None;
        }
        let decision = watched.decide(&inputs, now);
        let metrics = &self.context.metrics.scale;
        metrics.decided(deployment, inputs.current, &decision);
        if watched.turns_to(decision.cause) {
            tell::decided(deployment, inputs.current, &decision);
        }
        let begins_to_lack = watched.begins_to_lack(&decision);
        let step = watched.step(&decision, inputs.current, now);
        if begins_to_lack && let Some(problem) = room::problem(deployment, pods) {
            tell::lacks_room(deployment, &decision, &problem);
            self.publish(deployment, tell::no_room(&problem));
        }
        match step {
            Step::Rest { until } => until,
            Step::Change => {
                let staying = decision.replicas;
                self.carry_out(Change {
                    deployment: Arc::clone(deployment),
                    from: inputs.current,
                    decision,
                    marks: deletion_cost::marks(pods, staying, &self.context.knowledge),
                    decided_at: now,
                });
                decision.again_at
            }
        }
    }

    fn carry_out(&mut self, change: Change) {
        let context = Arc::clone(&self.context);
        self.changes
            .spawn(async move { Some(act::carry_out(&context, change).await) });
    }

    fn publish(&mut self, deployment: &Arc<Deployment>, event: Event) {
        let (context, deployment) = (Arc::clone(&self.context), Arc::clone(deployment));
        self.changes.spawn(async move {
            tell::publish(&context, &deployment, &event).await;
            None
        });
    }

    /// A change was carried out, or could not be: what has come up meanwhile is looked at.
    fn changed(&mut self, outcome: Outcome) {
        let now = Instant::now();
        let Outcome { change, written } = outcome;
        let uid = change.deployment.uid().unwrap_or_default();
        if let Some(watched) = self.deployments.get_mut(&uid) {
            watched.changed(written, now);
        }
        let namespace = change.deployment.namespace().unwrap_or_default();
        self.agenda.at(&namespace, now);
        if written.is_some() {
            let event = tell::change(change.from, &change.decision);
            self.publish(&change.deployment, event);
        }
    }
}
