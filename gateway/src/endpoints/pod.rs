use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use wasmfn_crds::hosts::FunctionKey;

use super::aside::{Aside, Pauses};
use crate::upstream::Upstream;

/// Pauses after a pod could not be reached.
const UNREACHABLE: Pauses = Pauses {
    first: Duration::from_millis(20),
    longest: Duration::from_secs(2),
};
/// Pauses after a pod refused a function.
const REFUSED: Pauses = Pauses {
    first: Duration::from_millis(10),
    longest: Duration::from_millis(160),
};
/// Functions for which refusals are remembered; beyond, those whose pause is over are forgotten.
const REFUSED_MOST: usize = 256;
/// How long one request may take to find out whether a pod is back that could not be reached;
/// meanwhile others pass it over.
const CLAIMED: Duration = Duration::from_secs(1);

/// How long a pod was set aside, by function.
type Refusing = HashMap<Arc<FunctionKey>, Arc<Aside>>;

/// A runtime pod, as one gateway knows it. Requests read it without a lock.
#[derive(Debug)]
pub struct Pod {
    /// Address of its data port.
    pub address: SocketAddr,
    /// UID of the pod; empty where nobody said.
    pub uid: String,
    /// Connections to it.
    pub upstream: Arc<Upstream>,
    in_flight: AtomicU32,
    /// It has taken a connection, and failed to take none since.
    proven: AtomicBool,
    unreachable: Aside,
    refusing: ArcSwap<Refusing>,
    /// A task tries to reach it.
    pub(super) probed: AtomicBool,
}

impl Pod {
    /// A pod that nothing is known of.
    #[must_use]
    pub fn new(address: SocketAddr, uid: &str) -> Self {
        Self {
            address,
            uid: uid.to_owned(),
            upstream: Arc::new(Upstream::new(address)),
            in_flight: AtomicU32::new(0),
            proven: AtomicBool::new(false),
            unreachable: Aside::default(),
            refusing: ArcSwap::default(),
            probed: AtomicBool::new(false),
        }
    }

    /// Requests that this gateway has in the pod.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether it has taken a connection, and failed to take none since.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Acquire)
    }

    /// Whether it failed to take a connection and has not taken one since.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        self.unreachable.is_set()
    }

    /// Whether it could not be reached so short a time ago that it is not tried again yet.
    #[must_use]
    pub fn is_out_of_reach(&self, now: Instant) -> bool {
        self.unreachable.holds(now)
    }

    /// How long it is not tried again.
    pub(super) fn out_of_reach_for(&self, now: Instant) -> Duration {
        self.unreachable.left(now)
    }

    /// Whether this request may go to it: of those that would try a pod which could not be reached
    /// before, one.
    #[must_use]
    pub fn claim(&self, now: Instant) -> bool {
        self.unreachable.claim(now, CLAIMED)
    }

    /// Whether it refused `function` so short a time ago that others should be asked first.
    #[must_use]
    pub fn is_refusing(&self, function: &FunctionKey, now: Instant) -> bool {
        let refusing = self.refusing.load();
        !refusing.is_empty() && refusing.get(function).is_some_and(|aside| aside.holds(now))
    }

    /// It could not be reached, or broke off. Its idle connections are as good as its last one.
    pub fn note_unreachable(&self, now: Instant) {
        self.proven.store(false, Ordering::Release);
        self.unreachable.extend(now, UNREACHABLE);
        self.upstream.forget();
    }

    /// It has taken a connection. That it answers as well is yet to be seen.
    pub fn note_connected(&self) {
        self.proven.store(true, Ordering::Release);
        self.unreachable.lift();
    }

    fn note_answered(&self) {
        if !self.is_proven() {
            self.proven.store(true, Ordering::Release);
        }
        self.unreachable.clear();
    }

    /// It refused a request for `function`. Returns whether it had not the last time.
    pub fn note_refused(&self, function: &FunctionKey, now: Instant) -> bool {
        self.note_answered();
        let known = self.refusing.load().get(function).cloned();
        let aside = known.unwrap_or_else(|| self.remember(function, now));
        let is_first = !aside.is_set();
        aside.extend(now, REFUSED);
        is_first
    }

    fn remember(&self, function: &FunctionKey, now: Instant) -> Arc<Aside> {
        let function = Arc::new(function.clone());
        self.refusing.rcu(|refusing| {
            let mut next = Refusing::clone(refusing);
            if next.len() >= REFUSED_MOST {
                next.retain(|_, aside| aside.holds(now));
            }
            next.entry(function.clone()).or_default();
            next
        });
        let now_known = self.refusing.load().get(&function).cloned();
        now_known.unwrap_or_default()
    }

    /// It began a request for `function`.
    pub fn note_accepted(&self, function: &FunctionKey) {
        self.note_answered();
        self.note_freed(function);
    }

    /// A request for `function` has ended in it: it is no longer set aside for being full.
    pub fn note_freed(&self, function: &FunctionKey) {
        let refusing = self.refusing.load();
        if !refusing.is_empty()
            && let Some(aside) = refusing.get(function)
        {
            aside.clear();
        }
    }
}

/// One request in a pod, counted until this is dropped.
#[derive(Debug)]
pub struct Load(Arc<Pod>);

impl Load {
    /// Counts a request.
    #[must_use]
    pub fn new(pod: Arc<Pod>) -> Self {
        pod.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(pod)
    }

    /// The pod.
    #[must_use]
    pub const fn pod(&self) -> &Arc<Pod> {
        &self.0
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(name: &str) -> FunctionKey {
        FunctionKey {
            namespace: "a".into(),
            name: name.into(),
        }
    }

    fn pod() -> Pod {
        Pod::new("127.0.0.1:1".parse().unwrap(), "")
    }

    #[test]
    fn a_refusal_concerns_one_function_until_the_pod_begins_one() {
        let (pod, now) = (pod(), Instant::now());
        let (one, two) = (function("one"), function("two"));
        assert!(pod.note_refused(&one, now));
        assert!(pod.is_refusing(&one, now));
        assert!(!pod.is_refusing(&two, now), "others are not concerned");
        assert!(!pod.is_refusing(&one, now + REFUSED.first));
        assert!(!pod.note_refused(&one, now + REFUSED.first));
        assert!(pod.is_refusing(&one, now + REFUSED.first * 2));
        pod.note_accepted(&one);
        assert!(!pod.is_refusing(&one, now + REFUSED.first * 2));
        assert!(pod.is_proven(), "who refuses is there");
    }

    #[test]
    fn a_pod_that_cannot_be_reached_is_tried_by_one_after_a_pause() {
        let (pod, now) = (pod(), Instant::now());
        assert!(!pod.is_out_of_reach(now) && pod.claim(now));
        pod.note_unreachable(now);
        assert!(pod.is_out_of_reach(now) && !pod.claim(now));
        let later = now + UNREACHABLE.first;
        assert!(!pod.is_out_of_reach(later));
        assert!(pod.claim(later));
        assert!(!pod.claim(later) && pod.is_out_of_reach(later));
        pod.note_unreachable(later);
        assert_eq!(pod.out_of_reach_for(later), UNREACHABLE.first * 2);
        pod.note_connected();
        assert!(pod.claim(later) && pod.claim(later));
        pod.note_unreachable(later);
        assert_eq!(pod.out_of_reach_for(later), UNREACHABLE.first * 4);
        pod.note_accepted(&function("one"));
        pod.note_unreachable(later);
        assert_eq!(pod.out_of_reach_for(later), UNREACHABLE.first);
    }

    #[test]
    fn many_functions_that_are_refused_are_forgotten_in_the_end() {
        let (pod, now) = (pod(), Instant::now());
        for number in 0..3 * REFUSED_MOST {
            let at = now + REFUSED.longest * u32::try_from(number).unwrap();
            pod.note_refused(&function(&number.to_string()), at);
            assert!(pod.refusing.load().len() <= REFUSED_MOST);
        }
    }
}
