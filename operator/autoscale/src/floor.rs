use std::time::Instant;

use crate::{Cause, Function, Inputs};

/// The fewest pods that will do, why, and when that may become less by time alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Floor {
    pub(crate) replicas: u32,
    pub(crate) cause: Cause,
    pub(crate) until: Option<Instant>,
}

impl Floor {
    const fn new(replicas: u32, cause: Cause) -> Self {
        Self {
            replicas,
            cause,
            until: None,
        }
    }
}

/// The highest floor of the deployment's functions, and at least `keep_warm`. One without functions
/// is about to be removed as a whole, once gateways had time to let go of it: until then it stays.
pub(crate) fn of_deployment(inputs: &Inputs, now: Instant) -> Floor {
    if inputs.functions.is_empty() {
        return Floor::new(inputs.current, Cause::NoFunctions);
    }
    let nothing = Floor::new(0, Cause::Idle);
    let floors: Vec<Floor> = inputs
        .functions
        .iter()
        .map(|function| of_function(function, inputs, now))
        .chain([Floor::new(inputs.keep_warm, Cause::KeepWarm)])
        .collect();
    let until = floors.iter().filter_map(|floor| floor.until).min();
    let highest = floors
        .into_iter()
        .filter(|floor| floor.replicas > 0)
        .reduce(|best, floor| {
            if floor.replicas > best.replicas {
                floor
            } else {
                best
            }
        })
        .unwrap_or(nothing);
    Floor { until, ..highest }
}

fn of_function(function: &Function, inputs: &Inputs, now: Instant) -> Floor {
    if function.suspended {
        return Floor::new(0, Cause::Idle);
    }
    if let Some(replicas) = function.fixed {
        return Floor::new(replicas, Cause::Fixed);
    }
    let awake = awake(function, inputs, now);
    if function.min_replicas > awake.replicas {
        return Floor {
            until: awake.until,
            ..Floor::new(function.min_replicas, Cause::MinReplicas)
        };
    }
    awake
}

/// One pod for a function that loads, is asked for, or was a moment ago. What happened before all
/// gateways were known may have been demand: it keeps a pod that is there, but starts none.
fn awake(function: &Function, inputs: &Inputs, now: Instant) -> Floor {
    if function.demand > 0 {
        return Floor::new(1, Cause::Demand);
    }
    if function.loading {
        return Floor::new(1, Cause::Loading);
    }
    let ends = |since: Option<Instant>| {
        since
            .map(|since| since + function.idle)
            .filter(|until| *until > now)
    };
    if let Some(until) = ends(function.last_demand.max(inputs.known_since)) {
        let asked_for = ends(function.last_demand).is_some();
        let replicas = if asked_for { 1 } else { inputs.current.min(1) };
        return Floor {
            until: Some(until),
            ..Floor::new(replicas, Cause::RecentDemand)
        };
    }
    Floor::new(0, Cause::Idle)
}
