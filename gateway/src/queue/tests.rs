use super::*;

fn changes() -> (watch::Sender<()>, watch::Receiver<()>) {
    watch::channel(())
}

/// Whether a place's turn has come by now. Time is paused: nothing passes meanwhile.
async fn has_turn(place: &mut Place, changes: &watch::Receiver<()>) -> bool {
    tokio::select! {
        biased;
        () = place.turn(changes) => true,
        () = tokio::task::yield_now() => false,
    }
}

#[tokio::test(start_paused = true)]
async fn one_tries_and_the_others_follow_in_order() {
    let (_sender, changes) = changes();
    let queue = Arc::new(Queue::default());
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for number in 0..5 {
        let mut place = queue.join(10, number == 0).unwrap();
        let (changes, order) = (changes.clone(), order.clone());
        tasks.push(tokio::spawn(async move {
            place.turn(&changes).await;
            order.lock().unwrap().push(number);
            place.accepted();
        }));
        tokio::task::yield_now().await;
    }
    assert!(order.lock().unwrap().is_empty(), "the first was refused");
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
    assert!(queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn it_is_bounded() {
    let queue = Arc::new(Queue::default());
    let first = queue.join(1, true).unwrap();
    assert_eq!(queue.join(1, false).unwrap_err(), QueueFull);
    assert_eq!(queue.join(0, false).unwrap_err(), QueueFull);
    drop(first);
    assert!(queue.join(1, false).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_change_and_a_freed_slot_release_at_once() {
    let (sender, changes) = changes();
    let queue = Arc::new(Queue::default());
    let started = Instant::now();
    let mut place = queue.join(10, true).unwrap();
    {
        let mut waiting = Box::pin(place.turn(&changes));
        assert!(futures::poll!(&mut waiting).is_pending());
        // The task that follows changes is to run first.
        tokio::task::yield_now().await;
        sender.send_replace(());
        waiting.await;
    }
    assert_eq!(started.elapsed(), Duration::ZERO);
    place.refused();
    {
        let mut waiting = Box::pin(place.turn(&changes));
        assert!(futures::poll!(&mut waiting).is_pending());
        queue.slot_freed();
        waiting.await;
    }
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_keeps_its_place() {
    let (_sender, changes) = changes();
    let queue = Arc::new(Queue::default());
    let mut first = queue.join(10, true).unwrap();
    let mut second = queue.join(10, false).unwrap();
    first.turn(&changes).await;
    first.refused();
    let order = Mutex::new(Vec::new());
    futures::join!(
        async {
            second.turn(&changes).await;
            order.lock().unwrap().push("second");
        },
        async {
            first.turn(&changes).await;
            order.lock().unwrap().push("first");
            first.accepted();
        }
    );
    assert_eq!(*order.lock().unwrap(), ["first", "second"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_leaves_blocks_nobody() {
    let (_sender, changes) = changes();
    let queue = Arc::new(Queue::default());
    let mut first = queue.join(10, true).unwrap();
    let mut second = queue.join(10, false).unwrap();
    first.turn(&changes).await;
    assert!(!has_turn(&mut second, &changes).await, "the first tries");
    drop(first);
    second.turn(&changes).await;
    drop(second);
    assert!(queue.is_empty());
    assert_eq!(queue.state().window.trying(), 0);
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_with_the_waiting() {
    assert_eq!(pause(Duration::ZERO), SHORTEST_PAUSE);
    assert_eq!(pause(Duration::from_millis(300)), Duration::from_millis(15));
    assert_eq!(pause(Duration::from_secs(60)), LONGEST_PAUSE);
    let (_sender, changes) = changes();
    let queue = Arc::new(Queue::default());
    let mut place = queue.join(10, true).unwrap();
    let started = Instant::now();
    let mut tries = 0;
    while started.elapsed() < Duration::from_secs(1) {
        place.turn(&changes).await;
        place.refused();
        tries += 1;
    }
    assert!((60..=80).contains(&tries), "{tries}");
}
