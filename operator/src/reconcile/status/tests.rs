use serde_json::{Value, json};
use wasmfn_crds::{ConditionType, Reason, WasmFunction, condition::find, hosts::HostProblem};
use wasmfn_report::{FunctionId, Load, LoadedVersion, Resolution, RuntimeFunction};

use super::*;
use crate::{
    fixtures,
    follow::Routing,
    reconcile::{
        observed::{PodState, RuntimeState},
        validate::Problem,
    },
};

mod replicas;
mod reuse;
mod room;
mod routing;

const SHARED: &str = "wasmfn-shared";
const DEDICATED: &str = "wasmfn-fn-f";

fn digest(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

fn resolved(digit: char) -> Value {
    json!(wasmfn_crds::Resolved::new("r/x:1", "", &digest(digit)))
}

fn serving(digit: char, generation: i64, runtime: &str) -> Value {
    json!({ "digest": digest(digit), "generation": generation, "runtime": runtime })
}

fn function(spec: Value, status: Value) -> WasmFunction {
    let mut status = status;
    status["replicas"] = json!(0);
    status["readyReplicas"] = json!(0);
    fixtures::function("f", spec, status)
}

fn report(load: Load) -> RuntimeFunction {
    RuntimeFunction {
        function: FunctionId {
            namespace: "a".into(),
            name: "f".into(),
            uid: "uid-f".into(),
        },
        generation: 1,
        resolution: None,
        load,
        serving: None,
        in_flight: 0,
        full: false,
        guests_runnable: 0,
        memory_bytes: 0,
    }
}

fn loaded(digit: char, generation: i64) -> RuntimeFunction {
    RuntimeFunction {
        serving: Some(LoadedVersion {
            digest: digest(digit),
            generation,
            kind: "Component".into(),
            not_reused: false,
        }),
        ..report(Load::Loaded)
    }
}

fn failed(reason: &str) -> RuntimeFunction {
    report(Load::Failed {
        reason: reason.into(),
        message: "the pod's own sentence".into(),
        retrying: false,
    })
}

fn resolving_to(digit: char, image: &str) -> RuntimeFunction {
    RuntimeFunction {
        resolution: Some(Resolution {
            image: image.into(),
            resolve_at: String::new(),
            digest: digest(digit),
        }),
        ..report(Load::Waiting)
    }
}

fn pod(report: RuntimeFunction) -> PodState {
    PodState {
        ready: true,
        heard: true,
        report: Some(report),
        ..PodState::default()
    }
}

fn pods(pods: impl IntoIterator<Item = PodState>) -> RuntimeState {
    let pods: Vec<PodState> = pods.into_iter().collect();
    let count = i32::try_from(pods.len()).unwrap();
    RuntimeState {
        replicas: count,
        ready_replicas: count,
        failure: None,
        pods,
    }
}

struct World {
    function: WasmFunction,
    target: RuntimeState,
    serving: RuntimeState,
    problem: Option<Problem>,
    host_problems: Vec<HostProblem>,
    routing: Routing,
}

impl World {
    /// A shared function with the given status, whose pods say the given things.
    fn shared(old: Value, reports: impl IntoIterator<Item = RuntimeFunction>) -> Self {
        let target = pods(reports.into_iter().map(pod));
        Self {
            function: function(json!({}), old),
            serving: target.clone(),
            target,
            problem: None,
            host_problems: Vec::new(),
            routing: Routing::default(),
        }
    }

    fn status(&self) -> WasmFunctionStatus {
        let observed = Observed {
            function: &self.function,
            target: self.target.clone(),
            serving: self.serving.clone(),
            active: false,
            host_problems: &self.host_problems,
            routing: self.routing,
            problem: self.problem.clone(),
        };
        status(
            &observed,
            &fixtures::config(""),
            Timestamp::from_second(1_000).unwrap(),
        )
    }

    fn condition(&self, kind: ConditionType) -> (String, String) {
        let status = self.status();
        let condition = find(&status.conditions, kind).unwrap();
        (condition.status.clone(), condition.reason.clone())
    }
}

fn is(truth: &str, reason: Reason) -> (String, String) {
    (truth.to_owned(), reason.as_str().to_owned())
}

#[test]
fn a_new_function_becomes_ready_step_by_step() {
    let known = json!({ "resolved": resolved('a') });
    let steps = [
        (json!({}), None, is("Unknown", Reason::Pending)),
        (
            json!({}),
            Some(report(Load::Resolving)),
            is("Unknown", Reason::Resolving),
        ),
        (
            known.clone(),
            Some(report(Load::Pulling)),
            is("Unknown", Reason::Pulling),
        ),
        (
            known.clone(),
            Some(report(Load::Compiling)),
            is("Unknown", Reason::Compiling),
        ),
        (known, Some(loaded('a', 1)), is("True", Reason::Answering)),
    ];
    for (old, report, ready) in steps {
        let world = World::shared(old, report.clone());
        assert_eq!(world.condition(ConditionType::Ready), ready, "{report:?}");
    }
}

#[test]
fn all_seven_conditions_are_there_from_the_start() {
    let status = World::shared(json!({}), []).status();
    let kinds: Vec<&str> = status
        .conditions
        .iter()
        .map(|condition| condition.type_.as_str())
        .collect();
    assert_eq!(
        kinds,
        [
            "Active", "Degraded", "Loaded", "Ready", "Resolved", "Routed", "Serving"
        ]
    );
    assert_eq!(status.observed_generation, Some(1));
    assert_eq!(status.url.as_deref(), Some("https://f.a.example.com"));
    assert_eq!(status.internal_url.as_deref(), Some("http://f.a.svc"));
    assert_eq!(
        status.selector.as_deref(),
        Some(
            "app.kubernetes.io/component=runtime,app.kubernetes.io/name=wasmfn,wasmfn.dev/runtime=wasmfn-shared"
        )
    );
}

#[test]
fn a_cluster_function_has_no_url_outside() {
    let mut world = World::shared(json!({}), []);
    world.function = function(json!({ "route": { "visibility": "Cluster" } }), json!({}));
    assert_eq!(world.status().url, None);
}

#[test]
fn the_first_resolution_of_the_right_image_is_recorded() {
    let mut world = World::shared(
        json!({}),
        [
            resolving_to('c', "r/other:1"),
            resolving_to('b', "r/x:1"),
            resolving_to('a', "r/x:1"),
        ],
    );
    world.serving = RuntimeState::default();
    for (pod, order) in world.target.pods.iter_mut().zip([1, 9, 4]) {
        pod.resolved_at = order;
    }
    assert_eq!(world.status().resolved.unwrap().digest, digest('a'));
}

#[test]
fn a_recorded_resolution_stays_whatever_pods_say() {
    let world = World::shared(
        json!({ "resolved": resolved('a') }),
        [resolving_to('b', "r/x:1")],
    );
    assert_eq!(world.status().resolved.unwrap().digest, digest('a'));
}

#[test]
fn nonsense_is_no_digest() {
    let mut report = resolving_to('a', "r/x:1");
    report.resolution.as_mut().unwrap().digest = "sha256:abc".into();
    assert_eq!(World::shared(json!({}), [report]).status().resolved, None);
}

#[test]
fn a_new_asking_is_resolved_anew_while_the_old_answer_stays_on_record() {
    let mut world = World::shared(
        json!({ "resolved": resolved('a'), "serving": serving('a', 1, SHARED) }),
        [loaded('a', 1)],
    );
    let annotations = world.function.metadata.annotations.get_or_insert_default();
    annotations.insert("wasmfn.dev/resolve-at".into(), "now".into());
    let status = world.status();
    assert_eq!(status.resolved.unwrap().digest, digest('a'));
    assert_eq!(world.condition(ConditionType::Resolved).0, "Unknown");
    assert_eq!(world.condition(ConditionType::Ready).0, "Unknown");
    assert_eq!(
        world.condition(ConditionType::Serving),
        is("True", Reason::OlderVersion)
    );
}

#[test]
fn a_failure_has_the_runtimes_own_reason_and_sentence() {
    for (word, reason) in [
        ("NotWasm", Reason::NotWasm),
        ("Brand-new", Reason::LoadFailed),
    ] {
        let world = World::shared(json!({ "resolved": resolved('a') }), [failed(word)]);
        assert_eq!(world.condition(ConditionType::Ready), is("False", reason));
        assert_eq!(world.condition(ConditionType::Loaded), is("False", reason));
        assert_eq!(world.condition(ConditionType::Resolved).0, "True");
        assert_eq!(
            world.condition(ConditionType::Serving),
            is("False", Reason::NothingLoaded)
        );
        let status = world.status();
        let ready = find(&status.conditions, ConditionType::Ready).unwrap();
        assert_eq!(ready.message, "the pod's own sentence");
    }
    let unresolved = World::shared(json!({}), [failed("ImageNotFound")]);
    assert_eq!(
        unresolved.condition(ConditionType::Resolved),
        is("False", Reason::ImageNotFound)
    );
    assert_eq!(
        unresolved.condition(ConditionType::Loaded),
        is("Unknown", Reason::Pending)
    );
}

#[test]
fn an_older_version_that_still_answers_is_serving() {
    let mut newest = failed("NotWasm");
    newest.generation = 2;
    newest.serving = loaded('a', 1).serving;
    let mut world = World::shared(
        json!({ "resolved": resolved('b'), "serving": serving('a', 1, SHARED) }),
        [newest],
    );
    world.function.metadata.generation = Some(2);
    assert_eq!(
        world.condition(ConditionType::Ready),
        is("False", Reason::NotWasm)
    );
    assert_eq!(
        world.condition(ConditionType::Serving),
        is("True", Reason::OlderVersion)
    );
    assert_eq!(world.status().serving.unwrap().digest, digest('a'));
}

#[test]
fn pods_that_disagree_are_degraded() {
    let world = World::shared(
        json!({ "resolved": resolved('a') }),
        [loaded('a', 1), failed("CompileFailed")],
    );
    assert_eq!(
        world.condition(ConditionType::Degraded),
        is("True", Reason::SomePodsFailed)
    );
    assert_eq!(
        world.condition(ConditionType::Ready),
        is("True", Reason::Answering)
    );
}

#[test]
fn a_function_without_pods_that_was_loaded_stays_ready() {
    let old = json!({ "resolved": resolved('a'), "serving": serving('a', 1, SHARED) });
    let mut world = World::shared(old.clone(), []);
    assert_eq!(
        world.condition(ConditionType::Ready),
        is("True", Reason::Idle)
    );
    assert_eq!(
        world.condition(ConditionType::Serving),
        is("True", Reason::Idle)
    );
    assert_eq!(world.status().serving.unwrap().digest, digest('a'));
    world.function.metadata.generation = Some(2);
    assert_eq!(
        world.condition(ConditionType::Ready).0,
        "Unknown",
        "another generation"
    );
    let starting = PodState::default();
    world.target = pods([starting]);
    assert_eq!(
        world.condition(ConditionType::Ready),
        is("Unknown", Reason::PodsStarting)
    );
}

#[test]
fn pods_that_cannot_start_say_why() {
    let stuck = PodState {
        trouble: Some(Problem::new(
            Reason::Unschedulable,
            "0/2 nodes are available",
        )),
        ..PodState::default()
    };
    let mut world = World::shared(json!({}), []);
    world.target = pods([stuck]);
    assert_eq!(
        world.condition(ConditionType::Ready),
        is("False", Reason::Unschedulable)
    );
    world.target = RuntimeState {
        failure: Some(Problem::new(Reason::OverQuota, "exceeded quota: q")),
        ..RuntimeState::default()
    };
    assert_eq!(
        world.condition(ConditionType::Ready),
        is("False", Reason::OverQuota)
    );
    let answering = World::shared(json!({ "resolved": resolved('a') }), [loaded('a', 1)]);
    let mut more = answering.target.clone();
    more.failure = Some(Problem::new(Reason::OverQuota, "exceeded quota: q"));
    let world = World {
        target: more,
        ..answering
    };
    assert_eq!(
        world.condition(ConditionType::Ready).0,
        "True",
        "what answers, answers"
    );
}

#[test]
fn a_suspended_function_is_not_ready() {
    let mut world = World::shared(json!({ "resolved": resolved('a') }), [loaded('a', 1)]);
    world.function.spec.suspend = true;
    assert_eq!(
        world.condition(ConditionType::Ready),
        is("False", Reason::Suspended)
    );
    assert_eq!(
        world.condition(ConditionType::Serving),
        is("False", Reason::Suspended)
    );
}

#[test]
fn a_move_is_over_only_when_a_ready_pod_there_serves_the_current_version() {
    let old = json!({ "resolved": resolved('a'), "serving": serving('a', 1, SHARED) });
    let mut unready = pod(loaded('a', 2));
    unready.ready = false;
    for (pod, runtime) in [
        (unready, SHARED),
        (pod(loaded('a', 1)), SHARED),
        (pod(loaded('a', 2)), DEDICATED),
    ] {
        let mut moving = function(json!({ "placement": "Dedicated" }), old.clone());
        moving.metadata.generation = Some(2);
        let world = World {
            function: moving,
            target: pods([pod.clone()]),
            serving: pods([self::pod(loaded('a', 1))]),
            problem: None,
            host_problems: Vec::new(),
            routing: Routing::default(),
        };
        let serving = world.status().serving.unwrap();
        assert_eq!(serving.runtime, runtime, "{pod:?}");
        let answers = runtime == DEDICATED;
        assert_eq!(world.condition(ConditionType::Ready).0 == "True", answers);
        let reason = if answers {
            Reason::Answering
        } else {
            Reason::OlderVersion
        };
        assert_eq!(world.condition(ConditionType::Serving), is("True", reason));
    }
}

#[test]
fn pods_that_leave_or_are_not_heard_do_not_count() {
    for spoil in [
        |pod: &mut PodState| pod.leaving = true,
        |pod: &mut PodState| pod.heard = false,
    ] {
        let mut world = World::shared(json!({ "resolved": resolved('a') }), [loaded('a', 1)]);
        spoil(&mut world.target.pods[0]);
        assert_ne!(world.condition(ConditionType::Ready).0, "True");
        assert_eq!(world.status().serving, None);
    }
}

#[test]
fn an_unchanged_world_gives_an_unchanged_status() {
    let mut world = World::shared(json!({ "resolved": resolved('a') }), [loaded('a', 1)]);
    let first = world.status();
    assert_eq!(first.kind, Some(ModuleKind::Component));
    world.function.status = Some(first.clone());
    let observed = Observed {
        function: &world.function,
        target: world.target.clone(),
        serving: world.serving.clone(),
        active: false,
        host_problems: &[],
        routing: Routing::default(),
        problem: None,
    };
    let later = Timestamp::from_second(9_000).unwrap();
    assert_eq!(status(&observed, &fixtures::config(""), later), first);
}
