//! Which pods serve a runtime deployment: an immutable snapshot, built anew when they change.

use std::{collections::HashMap, sync::Arc};

mod aside;
mod pod;
mod probing;
mod slices;

pub use pod::{Load, Pod};
pub use slices::{Address, Phase, gather};

/// Namespace and name of a runtime deployment.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RuntimeKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Pods of one runtime deployment.
#[derive(Debug, Default)]
pub struct Backends {
    /// Those that are ready.
    pub ready: Vec<Arc<Pod>>,
    /// Those that are told to go and still accept.
    pub leaving: Vec<Arc<Pod>>,
    /// Those that are not ready yet.
    pub starting: Vec<Arc<Pod>>,
}

impl Backends {
    /// All of them.
    pub fn pods(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.ready.iter().chain(&self.leaving).chain(&self.starting)
    }

    fn list(&mut self, phase: Phase) -> &mut Vec<Arc<Pod>> {
        match phase {
            Phase::Ready => &mut self.ready,
            Phase::Leaving => &mut self.leaving,
            Phase::Starting => &mut self.starting,
        }
    }
}

/// All pods at one moment.
#[derive(Debug, Default)]
pub struct Endpoints {
    by_runtime: HashMap<RuntimeKey, Arc<Backends>>,
}

impl Endpoints {
    /// The snapshot that follows this one. A pod keeps its connections and what is remembered of
    /// it as long as it has the same address and UID.
    #[must_use]
    pub fn next(&self, addresses: &HashMap<RuntimeKey, Vec<Address>>) -> Self {
        let by_runtime = addresses
            .iter()
            .map(|(runtime, addresses)| {
                let mut backends = Backends::default();
                for address in addresses {
                    let pod = self
                        .known(runtime, address)
                        .unwrap_or_else(|| Arc::new(Pod::new(address.socket, &address.uid)));
                    backends.list(address.phase).push(pod);
                }
                (runtime.clone(), Arc::new(backends))
            })
            .collect();
        Self { by_runtime }
    }

    fn known(&self, runtime: &RuntimeKey, address: &Address) -> Option<Arc<Pod>> {
        self.by_runtime
            .get(runtime)?
            .pods()
            .find(|pod| pod.address == address.socket && pod.uid == address.uid)
            .cloned()
    }

    /// Pods of a runtime deployment.
    #[must_use]
    pub fn of(&self, runtime: &RuntimeKey) -> Option<&Arc<Backends>> {
        self.by_runtime.get(runtime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_the_same_through_its_phases_but_not_under_another_uid() {
        let runtime = RuntimeKey {
            namespace: "a".into(),
            name: "wasmfn-shared".into(),
        };
        let table = |uid: &str, phase| {
            let address = Address {
                socket: "10.0.0.1:8080".parse().unwrap(),
                uid: uid.into(),
                phase,
            };
            HashMap::from([(runtime.clone(), vec![address])])
        };
        let first = Endpoints::default().next(&table("1", Phase::Starting));
        let second = first.next(&table("1", Phase::Ready));
        let third = second.next(&table("2", Phase::Ready));
        let starting = &first.of(&runtime).unwrap().starting[0];
        let ready = &second.of(&runtime).unwrap().ready[0];
        let other = &third.of(&runtime).unwrap().ready[0];
        assert!(Arc::ptr_eq(starting, ready));
        assert!(!Arc::ptr_eq(ready, other));
    }
}
