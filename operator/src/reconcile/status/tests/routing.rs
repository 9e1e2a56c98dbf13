//! Hosts, and gateways that know of them.

use super::*;

#[test]
fn problems_of_the_spec_and_of_hosts_are_told_apart() {
    let mut world = World::shared(json!({ "resolved": resolved('a') }), [loaded('a', 1)]);
    world.host_problems = vec![HostProblem::NotAllowed {
        host: "h.net".into(),
    }];
    assert_eq!(
        world.condition(ConditionType::Routed),
        is("False", Reason::HostNotAllowed)
    );
    assert_eq!(
        world.condition(ConditionType::Ready).0,
        "True",
        "its own host still answers"
    );
    world.problem = Some(Problem::new(Reason::NameTaken, "taken"));
    assert_eq!(
        world.condition(ConditionType::Ready),
        is("False", Reason::NameTaken)
    );
}

#[test]
fn it_is_ready_once_every_gateway_has_heard_of_it() {
    let old = json!({ "resolved": resolved('a'), "serving": serving('a', 1, SHARED) });
    for reports in [vec![loaded('a', 1)], Vec::new()] {
        let mut world = World::shared(old.clone(), reports);
        world.routing = Routing::Behind;
        for kind in [ConditionType::Ready, ConditionType::Routed] {
            let found = world.condition(kind);
            assert_eq!(found, is("Unknown", Reason::GatewaysBehind), "{kind:?}");
        }
        assert_eq!(world.condition(ConditionType::Serving).0, "True");
        assert_eq!(world.status().serving.unwrap().generation, 1);
        for routing in [Routing::Unsure, Routing::Everywhere] {
            world.routing = routing;
            assert_eq!(world.condition(ConditionType::Ready).0, "True");
            let routed = world.condition(ConditionType::Routed);
            assert_eq!(routed, is("True", Reason::HostsAssigned), "{routing:?}");
        }
    }
}

#[test]
fn gateways_that_lag_hide_no_problem() {
    let old = json!({ "resolved": resolved('a') });
    let mut world = World::shared(old, [failed("CompileFailed")]);
    world.host_problems = vec![HostProblem::NotAllowed {
        host: "h.net".into(),
    }];
    world.routing = Routing::Behind;
    assert_eq!(
        world.condition(ConditionType::Ready),
        is("False", Reason::CompileFailed)
    );
    assert_eq!(
        world.condition(ConditionType::Routed),
        is("False", Reason::HostNotAllowed)
    );
}

#[test]
fn hosts_are_not_in_doubt_while_the_module_is_on_its_way() {
    let old = json!({ "resolved": resolved('a') });
    let mut world = World::shared(old, [report(Load::Compiling)]);
    world.routing = Routing::Behind;
    assert_eq!(
        world.condition(ConditionType::Ready),
        is("Unknown", Reason::Compiling)
    );
    assert_eq!(
        world.condition(ConditionType::Routed),
        is("True", Reason::HostsAssigned)
    );
}
