//! Which pod is tried next.

use std::{sync::Arc, time::Instant};

use wasmfn_crds::hosts::FunctionKey;

use crate::{
    balance::choose,
    endpoints::{Backends, Pod},
};

/// The next pod that was not tried yet: a ready one; else one that is told to go but accepts; else
/// one that is starting and has taken a connection; else one that has just refused the function.
///
/// One that could not be reached is left alone until its pause is over, and then tried by one request.
pub(super) fn pick(
    backends: &Backends,
    function: &FunctionKey,
    tried: &[Arc<Pod>],
    now: Instant,
) -> Option<Arc<Pod>> {
    let fresh = |pods: &[Arc<Pod>]| better(pods, |pod| !pod.is_refusing(function, now), tried, now);
    let any = |pods: &[Arc<Pod>]| better(pods, |_| true, tried, now);
    let fresh_starting = |pods: &[Arc<Pod>]| {
        let allowed = |pod: &Pod| pod.is_proven() && !pod.is_refusing(function, now);
        better(pods, allowed, tried, now)
    };
    fresh(&backends.ready)
        .or_else(|| fresh(&backends.leaving))
        .or_else(|| fresh_starting(&backends.starting))
        .or_else(|| any(&backends.ready))
        .or_else(|| any(&backends.leaving))
        .or_else(|| better(&backends.starting, Pod::is_proven, tried, now))
}

fn better(
    pods: &[Arc<Pod>],
    allowed: impl Fn(&Pod) -> bool,
    tried: &[Arc<Pod>],
    now: Instant,
) -> Option<Arc<Pod>> {
    let mut candidates: Vec<&Arc<Pod>> = pods
        .iter()
        .filter(|pod| !pod.is_out_of_reach(now) && allowed(pod))
        .filter(|pod| !tried.iter().any(|other| Arc::ptr_eq(other, pod)))
        .collect();
    loop {
        let chosen = choose(
            candidates.len(),
            |candidate| candidates[candidate].in_flight(),
            |below| rand::random_range(0..below),
        )?;
        if candidates[chosen].claim(now) {
            return Some(candidates[chosen].clone());
        }
        candidates.swap_remove(chosen);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn pod(port: u16) -> Arc<Pod> {
        Arc::new(Pod::new(([127, 0, 0, 1], port).into(), ""))
    }

    fn ports(backends: &Backends, function: &FunctionKey) -> Vec<u16> {
        let mut tried = Vec::new();
        let mut ports = Vec::new();
        while let Some(pod) = pick(backends, function, &tried, Instant::now()) {
            ports.push(pod.address.port());
            tried.push(pod);
        }
        ports
    }

    fn backends() -> Backends {
        let backends = Backends {
            ready: vec![pod(1), pod(2)],
            leaving: vec![pod(3)],
            starting: vec![pod(4), pod(5)],
        };
        backends.starting[0].note_connected();
        backends
    }

    fn function() -> FunctionKey {
        FunctionKey {
            namespace: "a".into(),
            name: "f".into(),
        }
    }

    #[test]
    fn ready_ones_first_and_those_that_refuse_last() {
        let (backends, function) = (backends(), function());
        for _ in 0..20 {
            let order = ports(&backends, &function);
            assert_eq!(order.len(), 4, "one has not taken a connection yet");
            assert_eq!(order[2..], [3, 4], "{order:?}");
        }
        let later = Instant::now() + Duration::from_secs(60);
        backends.ready[0].note_refused(&function, later);
        assert_eq!(ports(&backends, &function), [2, 3, 4, 1]);
        backends.leaving[0].note_refused(&function, later);
        assert_eq!(ports(&backends, &function), [2, 4, 1, 3]);
    }

    #[test]
    fn one_that_is_out_of_reach_is_left_alone_and_then_tried_by_one() {
        let (backends, function) = (backends(), function());
        let now = Instant::now();
        backends.ready[0].note_unreachable(now);
        assert_eq!(ports(&backends, &function)[0], 2);
        assert_eq!(ports(&backends, &function).len(), 3);
        let later = now + Duration::from_secs(3);
        let others = backends.ready[1..].to_vec();
        let first = pick(&backends, &function, &others, later).unwrap();
        assert_eq!(first.address.port(), 1);
        let second = pick(&backends, &function, &others, later).unwrap();
        assert_eq!(second.address.port(), 3, "another one finds out");
    }
}
