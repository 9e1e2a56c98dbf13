//! Which functions gateways know.

use super::*;

fn gateway(tells_routes: bool) -> GatewayLine {
    GatewayLine::Gateway {
        version: "1".into(),
        pod: "g".into(),
        leaving: false,
        tells_routes,
    }
}

fn route(name: &str, generation: Option<i64>) -> GatewayLine {
    GatewayLine::Route {
        function: id(name),
        generation,
    }
}

/// Gateways of which the operator asks whether they know the function `x`.
struct Gateways {
    scene: Scene,
    now: Instant,
}

impl Gateways {
    fn new() -> Self {
        Self {
            scene: scene(),
            now: Instant::now(),
        }
    }

    fn say(&self, name: &str, line: GatewayLine) {
        (self.scene.knowledge).gateway_said(&pod(name), line, self.now);
    }

    fn ready(&self, name: &str, ready: bool) {
        (self.scene.knowledge).gateway_seen(&pod(name), ready, self.now);
    }

    /// A gateway that is ready, and has told that it knows these.
    fn told(&self, name: &str, tells_routes: bool, routes: impl IntoIterator<Item = GatewayLine>) {
        self.ready(name, true);
        self.scene.knowledge.gateway_opened(&pod(name));
        self.say(name, gateway(tells_routes));
        for route in routes {
            self.say(name, route);
        }
        self.say(name, GatewayLine::Synced);
    }

    fn routing(&self, uid: &str, generation: i64) -> Routing {
        self.scene.knowledge.routing(&key("x"), uid, generation)
    }

    /// Whether the function was woken since this was last asked.
    fn woken(&self) -> bool {
        self.scene.functions.take().contains(&key("x"))
    }
}

#[test]
fn a_function_is_known_by_its_uid_and_its_generation() {
    let gateways = Gateways::new();
    gateways.told("g", true, [route("x", Some(2))]);
    assert_eq!(gateways.routing("uid-x", 1), Routing::Everywhere);
    assert_eq!(gateways.routing("uid-x", 2), Routing::Everywhere);
    assert_eq!(gateways.routing("uid-x", 3), Routing::Behind);
    assert_eq!(gateways.routing("its successor", 1), Routing::Behind);
    gateways.say("g", route("x", None));
    assert_eq!(gateways.routing("uid-x", 2), Routing::Behind);
}

#[test]
fn every_gateway_counts_that_takes_requests_and_tells() {
    let gateways = Gateways::new();
    assert_eq!(gateways.routing("uid-x", 1), Routing::Everywhere);
    gateways.told("older", false, []);
    gateways.told("g", true, [route("x", Some(1))]);
    assert_eq!(gateways.routing("uid-x", 1), Routing::Everywhere);
    gateways.ready("h", false);
    assert_eq!(gateways.routing("uid-x", 1), Routing::Everywhere);
    gateways.ready("h", true);
    assert_eq!(gateways.routing("uid-x", 1), Routing::Unsure);
    gateways.told("h", true, []);
    assert_eq!(gateways.routing("uid-x", 1), Routing::Behind);
    gateways.scene.knowledge.gateway_closed(&pod("h"));
    assert_eq!(gateways.routing("uid-x", 1), Routing::Unsure, "silent");
}

#[test]
fn a_function_is_looked_at_when_the_answer_changes_and_only_then() {
    let gateways = Gateways::new();
    let knowledge = &gateways.scene.knowledge;
    gateways.told("g", true, [route("x", Some(1))]);
    gateways.told("h", true, []);
    assert!(!gateways.woken(), "nobody has asked");
    assert_eq!(gateways.routing("uid-x", 1), Routing::Behind);
    gateways.say("g", route("x", Some(1)));
    gateways.say("h", route("y", Some(1)));
    assert!(!gateways.woken(), "h does not know it");
    gateways.say("h", route("x", Some(1)));
    assert!(gateways.woken(), "h knows it");
    gateways.say("h", route("x", None));
    assert!(!gateways.woken(), "nobody waits any more");

    for leaves in [
        (|gateways| gateways.ready("h", false)) as fn(&Gateways),
        |gateways| gateways.scene.knowledge.gateway_closed(&pod("h")),
        |gateways| (gateways.scene.knowledge).gateway_gone(&pod("h"), gateways.now),
    ] {
        gateways.told("h", true, []);
        assert_eq!(gateways.routing("uid-x", 1), Routing::Behind);
        gateways.woken();
        leaves(&gateways);
        assert!(gateways.woken(), "who lagged does not count");
    }

    gateways.ready("h", true);
    assert_eq!(gateways.routing("uid-x", 1), Routing::Unsure);
    gateways.woken();
    gateways.told("h", true, []);
    assert!(gateways.woken(), "the full picture lacks it");
    knowledge.forget(&key("x"));
    gateways.say("h", route("x", Some(1)));
    assert!(!gateways.woken(), "it is there no more");
}
