use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use tokio_util::task::AbortOnDropHandle;
use wasmfn_crds::{
    names::{
        COMPONENT_LABEL, GATEWAY_ADMIN_PORT, GATEWAY_COMPONENT, RUNTIME_ADMIN_PORT,
        RUNTIME_COMPONENT,
    },
    token::{MasterKey, Purpose},
};

use super::{
    Knowledge, PodId,
    stream::{Happening, Target, follow},
};
use crate::reconcile::pod;

/// Which stream a pod offers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Offers {
    Runtime,
    Gateway,
}

/// A pod's stream that is being read.
struct Follower {
    target: Target,
    offers: Offers,
    _task: AbortOnDropHandle<()>,
}

/// Follows each runtime pod, and each gateway of wasmfn's own namespace.
pub struct Followers {
    knowledge: Arc<Knowledge>,
    master_key: MasterKey,
    namespace: String,
    followers: HashMap<PodId, Follower>,
}

impl Followers {
    /// Follows nobody yet. `namespace` is wasmfn's own.
    #[must_use]
    pub fn new(knowledge: Arc<Knowledge>, master_key: MasterKey, namespace: &str) -> Self {
        Self {
            knowledge,
            master_key,
            namespace: namespace.to_owned(),
            followers: HashMap::new(),
        }
    }

    /// A pod was made or has changed.
    pub fn seen(&mut self, pod: &Pod) {
        let id = pod::id(pod);
        let Some(offers) = self.offers(pod) else {
            return;
        };
        if pod::is_finished(pod) {
            self.gone(pod);
            return;
        }
        if offers == Offers::Gateway {
            let now = Instant::now();
            self.knowledge.gateway_seen(&id, pod::is_ready(pod), now);
        }
        let Some(target) = self.target(pod, offers) else {
            return;
        };
        let follows = |follower: &Follower| follower.target == target;
        if !self.followers.get(&id).is_some_and(follows) {
            let task = self.start(id.clone(), target.clone(), offers);
            self.followers.insert(id, task);
        }
    }

    /// A pod is there no more.
    pub fn gone(&mut self, pod: &Pod) {
        let id = pod::id(pod);
        self.drop_follower(&id, self.offers(pod));
    }

    /// These pods are there, and no others.
    pub fn retain<'a>(&mut self, pods: impl IntoIterator<Item = &'a Pod>) {
        let there: std::collections::HashSet<PodId> = pods.into_iter().map(pod::id).collect();
        let gone: Vec<(PodId, Offers)> = self
            .followers
            .iter()
            .filter(|(id, _)| !there.contains(id))
            .map(|(id, follower)| (id.clone(), follower.offers))
            .collect();
        for (id, offers) in gone {
            self.drop_follower(&id, Some(offers));
        }
    }

    /// How many pods are followed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.followers.len()
    }

    /// Whether nobody is followed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.followers.is_empty()
    }

    fn drop_follower(&mut self, id: &PodId, offers: Option<Offers>) {
        self.followers.remove(id);
        match offers {
            Some(Offers::Runtime) => self.knowledge.runtime_gone(id),
            Some(Offers::Gateway) => self.knowledge.gateway_gone(id, Instant::now()),
            None => {}
        }
    }

    /// Gateways are believed only in wasmfn's own namespace.
    fn offers(&self, pod: &Pod) -> Option<Offers> {
        match pod.labels().get(COMPONENT_LABEL).map(String::as_str) {
            Some(RUNTIME_COMPONENT) => Some(Offers::Runtime),
            Some(GATEWAY_COMPONENT) if pod.namespace().as_deref() == Some(&self.namespace) => {
                Some(Offers::Gateway)
            }
            _ => None,
        }
    }

    fn target(&self, pod: &Pod, offers: Offers) -> Option<Target> {
        let address: IpAddr = pod.status.as_ref()?.pod_ip.as_deref()?.parse().ok()?;
        let port = match offers {
            Offers::Runtime => RUNTIME_ADMIN_PORT,
            Offers::Gateway => GATEWAY_ADMIN_PORT,
        };
        let namespace = pod.namespace().unwrap_or_default();
        Some(Target {
            address: SocketAddr::new(address, port),
            token: self.master_key.derive(Purpose::Admin, &namespace),
        })
    }

    fn start(&self, id: PodId, target: Target, offers: Offers) -> Follower {
        let knowledge = Arc::clone(&self.knowledge);
        let followed = target.clone();
        let task = match offers {
            Offers::Runtime => tokio::spawn(async move {
                follow(&followed, |happening| match happening {
                    Happening::Opened => knowledge.runtime_opened(&id),
                    Happening::Said(line) => knowledge.runtime_said(&id, line),
                    Happening::Closed => knowledge.runtime_closed(&id),
                })
                .await;
            }),
            Offers::Gateway => tokio::spawn(async move {
                follow(&followed, |happening| match happening {
                    Happening::Opened => knowledge.gateway_opened(&id),
                    Happening::Said(line) => knowledge.gateway_said(&id, line, Instant::now()),
                    Happening::Closed => knowledge.gateway_closed(&id),
                })
                .await;
            }),
        };
        Follower {
            target,
            offers,
            _task: AbortOnDropHandle::new(task),
        }
    }
}
