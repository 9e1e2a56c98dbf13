//! Marks the least busy pods, so that they are the ones that leave.

use std::sync::Arc;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;
use wasmfn_crds::names::{DELETION_COST_ANNOTATION, SCALE_FIELD_MANAGER};

use crate::{follow::Knowledge, reconcile::pod, telemetry::chain};

/// Cost of an idle pod that is to leave; each request in flight adds one. Below that of any pod that
/// nobody marked, which is 0, however much it has in flight.
const LEAVING_COST: i32 = -1_000_000_000;

/// A ready pod.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Busy {
    name: String,
    uid: String,
    /// Requests that it serves; the most there can be, where it does not say.
    in_flight: u32,
    /// The cost that it was marked with.
    cost: i32,
}

/// What to write on a pod.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Mark {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) cost: i32,
}

/// What to write on pods before all but `staying` of them leave. Kubernetes takes those first that
/// are not ready, so it matters only where ready ones that differ have to leave, and some stay.
///
/// Who leaves is counted from the pods and not from the replicas before: of an earlier, smaller
/// decrease Kubernetes may not have removed anything yet.
pub(super) fn marks(pods: &[Arc<Pod>], staying: u32, knowledge: &Knowledge) -> Vec<Mark> {
    let here = pods.iter().filter(|pod| !pod::is_leaving(pod));
    let (ready, unready): (Vec<_>, Vec<_>) = here.partition(|pod| pod::is_ready(pod));
    let staying = usize::try_from(staying).unwrap_or(usize::MAX);
    let leaving = (ready.len() + unready.len()).saturating_sub(staying);
    let ready = ready.into_iter().map(|pod| busy(pod, knowledge)).collect();
    choose(ready, leaving.saturating_sub(unready.len()))
}

fn choose(mut ready: Vec<Busy>, leaving: usize) -> Vec<Mark> {
    ready.sort_by(|left, right| (left.in_flight, &left.name).cmp(&(right.in_flight, &right.name)));
    let alike = ready
        .first()
        .zip(ready.last())
        .is_none_or(|(least, most)| least.in_flight == most.in_flight);
    if alike || leaving == 0 || leaving >= ready.len() {
        return Vec::new();
    }
    let cost = |index: usize, pod: &Busy| {
        if index < leaving {
            let most = LEAVING_COST.unsigned_abs() - 1;
            LEAVING_COST.saturating_add_unsigned(pod.in_flight.min(most))
        } else {
            // A mark from an earlier time, when it was meant to leave and did not.
            pod.cost.max(0)
        }
    };
    let costs = ready.iter().enumerate();
    costs
        .filter_map(|(index, pod)| {
            let cost = cost(index, pod);
            (cost != pod.cost).then(|| Mark {
                name: pod.name.clone(),
                uid: pod.uid.clone(),
                cost,
            })
        })
        .collect()
}

fn busy(pod: &Pod, knowledge: &Knowledge) -> Busy {
    let says = knowledge.with_runtime(&pod::id(pod), |view| {
        (view.connected && view.synced).then_some(view.pod.in_flight)
    });
    let cost = pod.annotations().get(DELETION_COST_ANNOTATION);
    Busy {
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        in_flight: says.flatten().unwrap_or(u32::MAX),
        cost: cost.and_then(|cost| cost.parse().ok()).unwrap_or(0),
    }
}

/// Writes the marks, all at the same time. A pod that is gone, or that may not be marked, keeps
/// nothing from being scaled.
///
/// # Errors
/// The API server could not be asked.
pub(super) async fn write(
    client: &Client,
    namespace: &str,
    marks: &[Mark],
) -> Result<(), kube::Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let written = join_all(marks.iter().map(|mark| write_one(&api, mark))).await;
    written.into_iter().collect()
}

async fn write_one(api: &Api<Pod>, mark: &Mark) -> Result<(), kube::Error> {
    // With the UID, so that a successor of the same name is not taken for this pod.
    let body = json!({
        "metadata": {
            "uid": mark.uid,
            "annotations": { DELETION_COST_ANNOTATION: mark.cost.to_string() },
        },
    });
    let params = PatchParams {
        field_manager: Some(SCALE_FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match api.patch(&mark.name, &params, &Patch::Merge(body)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if (400..500).contains(&status.code) => {
            let error = kube::Error::Api(status);
            tracing::info!(pod = mark.name, error = chain(&error), "cannot mark a pod");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(name: &str, in_flight: u32, cost: i32) -> Busy {
        Busy {
            name: name.into(),
            uid: format!("uid-{name}"),
            in_flight,
            cost,
        }
    }

    fn chosen(ready: &[Busy], leaving: usize) -> Vec<(String, i32)> {
        let marks = choose(ready.to_vec(), leaving);
        marks
            .into_iter()
            .map(|mark| (mark.name, mark.cost))
            .collect()
    }

    #[test]
    fn the_least_busy_leave_first() {
        let ready = [busy("a", 7, 0), busy("b", 0, 0), busy("c", 3, 0)];
        let expected = [
            ("b".to_owned(), LEAVING_COST),
            ("c".to_owned(), LEAVING_COST + 3),
        ];
        assert_eq!(chosen(&ready, 1), expected[..1]);
        assert_eq!(chosen(&ready, 2), expected);
    }

    #[test]
    fn nothing_is_written_where_it_does_not_matter() {
        let ready = [busy("a", 7, 0), busy("b", 0, 0)];
        assert!(chosen(&ready, 0).is_empty(), "unready ones leave");
        assert!(chosen(&ready, 2).is_empty(), "all leave");
        let alike = [busy("a", 2, 0), busy("b", 2, 0)];
        assert!(chosen(&alike, 1).is_empty(), "all are as busy");
        let marked = [busy("a", 7, 0), busy("b", 0, LEAVING_COST)];
        assert!(chosen(&marked, 1).is_empty(), "it is marked already");
    }

    #[test]
    fn an_old_mark_is_taken_back() {
        let ready = [
            busy("a", 0, 0),
            busy("b", 9, LEAVING_COST),
            busy("c", 5, 10),
        ];
        assert_eq!(
            chosen(&ready, 1),
            [("a".to_owned(), LEAVING_COST), ("b".to_owned(), 0)]
        );
    }

    #[test]
    fn whoever_says_nothing_counts_as_busy() {
        let ready = [busy("a", u32::MAX, 0), busy("b", 4_000_000_000, 0)];
        let marks = choose(ready.to_vec(), 1);
        assert_eq!(marks[0].name, "b");
        assert_eq!(marks[0].cost, -1, "below that of any pod without a mark");
    }
}
