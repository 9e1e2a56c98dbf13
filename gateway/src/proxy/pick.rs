//! Which pod is tried next.

use std::{sync::Arc, time::Instant};

use wasmfn_crds::hosts::FunctionKey;

use crate::{
    balance::choose,
    endpoints::{Backends, Pod},
};

/// A pod, and whether it is known to be up.
#[derive(Debug)]
pub(super) struct Picked {
    pub(super) pod: Arc<Pod>,
    pub(super) starting: bool,
}

/// The next pod that was not tried yet: a ready one; else one that is told to go but accepts; else
/// one that is starting; else one that is set aside for the moment.
pub(super) fn pick(
    backends: &Backends,
    function: &FunctionKey,
    tried: &[Arc<Pod>],
    now: Instant,
) -> Option<Picked> {
    let fresh = |pods: &[Arc<Pod>]| better(pods, |pod| !pod.is_aside(function, now), tried);
    let any = |pods: &[Arc<Pod>]| better(pods, |_| true, tried);
    let up = |pod| Picked {
        pod,
        starting: false,
    };
    let coming = |pod| Picked {
        pod,
        starting: true,
    };
    fresh(&backends.ready)
        .or_else(|| fresh(&backends.leaving))
        .map(up)
        .or_else(|| fresh(&backends.starting).map(coming))
        .or_else(|| any(&backends.ready).map(up))
        .or_else(|| any(&backends.starting).map(coming))
}

fn better(
    pods: &[Arc<Pod>],
    allowed: impl Fn(&Pod) -> bool,
    tried: &[Arc<Pod>],
) -> Option<Arc<Pod>> {
    let candidates: Vec<&Arc<Pod>> = pods
        .iter()
        .filter(|pod| allowed(pod) && !tried.iter().any(|other| Arc::ptr_eq(other, pod)))
        .collect();
    choose(
        candidates.len(),
        |candidate| candidates[candidate].in_flight(),
        |below| rand::random_range(0..below),
    )
    .map(|chosen| candidates[chosen].clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(port: u16) -> Arc<Pod> {
        Arc::new(Pod::new(([127, 0, 0, 1], port).into(), ""))
    }

    fn ports(backends: &Backends, function: &FunctionKey) -> Vec<u16> {
        let mut tried = Vec::new();
        let mut ports = Vec::new();
        while let Some(picked) = pick(backends, function, &tried, Instant::now()) {
            ports.push(picked.pod.address.port());
            tried.push(picked.pod);
        }
        ports
    }

    #[test]
    fn ready_ones_first_and_those_set_aside_last() {
        let function = FunctionKey {
            namespace: "a".into(),
            name: "f".into(),
        };
        let backends = Backends {
            ready: vec![pod(1), pod(2)],
            leaving: vec![pod(3)],
            starting: vec![pod(4)],
        };
        for _ in 0..20 {
            let order = ports(&backends, &function);
            assert_eq!(order.len(), 4);
            assert_eq!(order[2..], [3, 4], "{order:?}");
        }
        for _ in 0..100 {
            backends.ready[0].note_refused(&function, Instant::now());
        }
        assert_eq!(ports(&backends, &function), [2, 3, 4, 1]);
    }
}
