use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue},
    routing::get,
};
use futures::StreamExt;
use http::StatusCode;
use tokio::{net::TcpListener, sync::mpsc, time::timeout};
use wasmfn_crds::hosts::FunctionKey;
use wasmfn_report::{
    FunctionId, GatewayFunction, GatewayLine, LINE_MAX_BYTES, Load, PodState, Resolution,
    RuntimeFunction, RuntimeLine,
};

use super::{
    stream::{Happening, follow},
    *,
};
use crate::wake::Wakes;

mod routing;

fn id(name: &str) -> FunctionId {
    FunctionId {
        namespace: "a".into(),
        name: name.into(),
        uid: format!("uid-{name}"),
    }
}

fn key(name: &str) -> FunctionKey {
    FunctionKey {
        namespace: "a".into(),
        name: name.into(),
    }
}

fn function(name: &str) -> RuntimeFunction {
    RuntimeFunction {
        function: id(name),
        generation: 1,
        resolution: None,
        load: Load::Waiting,
        serving: None,
        in_flight: 0,
        full: false,
        guests_runnable: 0,
        memory_bytes: 0,
    }
}

fn demand(name: &str, in_flight: u32) -> GatewayLine {
    GatewayLine::Function(GatewayFunction {
        function: id(name),
        in_flight,
        queued: 0,
    })
}

fn pod(name: &str) -> PodId {
    PodId {
        namespace: "a".into(),
        name: name.into(),
        uid: name.into(),
    }
}

#[test]
fn a_new_picture_takes_over_from_the_old_one_at_its_end() {
    let mut view = RuntimeView::new("a");
    view.opened();
    for name in ["x", "y"] {
        view.take(RuntimeLine::Function(function(name)), 1);
    }
    let told = view.take(RuntimeLine::Synced, 2);
    assert_eq!(told, [key("x"), key("y")], "the first picture is news");
    view.closed();
    assert!(
        view.report(&key("y"), "uid-y").is_some(),
        "what was said stays"
    );
    view.opened();
    assert!(
        view.take(RuntimeLine::Function(function("x")), 3)
            .is_empty()
    );
    assert_eq!(view.take(RuntimeLine::Synced, 4), [key("y")]);
    assert!(view.report(&key("y"), "uid-y").is_none());
}

#[test]
fn a_pod_is_heard_only_about_its_own_namespace_and_the_object_it_means() {
    let mut view = RuntimeView::new("a");
    let mut foreign = function("x");
    foreign.function.namespace = "b".into();
    assert!(view.take(RuntimeLine::Function(foreign), 1).is_empty());
    assert_eq!(view.functions().count(), 0);
    view.take(RuntimeLine::Function(function("x")), 2);
    assert!(view.report(&key("x"), "uid-x").is_some());
    assert!(view.report(&key("x"), "its successor").is_none());
}

#[test]
fn numbers_that_move_with_every_request_are_no_news() {
    let mut view = RuntimeView::new("a");
    let with = |in_flight, full| {
        RuntimeLine::Function(RuntimeFunction {
            in_flight,
            full,
            ..function("x")
        })
    };
    assert_eq!(view.take(with(0, false), 1), [key("x")]);
    assert_eq!(view.take(with(1, false), 2), [key("x")], "it has begun");
    assert!(view.take(with(7, true), 3).is_empty());
    assert_eq!(view.take(with(0, false), 4), [key("x")], "it has ended");
    let pod = |leaving, in_flight| {
        RuntimeLine::Pod(PodState {
            leaving,
            in_flight,
            ..PodState::default()
        })
    };
    assert!(view.take(pod(false, 3), 5).is_empty());
    assert_eq!(view.take(pod(true, 3), 6), [key("x")]);
}

#[test]
fn a_resolution_keeps_the_place_at_which_it_came() {
    let mut view = RuntimeView::new("a");
    let resolved = |digest: &str, load| {
        RuntimeLine::Function(RuntimeFunction {
            resolution: Some(Resolution {
                image: "i".into(),
                resolve_at: String::new(),
                digest: digest.into(),
            }),
            load,
            ..function("x")
        })
    };
    let place = |view: &RuntimeView| view.report(&key("x"), "uid-x").unwrap().resolved_at;
    view.take(resolved("d", Load::Waiting), 5);
    view.take(resolved("d", Load::Pulling), 8);
    assert_eq!(place(&view), 5);
    view.take(resolved("e", Load::Pulling), 9);
    assert_eq!(place(&view), 9);
}

struct Scene {
    knowledge: Knowledge,
    functions: Arc<Wakes<FunctionKey>>,
    namespaces: Arc<Wakes<String>>,
}

fn scene() -> Scene {
    let functions = Arc::new(Wakes::default());
    let namespaces = Arc::new(Wakes::default());
    Scene {
        knowledge: Knowledge::new(Arc::clone(&functions), Arc::clone(&namespaces)),
        functions,
        namespaces,
    }
}

#[test]
fn demand_is_known_once_every_ready_gateway_has_told_its_picture() {
    let scene = scene();
    let knowledge = &scene.knowledge;
    let start = Instant::now();
    assert_eq!(
        knowledge.demand_known_since(start),
        None,
        "no gateway is no knowledge"
    );
    for gateway in ["g", "h"] {
        knowledge.gateway_seen(&pod(gateway), true, start);
        knowledge.gateway_opened(&pod(gateway));
    }
    knowledge.gateway_said(&pod("g"), GatewayLine::Synced, start);
    assert_eq!(knowledge.demand_known_since(start), None, "one is missing");
    let later = start + Duration::from_secs(1);
    knowledge.gateway_said(&pod("h"), GatewayLine::Synced, later);
    assert_eq!(knowledge.demand_known_since(start), Some(later));
    knowledge.gateway_seen(&pod("new"), false, later);
    assert_eq!(
        knowledge.demand_known_since(start),
        Some(later),
        "it takes no requests yet"
    );
    knowledge.gateway_seen(&pod("new"), true, later);
    assert_eq!(knowledge.demand_known_since(start), None);
}

#[test]
fn demand_is_summed_and_its_end_is_remembered() {
    let scene = scene();
    let knowledge = &scene.knowledge;
    let start = Instant::now();
    for gateway in ["g", "h"] {
        knowledge.gateway_seen(&pod(gateway), true, start);
        knowledge.gateway_opened(&pod(gateway));
        knowledge.gateway_said(&pod(gateway), demand("x", 2), start);
    }
    let of = |name: &str, now| knowledge.demand(&key(name), &format!("uid-{name}"), now);
    assert_eq!(of("x", start).requests(), 4);
    assert_eq!(of("y", start), Demand::default());
    assert_eq!(scene.functions.take(), [key("x")].into());
    assert_eq!(scene.namespaces.take(), ["a".to_owned()].into());
    let end = start + Duration::from_secs(5);
    for gateway in ["g", "h"] {
        knowledge.gateway_said(&pod(gateway), demand("x", 0), end);
    }
    let after = of("x", end + Duration::from_secs(9));
    assert_eq!(
        after,
        Demand {
            last: Some(end),
            ..Demand::default()
        }
    );
}

#[test]
fn a_silent_gateway_keeps_its_counts_until_its_pod_is_gone_or_long_unready() {
    let scene = scene();
    let knowledge = &scene.knowledge;
    let start = Instant::now();
    knowledge.gateway_seen(&pod("g"), true, start);
    knowledge.gateway_opened(&pod("g"));
    knowledge.gateway_said(&pod("g"), demand("x", 2), start);
    knowledge.gateway_closed(&pod("g"));
    let requests = |now| knowledge.demand(&key("x"), "uid-x", now).requests();
    let long = start + Duration::from_secs(600);
    assert_eq!(requests(long), 2, "its pod is ready");
    knowledge.gateway_seen(&pod("g"), false, start);
    assert_eq!(requests(start + Duration::from_secs(60)), 2);
    assert_eq!(requests(start + Duration::from_secs(120)), 0);
    knowledge.gateway_seen(&pod("g"), true, start);
    knowledge.gateway_gone(&pod("g"), long);
    let after = knowledge.demand(&key("x"), "uid-x", long);
    assert_eq!(
        after,
        Demand {
            last: Some(long),
            ..Demand::default()
        }
    );
}

#[test]
fn a_gateway_that_was_unready_for_a_moment_is_not_given_up() {
    let scene = scene();
    let knowledge = &scene.knowledge;
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    knowledge.gateway_seen(&pod("g"), true, start);
    knowledge.gateway_opened(&pod("g"));
    knowledge.gateway_said(&pod("g"), demand("x", 2), start);
    knowledge.gateway_said(&pod("g"), GatewayLine::Synced, start);
    assert_eq!(knowledge.demand_known_since(after(1)), Some(start));
    knowledge.gateway_closed(&pod("g"));
    assert_eq!(knowledge.demand_known_since(after(1)), None, "it is silent");
    knowledge.gateway_seen(&pod("g"), false, after(600));
    let requests = |now| knowledge.demand(&key("x"), "uid-x", now).requests();
    assert_eq!(
        requests(after(719)),
        2,
        "silent for long, unready for a moment"
    );
    assert_eq!(knowledge.demand_known_since(after(719)), None);
    assert_eq!(requests(after(720)), 0);
    assert_eq!(knowledge.demand_known_since(after(720)), Some(start));
    knowledge.gateway_seen(&pod("g"), true, after(721));
    knowledge.gateway_opened(&pod("g"));
    assert_eq!(
        knowledge.demand_known_since(after(721)),
        None,
        "its picture is not full yet"
    );
    knowledge.gateway_said(&pod("g"), GatewayLine::Synced, after(722));
    assert_eq!(knowledge.demand_known_since(after(722)), Some(start));
}

#[test]
fn how_busy_a_pod_is_wakes_the_scaler_alone() {
    let scene = scene();
    let knowledge = &scene.knowledge;
    knowledge.runtime_opened(&pod("r"));
    knowledge.runtime_said(&pod("r"), RuntimeLine::Function(function("x")));
    scene.functions.take();
    scene.namespaces.take();
    for line in [
        RuntimeLine::Function(RuntimeFunction {
            guests_runnable: 3,
            ..function("x")
        }),
        RuntimeLine::Pod(PodState {
            full: true,
            ..PodState::default()
        }),
    ] {
        knowledge.runtime_said(&pod("r"), line);
        assert_eq!(scene.namespaces.take(), ["a".to_owned()].into());
    }
    knowledge.runtime_said(&pod("r"), RuntimeLine::Heartbeat);
    assert!(scene.namespaces.take().is_empty());
    assert!(scene.functions.take().is_empty());
}

#[test]
fn a_pod_that_is_gone_has_its_functions_looked_at() {
    let scene = scene();
    scene.knowledge.runtime_opened(&pod("r"));
    scene
        .knowledge
        .runtime_said(&pod("r"), RuntimeLine::Function(function("x")));
    assert_eq!(scene.functions.take(), [key("x")].into());
    scene.knowledge.runtime_gone(&pod("r"));
    assert_eq!(scene.functions.take(), [key("x")].into());
    assert_eq!(scene.knowledge.runtime(&pod("r")), None);
}

/// Each connection gets the next of the answers; the last one stays open for good.
#[derive(Clone)]
struct Pod {
    answers: Arc<std::sync::Mutex<std::collections::VecDeque<String>>>,
}

async fn state(State(pod): State<Pod>, headers: HeaderMap) -> Result<Body, StatusCode> {
    let token = headers.get("authorization").map(HeaderValue::as_bytes);
    if token != Some(b"Bearer token") {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let (text, last) = {
        let mut answers = pod.answers.lock().unwrap();
        (answers.pop_front().unwrap(), answers.is_empty())
    };
    let lines = futures::stream::once(async { Ok::<_, std::convert::Infallible>(text) });
    if last {
        Ok(Body::from_stream(lines.chain(futures::stream::pending())))
    } else {
        Ok(Body::from_stream(lines))
    }
}

async fn serve(answers: &[&str]) -> Target {
    let answers = answers.iter().map(|text| (*text).to_owned()).collect();
    let pod = Pod {
        answers: Arc::new(std::sync::Mutex::new(answers)),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/v1/state", get(state)).with_state(pod);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Target {
        address,
        token: "token".into(),
    }
}

/// The first `count` things that happen on a stream.
async fn happenings(target: Target, count: usize) -> Vec<Happening<RuntimeLine>> {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let task = tokio::spawn(async move {
        follow(&target, |happening| {
            let _ = sender.send(happening);
        })
        .await;
    });
    let mut seen = Vec::new();
    while seen.len() < count {
        let next = timeout(Duration::from_secs(10), receiver.recv()).await;
        seen.push(
            next.expect("something happens")
                .expect("it goes on for ever"),
        );
    }
    task.abort();
    seen
}

#[tokio::test]
async fn a_stream_is_read_by_lines_and_opened_again() {
    let synced = "{\"type\":\"Synced\"}\n";
    let target = serve(&[
        &format!("{{\"type\":\"Heartbeat\"}}\n{synced}"),
        "this is no line\n",
        &"x".repeat(LINE_MAX_BYTES + 1),
        synced,
    ])
    .await;
    let seen = happenings(target, 9).await;
    let expected = [
        Happening::Opened,
        Happening::Said(RuntimeLine::Heartbeat),
        Happening::Said(RuntimeLine::Synced),
        Happening::Closed,
        Happening::Opened,
        Happening::Closed,
        Happening::Opened,
        Happening::Closed,
        Happening::Opened,
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_pod_that_does_not_know_us_is_not_heard_but_asked_again() {
    let mut target = serve(&[""]).await;
    target.token = "wrong".into();
    let heard = timeout(Duration::from_millis(300), happenings(target, 1)).await;
    assert!(heard.is_err(), "{heard:?}");
}
