use std::time::{Duration, Instant};

use crate::{
    Cause, Function, History, Inputs,
    demand::{MICRO_PODS, excess, is_capped, pods},
    inputs::bounds,
};

/// A number of pods and what asks for it.
pub(crate) type Claim = (u32, Cause);

/// The numbers of pods that will do, and when time alone makes them others.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Range {
    /// The fewest that have to be there at once.
    up: Claim,
    /// The most that may stay.
    down: Claim,
    /// The most that may ever be asked for.
    pub(crate) most: u32,
    /// Demand as it is now, in whole pods.
    present: u32,
    /// Until when the last pod is kept for those who asked a moment ago.
    awake_until: Option<Instant>,
    /// Since when it has been known who asks.
    known_since: Option<Instant>,
    /// Of those of all functions.
    longest_window: Duration,
    rises_at: Option<Instant>,
    falls_at: Option<Instant>,
    now: Instant,
}

impl Range {
    pub(crate) fn new(history: &History, inputs: &Inputs, now: Instant) -> Self {
        let known_since = inputs.known_since.max(history.since());
        let known_since = inputs.known_since.and(known_since);
        let (fewest, most) = bounds(&inputs.functions);
        let any_capped = inputs.functions.iter().any(is_capped);
        let demanded = |excess: u64| {
            let fewest = u64::from(fewest) * MICRO_PODS;
            match pods(fewest.saturating_add(excess)) {
                wanted if wanted >= most && any_capped => (most, Cause::MaxReplicas),
                wanted => (wanted.min(most), Cause::Demand),
            }
        };
        let all = inputs.functions.iter().map(excess);
        let present = demanded(all.fold(0, u64::saturating_add));
        let (awake, awake_until) = awake(inputs, known_since, now);
        let floor = highest([
            (fewest, Cause::MinReplicas),
            (inputs.keep_warm, Cause::KeepWarm),
            (handed_over(inputs), Cause::Handover),
            (loading(inputs), Cause::Loading),
        ]);
        let at_once = match inputs.current {
            0 => present,
            _ => demanded(history.lasting(now)),
        };
        // Windows keep pods beyond the first; the first is `idle`'s to keep.
        let recent = match demanded(history.highest(now)).0 {
            0 | 1 => 0,
            several => several,
        };
        let up = highest([floor, at_once, (awake, Cause::RecentDemand)]);
        Self {
            up,
            down: highest([up, present, (recent, Cause::RecentDemand)]),
            most: most.max(floor.0),
            present: present.0,
            awake_until,
            known_since,
            longest_window: longest_window(&inputs.functions),
            rises_at: history.rises_at(now),
            falls_at: history.falls_at(now),
            now,
        }
    }

    /// What is nearest to `current` of the numbers that will do.
    pub(crate) fn nearest(&self, current: u32) -> Claim {
        if current > self.down.0 {
            self.down
        } else if current > self.up.0 {
            (current, self.down.1)
        } else {
            self.up
        }
    }

    /// Whether enough is known for one of so many pods to leave: the demand of a full window, which
    /// for the last pod is its idle time, and so is seen to already.
    pub(crate) fn is_known(&self, replicas: u32) -> bool {
        self.known_at()
            .is_some_and(|at| replicas <= 1 || at <= self.now)
    }

    fn known_at(&self) -> Option<Instant> {
        Some(self.known_since? + self.longest_window)
    }

    /// When time alone may change what is decided, with so many pods.
    pub(crate) fn changes_at(&self, replicas: u32, rolling: bool) -> Option<Instant> {
        let rises = self.rises_at.filter(|_| self.present > replicas);
        let may_fall = replicas > self.present && !rolling;
        let falls = self.falls_at.filter(|_| may_fall);
        let known = self.known_at().filter(|at| may_fall && *at > self.now);
        let changes = [rises, falls, known, self.awake_until];
        changes.into_iter().flatten().min()
    }
}

/// The highest claim; the first of those that are equal.
fn highest<const N: usize>(claims: [Claim; N]) -> Claim {
    let asking = claims.into_iter().filter(|(replicas, _)| *replicas > 0);
    let best = asking.reduce(|best, claim| if claim.0 > best.0 { claim } else { best });
    best.unwrap_or((0, Cause::Idle))
}

fn handed_over(inputs: &Inputs) -> u32 {
    let moves = |function: &Function| function.hands_over && !function.suspended;
    if inputs.functions.iter().any(moves) {
        inputs.current
    } else {
        0
    }
}

/// One pod sees to all that have yet to load.
fn loading(inputs: &Inputs) -> u32 {
    let waits = |function: &Function| function.loading && !function.suspended;
    u32::from(inputs.functions.iter().any(waits))
}

/// One pod for those who asked a moment ago, and until when. What happened before all gateways were
/// known may have been demand: it keeps a pod that is there, but starts none.
fn awake(inputs: &Inputs, known_since: Option<Instant>, now: Instant) -> (u32, Option<Instant>) {
    let awake = inputs
        .functions
        .iter()
        .filter(|function| !function.suspended);
    let latest = |end: &dyn Fn(&Function) -> Option<Instant>| {
        let ends = awake.clone().filter_map(end);
        ends.max().filter(|until| *until > now)
    };
    let asked = latest(&|function| Some(function.last_demand? + function.idle));
    let maybe = latest(&|function| Some(function.last_demand.max(known_since)? + function.idle));
    let pods = match (asked, maybe) {
        (Some(_), _) => 1,
        (None, Some(_)) => inputs.current.min(1),
        (None, None) => 0,
    };
    (pods, asked.max(maybe))
}

fn longest_window(functions: &[Function]) -> Duration {
    let windows = functions.iter().map(|function| function.scale_down_window);
    windows.max().unwrap_or_default()
}
