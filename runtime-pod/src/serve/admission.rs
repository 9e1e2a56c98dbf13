//! Whether a request may begin: decided before anything of its body is read.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use wasmfn_crds::answer::Refusal;

use super::{
    reuse::{Instance, Pool, Pools, Room},
    shared::Seat,
};
use crate::{
    budget::Budget,
    code::Lost,
    engine::{Module, Slot, Slots},
    function::{Function, InFlight, Reuse, Version},
    share::Share,
};

/// How long the pod calls itself full after it had to refuse a request for want of memory.
const FULL_DURATION: Duration = Duration::from_secs(1);

/// What requests of all functions share.
#[derive(Debug)]
pub struct Admission {
    budget: Arc<Budget>,
    slots: Arc<Slots>,
    share: Share,
    started_at: Instant,
    /// Milliseconds from `started_at` to the end of the time in which the pod calls itself full.
    full_until: AtomicU64,
}

/// A request that may begin.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) version: Arc<Version>,
    pub(super) module: Arc<Module>,
    pub(super) place: Place,
    /// Held until the guest has ended and its answer is sent.
    pub(super) permit: Arc<Permit>,
}

/// Where a request runs.
#[derive(Debug)]
pub(super) enum Place {
    /// In an instance that is to be made.
    Fresh(Room),
    /// In an instance that has served others.
    Kept(Box<Instance>),
    /// In an instance that serves others at the same time.
    Seat(Seat),
}

/// What counts a request as in flight.
#[derive(Debug)]
pub(super) struct Permit {
    _in_flight: InFlight,
    /// One of the process.
    _slot: Slot,
}

impl Admission {
    /// At most `slots` requests at the same time, with memory of `budget`; one function has at most its
    /// `share` of both.
    #[must_use]
    pub fn new(budget: Arc<Budget>, slots: Arc<Slots>, share: Share) -> Self {
        Self {
            budget,
            slots,
            share,
            started_at: Instant::now(),
            full_until: AtomicU64::new(0),
        }
    }

    /// The version of `function` that answers, or why there is none.
    pub(super) fn version(function: &Function) -> Result<Arc<Version>, Refusal> {
        function.version().ok_or_else(|| {
            // It is first in line from now on.
            function.demand().note();
            if function.has_failed() {
                Refusal::Failed
            } else {
                Refusal::Loading
            }
        })
    }

    /// Lets a request of `version` begin, or says why not: in an instance of `pool`, if one waits
    /// there, else in a fresh one, for whose sake those of `pools` go that wait.
    pub(super) fn admit(
        &self,
        function: &Arc<Function>,
        version: Arc<Version>,
        pool: &Pool,
        pools: &Pools,
    ) -> Result<Admitted, Refusal> {
        let in_flight = function
            .enter(version.limits().max_concurrency)
            .ok_or(Refusal::Full)?;
        let before = in_flight.count().saturating_sub(1);
        if !(self.share).allows(before.into(), 1, self.slots.free().into()) {
            return Err(self.refuse_full());
        }
        let slot = self.slots.take(1).ok_or_else(|| self.refuse_full())?;
        let permit = Arc::new(Permit {
            _in_flight: in_flight,
            _slot: slot,
        });
        if version.reuse().is_some_and(Reuse::is_on)
            && let Some((module, place)) = there_already(pool, &version)
        {
            version.code().note_use();
            return Ok(Admitted {
                version,
                module,
                place,
                permit,
            });
        }
        let module = version.code().module().map_err(|Lost| Refusal::Loading)?;
        let room = self.room(function, &version, &module, before, pools)?;
        Ok(Admitted {
            version,
            module,
            place: Place::Fresh(room),
            permit,
        })
    }

    /// Room for a fresh instance of a function of which `before` other requests are in flight.
    fn room(
        &self,
        function: &Function,
        version: &Version,
        module: &Module,
        before: u32,
        pools: &Pools,
    ) -> Result<Room, Refusal> {
        let (slots, weight) = (module.engine().slots(), module.slots());
        let held = u64::from(before) * u64::from(weight);
        let slot = loop {
            if (self.share).allows(held, weight.into(), slots.free().into()) {
                match slots.take(weight) {
                    Some(slot) => break slot,
                    None if pools.let_go_of(slots) => {}
                    None => return Err(self.refuse_full()),
                }
            } else if !pools.let_go_of(slots) {
                return Err(self.refuse_full());
            }
        };
        // Nobody waits for what may never be free: such a guest is told when it asks for it.
        let initial = module.initial_bytes().min(self.budget.limit_bytes() / 2);
        let expected = (function.expected_bytes().max(initial)).min(version.limits().memory_bytes);
        let reservation = self
            .budget
            .reserve_for(function.memory(), self.share, expected)
            .ok_or_else(|| self.refuse_full())?;
        Ok(Room { reservation, slot })
    }

    /// Takes note that the pod could not take a request.
    pub(crate) fn refuse_full(&self) -> Refusal {
        let until = self.started_at.elapsed() + FULL_DURATION;
        self.full_until
            .store(milliseconds(until), Ordering::Relaxed);
        Refusal::Full
    }

    /// Whether requests were refused a moment ago for want of memory or slots, be it that what is left is
    /// for other functions.
    #[must_use]
    pub fn is_full(&self) -> bool {
        milliseconds(self.started_at.elapsed()) < self.full_until.load(Ordering::Relaxed)
    }

    /// Requests in flight, of all functions.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.slots.used()
    }

    /// The memory budget.
    #[must_use]
    pub const fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }
}

/// A place in an instance of `version` that is there already.
fn there_already(pool: &Pool, version: &Arc<Version>) -> Option<(Arc<Module>, Place)> {
    if let Some(seat) = pool.open().enter(version) {
        return Some((Arc::clone(seat.module()), Place::Seat(seat)));
    }
    let instance = pool.take(version)?;
    Some((Arc::clone(instance.module()), Place::Kept(instance)))
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
