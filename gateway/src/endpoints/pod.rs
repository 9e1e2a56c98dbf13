use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use wasmfn_crds::hosts::FunctionKey;

use crate::upstream::Upstream;

/// First pause after a pod could not be reached.
const UNREACHABLE_FIRST: Duration = Duration::from_millis(20);
/// Longest pause after a pod could not be reached.
const UNREACHABLE_LONGEST: Duration = Duration::from_secs(2);
/// First pause after a pod refused a function.
const REFUSED_FIRST: Duration = Duration::from_millis(10);
/// Functions for which refusals are remembered; beyond, those whose pause is over are forgotten.
const REFUSED_MOST: usize = 256;
/// Longest pause after a pod refused a function.
const REFUSED_LONGEST: Duration = Duration::from_millis(160);

/// How long something is set aside: each time in a row twice as long.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Aside {
    until: Option<Instant>,
    in_a_row: u32,
}

impl Aside {
    /// It failed once more.
    pub fn extend(&mut self, now: Instant, first: Duration, longest: Duration) {
        let pause = first
            .saturating_mul(1 << self.in_a_row.min(16))
            .min(longest);
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.until = Some(now + pause);
    }

    /// Whether it is set aside.
    #[must_use]
    pub fn holds(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

/// A runtime pod, as one gateway knows it.
#[derive(Debug)]
pub struct Pod {
    /// Address of its data port.
    pub address: SocketAddr,
    /// UID of the pod; empty where nobody said.
    pub uid: String,
    /// Connections to it.
    pub upstream: Arc<Upstream>,
    in_flight: AtomicU32,
    unreachable: Mutex<Aside>,
    refusing: Mutex<HashMap<FunctionKey, Aside>>,
    /// Size of `refusing`, so that the common case takes no lock.
    refusing_size: AtomicUsize,
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
            unreachable: Mutex::default(),
            refusing: Mutex::default(),
            refusing_size: AtomicUsize::new(0),
        }
    }

    /// Requests that this gateway has in the pod.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether requests for `function` should go elsewhere for the moment.
    #[must_use]
    pub fn is_aside(&self, function: &FunctionKey, now: Instant) -> bool {
        if held(&self.unreachable).holds(now) {
            return true;
        }
        self.refusing_size.load(Ordering::Acquire) > 0
            && held(&self.refusing)
                .get(function)
                .is_some_and(|aside| aside.holds(now))
    }

    /// It could not be reached.
    pub fn note_unreachable(&self, now: Instant) {
        held(&self.unreachable).extend(now, UNREACHABLE_FIRST, UNREACHABLE_LONGEST);
    }

    /// It refused a request for `function`.
    pub fn note_refused(&self, function: &FunctionKey, now: Instant) {
        *held(&self.unreachable) = Aside::default();
        let mut refusing = held(&self.refusing);
        if refusing.len() >= REFUSED_MOST {
            refusing.retain(|_, aside| aside.holds(now));
        }
        refusing
            .entry(function.clone())
            .or_default()
            .extend(now, REFUSED_FIRST, REFUSED_LONGEST);
        self.refusing_size.store(refusing.len(), Ordering::Release);
    }

    /// It began a request for `function`.
    pub fn note_accepted(&self, function: &FunctionKey) {
        let mut unreachable = held(&self.unreachable);
        if *unreachable != Aside::default() {
            *unreachable = Aside::default();
        }
        drop(unreachable);
        if self.refusing_size.load(Ordering::Acquire) > 0 {
            let mut refusing = held(&self.refusing);
            refusing.remove(function);
            self.refusing_size.store(refusing.len(), Ordering::Release);
        }
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .expect("nothing panics while it holds this lock")
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

    #[test]
    fn pauses_grow_to_a_bound_and_end_with_success() {
        let pod = Pod::new("127.0.0.1:1".parse().unwrap(), "");
        let now = Instant::now();
        let (one, two) = (function("one"), function("two"));
        pod.note_refused(&one, now);
        assert!(pod.is_aside(&one, now));
        assert!(!pod.is_aside(&two, now), "others are not concerned");
        assert!(!pod.is_aside(&one, now + REFUSED_FIRST));
        pod.note_refused(&one, now);
        assert!(pod.is_aside(&one, now + REFUSED_FIRST));
        for _ in 0..100 {
            pod.note_refused(&one, now);
        }
        assert!(!pod.is_aside(&one, now + REFUSED_LONGEST));
        pod.note_accepted(&one);
        assert!(!pod.is_aside(&one, now));
        pod.note_unreachable(now);
        assert!(pod.is_aside(&two, now));
    }
}
