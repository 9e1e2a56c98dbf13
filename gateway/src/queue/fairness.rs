//! Promises of the queues, held against made-up floods: order within a function, turns among
//! functions, nobody lost, no spinning.

use proptest::prelude::*;

use super::*;

/// Slots of a pod that functions share, and what happened to them.
#[derive(Debug, Default)]
struct Pod {
    free: usize,
    tries: usize,
    /// Function and number of each request that began, in order.
    begun: Vec<(usize, usize)>,
}

impl Pod {
    fn admit(&mut self, request: (usize, usize)) -> bool {
        self.tries += 1;
        if self.free == 0 {
            return false;
        }
        self.free -= 1;
        self.begun.push(request);
        true
    }
}

/// What the requests of one run share.
struct Run {
    pod: Mutex<Pod>,
    turns: Arc<Turns>,
    queues: Vec<Arc<Queue>>,
    _changes: watch::Sender<()>,
    changed: watch::Receiver<()>,
}

impl Run {
    fn new(functions: usize) -> Arc<Self> {
        let (sender, changed) = watch::channel(());
        Arc::new(Self {
            pod: Mutex::default(),
            turns: Arc::default(),
            queues: (0..functions).map(|_| Arc::default()).collect(),
            _changes: sender,
            changed,
        })
    }

    /// A request waits until the pod begins it.
    async fn wait(self: Arc<Self>, mut place: Place, request: (usize, usize)) {
        place.line_up(&self.turns, &self.changed);
        loop {
            place.turn().await.unwrap();
            if self.pod.lock().unwrap().admit(request) {
                place.accepted();
                return;
            }
            place.refused(Cause::Full);
            place.line_up(&self.turns, &self.changed);
        }
    }

    /// A request of `function` has ended.
    fn free(&self, function: usize) {
        self.pod.lock().unwrap().free += 1;
        self.turns.slot_freed(&self.queues[function]);
    }

    fn begun(&self) -> usize {
        self.pod.lock().unwrap().begun.len()
    }
}

/// Lets so many requests of each function wait for a pod that is full, then frees one slot after
/// another: always by the function of `owner`, as if it had them all. Returns what happened.
async fn run(waiting: &[usize], owner: usize) -> Pod {
    let run = Run::new(waiting.len());
    let mut tasks = Vec::new();
    for (function, count) in waiting.iter().enumerate() {
        for number in 0..*count {
            let place = run.queues[function].join(*count, Some(Cause::Full));
            let waits = run.clone().wait(place.unwrap(), (function, number));
            tasks.push(tokio::spawn(waits));
            tokio::task::yield_now().await;
        }
    }
    for freed in 0..tasks.len() {
        run.free(owner);
        let begins = async {
            while run.begun() <= freed {
                tokio::task::yield_now().await;
            }
        };
        // Time stands still while there is anything to do: nothing waits for a pause.
        begins.await;
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert!(run.queues.iter().all(|queue| queue.is_empty()));
    assert!(run.turns.is_empty());
    std::mem::take(&mut *run.pod.lock().unwrap())
}

fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn everyone_is_served_in_order_and_functions_take_turns(
        waiting in prop::collection::vec(1_usize..40, 1..6),
        owner in any::<prop::sample::Index>(),
    ) {
        let owner = owner.index(waiting.len());
        let pod = paused().block_on(run(&waiting, owner));
        let total: usize = waiting.iter().sum();
        prop_assert_eq!(pod.begun.len(), total, "nobody is lost");
        prop_assert!(pod.tries <= 2 * total, "{} tries for {} requests", pod.tries, total);
        let mut served = vec![0; waiting.len()];
        for (function, number) in pod.begun {
            prop_assert_eq!(number, served[function], "first come, first served");
            served[function] += 1;
            let still_waiting = || (0..waiting.len()).filter(|other| served[*other] < waiting[*other]);
            let least = still_waiting().map(|other| served[other]).min();
            let most = still_waiting().map(|other| served[other]).max();
            if let (Some(least), Some(most)) = (least, most) {
                prop_assert!(most - least <= 1, "{:?} of {:?}", served, waiting);
            }
        }
    }
}

#[test]
fn a_flood_does_not_starve_another_function() {
    let pod = paused().block_on(run(&[1000, 5], 0));
    let last = pod.begun.iter().rposition(|(function, _)| *function == 1);
    assert!(last.unwrap() <= 10, "{last:?}");
}
