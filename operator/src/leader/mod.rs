//! Which operator writes: the one that holds the Lease. It exits when it loses it.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, api::PostParams};
use thiserror::Error;
use tokio::time::{self, sleep, timeout};
use wasmfn_crds::names::{FIELD_MANAGER, LEADER_LEASE, MANAGED_BY, MANAGED_BY_LABEL};

mod decide;
#[cfg(test)]
mod tests;

use crate::telemetry::chain;
use decide::{Hold, Step, decide};

/// How long a Lease that nobody renews is respected, in seconds.
const LEASE_SECONDS: i32 = 10;

/// How often the leader renews it.
const RENEW_EVERY: Duration = Duration::from_secs(3);

/// How often the others look.
const RETRY_EVERY: Duration = Duration::from_secs(2);

/// After this long without a renewal the leader stops: before anyone else may begin.
const GIVE_UP_AFTER: Duration = Duration::from_secs(8);

/// How long one call to the API server may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// The Lease is lost.
#[derive(Debug, Error)]
pub enum LeaderError {
    /// Somebody else has it.
    #[error("`{0}` leads now")]
    Taken(String),
    /// It could not be renewed in time.
    #[error("the Lease could not be renewed for {} s", GIVE_UP_AFTER.as_secs())]
    NotRenewed,
}

/// One who may lead.
pub struct Candidate {
    api: Api<Lease>,
    me: String,
    seen: Option<Seen>,
}

/// A Lease as it was seen, and since when it has not changed: other machines' clocks say nothing.
struct Seen {
    lease: Lease,
    unchanged_since: Instant,
}

impl Candidate {
    /// Runs for the Lease in `namespace` under the name `me`.
    #[must_use]
    pub fn new(client: Client, namespace: &str, me: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            me: me.to_owned(),
            seen: None,
        }
    }

    /// Waits until this one leads.
    pub async fn acquire(&mut self) {
        loop {
            match self.try_once().await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(error = chain(&error), "cannot see to the Lease");
                }
            }
            sleep(RETRY_EVERY).await;
        }
    }

    /// Renews the Lease for as long as that works.
    pub async fn hold(&mut self) -> LeaderError {
        let mut renewed = time::Instant::now();
        let mut pause = RENEW_EVERY;
        loop {
            let trying = async {
                sleep(pause).await;
                (time::Instant::now(), self.try_once().await)
            };
            let left = GIVE_UP_AFTER.saturating_sub(renewed.elapsed());
            let Ok((begun, tried)) = timeout(left, trying).await else {
                return LeaderError::NotRenewed;
            };
            match tried {
                Ok(true) => (renewed, pause) = (begun, RENEW_EVERY),
                Ok(false) => return LeaderError::Taken(self.holder()),
                Err(error) => {
                    tracing::warn!(error = chain(&error), "cannot renew the Lease");
                    pause = RETRY_EVERY;
                }
            }
        }
    }

    /// Gives the Lease back, so that another one need not wait.
    pub async fn release(&mut self) {
        if let Err(error) = self.release_once().await {
            tracing::warn!(error = chain(&error), "cannot give the Lease back");
        }
    }

    /// Looks again first: a renewal may have been under way when this one was told to go.
    async fn release_once(&mut self) -> Result<(), kube::Error> {
        let Some(mut lease) = self.call(self.api.get_opt(LEADER_LEASE)).await? else {
            return Ok(());
        };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() == Some(&self.me) {
            spec.holder_identity = Some(String::new());
            spec.renew_time = Some(MicroTime(Timestamp::now()));
            self.replace(&lease).await?;
        }
        Ok(())
    }

    /// Looks at the Lease and does what is to be done; says whether this one leads.
    async fn try_once(&mut self) -> Result<bool, kube::Error> {
        let found = self.call(self.api.get_opt(LEADER_LEASE)).await?;
        let now = Instant::now();
        let Some(lease) = found else {
            let created = self.call(self.api.create(&params(), &self.fresh())).await;
            return self.mine(created, now);
        };
        let unchanged_since = self
            .seen
            .take()
            .filter(|seen| seen.lease.metadata.resource_version == lease.metadata.resource_version)
            .map_or(now, |seen| seen.unchanged_since);
        let hold = Hold::of(&lease, now.saturating_duration_since(unchanged_since));
        let step = decide(&hold, &self.me);
        self.seen = Some(Seen {
            lease: lease.clone(),
            unchanged_since,
        });
        match step {
            Step::Wait => Ok(false),
            Step::Renew | Step::Acquire => {
                let written = self.replace(&self.taken(lease, step)).await;
                self.mine(written, now)
            }
        }
    }

    /// A conflict means that another one was quicker.
    fn mine(
        &mut self,
        written: Result<Lease, kube::Error>,
        now: Instant,
    ) -> Result<bool, kube::Error> {
        match written {
            Ok(lease) => {
                self.seen = Some(Seen {
                    lease,
                    unchanged_since: now,
                });
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn holder(&self) -> String {
        let spec = self.seen.as_ref().and_then(|seen| seen.lease.spec.as_ref());
        spec.and_then(|spec| spec.holder_identity.clone())
            .unwrap_or_default()
    }

    fn fresh(&self) -> Lease {
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(LEADER_LEASE.to_owned()),
                labels: Some([(MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned())].into()),
                ..ObjectMeta::default()
            },
            spec: None,
        };
        self.taken(lease, Step::Acquire)
    }

    fn taken(&self, mut lease: Lease, step: Step) -> Lease {
        let now = MicroTime(Timestamp::now());
        let before = lease.spec.take().unwrap_or_default();
        let mut spec = LeaseSpec {
            holder_identity: Some(self.me.clone()),
            lease_duration_seconds: Some(LEASE_SECONDS),
            renew_time: Some(now.clone()),
            ..before
        };
        if step == Step::Acquire {
            spec.acquire_time = Some(now);
            spec.lease_transitions = Some(spec.lease_transitions.map_or(0, |count| count + 1));
        }
        lease.spec = Some(spec);
        lease
    }

    /// With the observed resource version: whoever writes second loses.
    async fn replace(&self, lease: &Lease) -> Result<Lease, kube::Error> {
        self.call(self.api.replace(LEADER_LEASE, &params(), lease))
            .await
    }

    async fn call<T>(
        &self,
        call: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, kube::Error> {
        timeout(CALL_TIMEOUT, call).await.unwrap_or_else(|_| {
            let error = std::io::Error::from(std::io::ErrorKind::TimedOut);
            Err(kube::Error::Service(error.into()))
        })
    }
}

fn params() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}
