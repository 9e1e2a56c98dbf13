use std::time::Instant;

use crate::{
    Cause, Demand, Function, History, Inputs,
    inputs::bounds,
    range::{Claim, Range},
};

/// What to write to `spec.replicas`, and why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// Pods that the deployment shall have.
    pub replicas: u32,
    /// What decided it.
    pub cause: Cause,
    /// Pods that are asked for beyond `replicas` and that there is no room for.
    pub lacking: u32,
    /// Demand of all functions before their bounds.
    pub demand: Demand,
    /// When to decide again though nothing has changed by then.
    pub again_at: Option<Instant>,
}

/// How many pods the deployment shall have at `now`. `history` has observed `inputs` by then.
///
/// Up: to what demand has asked for throughout the last [`LASTING`](crate::LASTING), and from zero
/// at once. Down: to the highest demand of the last window of each function, never during a rollout,
/// and never while the demand of some gateway is unknown or was not watched for a full window. A
/// fixed count, a bound and `suspend` are somebody's word and no guess: they hold at once.
#[must_use]
pub fn decide(history: &History, inputs: &Inputs, now: Instant) -> Decision {
    let mut demand = Demand::default();
    for function in &inputs.functions {
        demand += Demand::of(function);
    }
    let decision = |(replicas, cause): Claim, lacking, again_at| Decision {
        replicas,
        cause,
        lacking,
        demand,
        again_at,
    };
    if let Some(claim) = by_word(inputs) {
        return decision(claim, 0, None);
    }
    let range = Range::new(history, inputs, now);
    let wanted = range.nearest(inputs.current);
    let claim = if wanted.0 < inputs.current {
        lower(wanted, &range, inputs)
    } else if wanted.0 > inputs.current && inputs.current > 0 && inputs.no_capacity {
        (inputs.current, Cause::NoCapacity)
    } else {
        wanted
    };
    let lacking = wanted.0.saturating_sub(claim.0);
    decision(claim, lacking, range.changes_at(claim.0, inputs.rolling))
}

/// Fewer pods, unless something speaks against it. Pods beyond all bounds leave all the same.
fn lower(wanted: Claim, range: &Range, inputs: &Inputs) -> Claim {
    let held = if !range.is_known(inputs.current) {
        Cause::MissingData
    } else if inputs.rolling {
        Cause::Rollout
    } else {
        return wanted;
    };
    if range.most < inputs.current {
        (range.most, Cause::MaxReplicas)
    } else {
        (inputs.current, held)
    }
}

/// What nobody's demand changes.
fn by_word(inputs: &Inputs) -> Option<Claim> {
    if inputs.functions.is_empty() {
        return Some((inputs.current, Cause::NoFunctions));
    }
    let scales = |function: &Function| function.fixed.is_none() && !function.suspended;
    if inputs.functions.iter().any(scales) {
        return None;
    }
    let (fixed, _) = bounds(&inputs.functions);
    let all_suspended = inputs.functions.iter().all(|function| function.suspended);
    let word = if all_suspended {
        Cause::Suspended
    } else {
        Cause::Fixed
    };
    Some(if inputs.keep_warm > fixed {
        (inputs.keep_warm, Cause::KeepWarm)
    } else {
        (fixed, word)
    })
}
