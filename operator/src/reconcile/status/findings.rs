//! The conditions of a function.

use wasmfn_crds::{
    ConditionType, Reason, Resolved, Serving,
    condition::{Finding, Truth},
    hosts::HostProblem,
    names::runtime_of,
};

use super::progress::{Progress, progress};
use crate::{
    follow::Routing,
    reconcile::{
        observed::{Observed, failed, is_current, is_settled},
        validate::Problem,
    },
};

/// Without a number, which would have the status written for each gateway that hears of it.
const BEHIND: &str = "a gateway has not heard of this generation yet";

/// Unlike `suspend`, it is what an autoscaler of somebody else's may have written.
const NO_REPLICAS: &str =
    "`replicas` is 0: requests wait for a pod that nobody starts; set it to 1 or more";

/// All seven conditions.
pub(super) fn findings(
    observed: &Observed<'_>,
    resolved: Option<&Resolved>,
    serving: Option<&Serving>,
) -> Vec<Finding> {
    let progress = progress(observed, resolved, serving);
    let on_record = observed
        .function
        .status
        .as_ref()
        .and_then(|status| status.serving.as_ref());
    let serving = serving.or(on_record);
    vec![
        ready(observed, &progress),
        resolution(resolved, &progress),
        loaded(observed, resolved, &progress),
        routed(observed, &progress),
        answers(observed, resolved, serving),
        degraded(observed, resolved),
        active(observed),
    ]
}

fn finding(
    kind: ConditionType,
    truth: Truth,
    reason: Reason,
    message: impl Into<String>,
) -> Finding {
    Finding {
        kind,
        truth,
        reason,
        message: message.into(),
    }
}

fn because(kind: ConditionType, truth: Truth, problem: &Problem) -> Finding {
    finding(kind, truth, problem.reason, problem.message.clone())
}

/// About the current generation, under its own host: hosts that it lacks are `Routed`'s to tell.
fn ready(observed: &Observed<'_>, progress: &Progress) -> Finding {
    let kind = ConditionType::Ready;
    if let Some(problem) = &observed.problem {
        return because(kind, Truth::False, problem);
    }
    if observed.function.spec.suspend {
        let message = "`suspend` is set: every request is answered 503";
        return finding(kind, Truth::False, Reason::Suspended, message);
    }
    if observed.function.spec.replicas == Some(0) {
        return finding(kind, Truth::False, Reason::NoReplicas, NO_REPLICAS);
    }
    if waits_for_gateways(observed, progress) {
        return finding(kind, Truth::Unknown, Reason::GatewaysBehind, BEHIND);
    }
    match progress {
        Progress::Loaded => finding(kind, Truth::True, Reason::Answering, "it answers"),
        Progress::Idle => {
            let message = "it would answer after waking up";
            finding(kind, Truth::True, Reason::Idle, message)
        }
        Progress::Failed(problem) => because(kind, Truth::False, problem),
        Progress::Underway(problem) => because(kind, Truth::Unknown, problem),
    }
}

fn resolution(resolved: Option<&Resolved>, progress: &Progress) -> Finding {
    let kind = ConditionType::Resolved;
    if let Some(resolved) = resolved {
        let message = format!("`{}` is {}", resolved.image, resolved.digest);
        return finding(kind, Truth::True, Reason::DigestKnown, message);
    }
    match progress {
        Progress::Failed(problem) => because(kind, Truth::False, problem),
        Progress::Underway(problem) => because(kind, Truth::Unknown, problem),
        // Nothing is settled before it is resolved.
        Progress::Loaded | Progress::Idle => {
            finding(kind, Truth::Unknown, Reason::Pending, "not resolved yet")
        }
    }
}

fn loaded(observed: &Observed<'_>, resolved: Option<&Resolved>, progress: &Progress) -> Finding {
    let kind = ConditionType::Loaded;
    if resolved.is_none() {
        let message = "the digest is not known yet";
        return finding(kind, Truth::Unknown, Reason::Pending, message);
    }
    let is_reused = !observed
        .current_reports()
        .filter_map(|report| report.serving.as_ref())
        .filter(|version| is_current(observed.function, resolved, version))
        .any(|version| version.not_reused);
    match progress {
        Progress::Loaded if !is_reused => {
            let message = "pulled, compiled and linked; its instances failed at requests after their \
                           first, so `reuse` is given up and each request gets a fresh one";
            finding(kind, Truth::True, Reason::NotReused, message)
        }
        Progress::Loaded => {
            let message = "pulled, compiled and linked";
            finding(kind, Truth::True, Reason::ModuleLoaded, message)
        }
        Progress::Idle => {
            let message = "it was loaded, and is again when somebody asks for it";
            finding(kind, Truth::True, Reason::Idle, message)
        }
        Progress::Failed(problem) => because(kind, Truth::False, problem),
        Progress::Underway(problem) => because(kind, Truth::Unknown, problem),
    }
}

/// Whether only gateways that have not heard of the current generation keep it from being ready.
fn waits_for_gateways(observed: &Observed<'_>, progress: &Progress) -> bool {
    let is_up = matches!(progress, Progress::Loaded | Progress::Idle);
    is_up && observed.routing == Routing::Behind
}

fn routed(observed: &Observed<'_>, progress: &Progress) -> Finding {
    let kind = ConditionType::Routed;
    let Some(first) = observed.host_problems.first() else {
        // Not before: in most changes they have heard of it by then.
        if waits_for_gateways(observed, progress) {
            return finding(kind, Truth::Unknown, Reason::GatewaysBehind, BEHIND);
        }
        let message = "its hosts lead to it";
        return finding(kind, Truth::True, Reason::HostsAssigned, message);
    };
    let reason = match first {
        HostProblem::NotAllowed { .. } => Reason::HostNotAllowed,
        HostProblem::Taken { .. } => Reason::HostTaken,
    };
    let sentences: Vec<String> = observed
        .host_problems
        .iter()
        .map(ToString::to_string)
        .collect();
    finding(kind, Truth::False, reason, sentences.join("; "))
}

/// Whether some version answers, or would after waking up.
fn answers(
    observed: &Observed<'_>,
    resolved: Option<&Resolved>,
    serving: Option<&Serving>,
) -> Finding {
    let kind = ConditionType::Serving;
    if observed.function.spec.suspend {
        return finding(kind, Truth::False, Reason::Suspended, "`suspend` is set");
    }
    let Some(serving) = serving else {
        let message = "no version has answered yet";
        return finding(kind, Truth::False, Reason::NothingLoaded, message);
    };
    let place = if serving.runtime == runtime_of(observed.function) {
        &observed.target
    } else {
        &observed.serving
    };
    let any = place.reports().any(|report| report.serving.is_some());
    if !any && observed.function.spec.replicas == Some(0) {
        return finding(kind, Truth::False, Reason::NoReplicas, NO_REPLICAS);
    }
    let broken =
        place.trouble().is_some() || place.reports().any(|report| failed(report).is_some());
    if !any && broken {
        let message = "no pod has a version that answers";
        return finding(kind, Truth::False, Reason::NothingLoaded, message);
    }
    if !is_settled(observed.function, resolved, Some(serving)) {
        let message = format!(
            "generation {} with {} in `{}` answers until the current one can",
            serving.generation, serving.digest, serving.runtime
        );
        return finding(kind, Truth::True, Reason::OlderVersion, message);
    }
    if any {
        finding(kind, Truth::True, Reason::Answering, "it answers")
    } else {
        let message = "it would answer after waking up";
        finding(kind, Truth::True, Reason::Idle, message)
    }
}

fn degraded(observed: &Observed<'_>, resolved: Option<&Resolved>) -> Finding {
    let kind = ConditionType::Degraded;
    let serves = observed
        .current_reports()
        .filter_map(|report| report.serving.as_ref())
        .any(|version| is_current(observed.function, resolved, version));
    if let Some((word, message)) = observed.failure().filter(|_| serves) {
        let message = format!("some pods cannot load it ({word}: {message})");
        return finding(kind, Truth::True, Reason::SomePodsFailed, message);
    }
    // Whoever is not asked for does not miss them.
    let missed = serves && observed.active;
    if let Some(problem) = observed.target.lack_of_room().filter(|_| missed) {
        let message = format!(
            "there is no room for pods that were asked for: {}",
            problem.message
        );
        return finding(kind, Truth::True, problem.reason, message);
    }
    let message = "no pod fails where others serve";
    finding(kind, Truth::False, Reason::PodsAgree, message)
}

fn active(observed: &Observed<'_>) -> Finding {
    let kind = ConditionType::Active;
    if observed.active {
        let message = "requests are there or were a moment ago, or pods of its own are";
        finding(kind, Truth::True, Reason::InUse, message)
    } else {
        let message = "it holds no request and no pod of its own";
        finding(kind, Truth::False, Reason::Idle, message)
    }
}
