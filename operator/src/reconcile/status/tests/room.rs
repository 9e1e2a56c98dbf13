//! Pods that find no room.

use super::*;

/// `Degraded` of a function that one pod serves while another one is not there.
fn degraded(active: bool, state: impl FnOnce(&mut RuntimeState)) -> (String, String) {
    let world = World::shared(json!({ "resolved": resolved('a') }), [loaded('a', 1)]);
    let mut target = world.target.clone();
    state(&mut target);
    let observed = Observed {
        function: &world.function,
        serving: target.clone(),
        target,
        active,
        host_problems: &[],
        routing: Routing::default(),
        problem: None,
    };
    let now = Timestamp::from_second(1_000).unwrap();
    let status = status(&observed, &fixtures::config(""), now);
    let condition = find(&status.conditions, ConditionType::Degraded).unwrap();
    (condition.status.clone(), condition.reason.clone())
}

#[test]
fn a_function_that_is_asked_for_tells_that_there_is_no_room_for_more_pods() {
    let unscheduled = |target: &mut RuntimeState| {
        target.pods.push(PodState {
            trouble: Some(Problem::new(Reason::Unschedulable, "0/2 nodes")),
            ..PodState::default()
        });
    };
    let over_quota = |target: &mut RuntimeState| {
        target.failure = Some(Problem::new(Reason::OverQuota, "exceeded quota"));
    };
    let starting = |target: &mut RuntimeState| target.pods.push(PodState::default());
    assert_eq!(
        degraded(true, unscheduled),
        is("True", Reason::Unschedulable)
    );
    assert_eq!(degraded(true, over_quota), is("True", Reason::OverQuota));
    assert_eq!(degraded(false, over_quota), is("False", Reason::PodsAgree));
    assert_eq!(degraded(true, starting), is("False", Reason::PodsAgree));
}

#[test]
fn one_pod_that_is_stuck_says_nothing_of_those_that_work() {
    let stuck = |leaving| PodState {
        leaving,
        trouble: Some(Problem::new(Reason::Unschedulable, "0/2 nodes")),
        ..PodState::default()
    };
    let mut world = World::shared(json!({}), []);
    let heard = PodState {
        heard: true,
        ..PodState::default()
    };
    world.target = pods([stuck(false), heard]);
    assert_eq!(
        world.condition(ConditionType::Ready),
        is("Unknown", Reason::Pending)
    );
    world.target = pods([stuck(true), PodState::default()]);
    assert_eq!(
        world.condition(ConditionType::Ready),
        is("Unknown", Reason::PodsStarting),
        "it leaves"
    );
}
