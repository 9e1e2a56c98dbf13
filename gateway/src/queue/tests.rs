use super::*;

fn changes() -> (watch::Sender<()>, watch::Receiver<()>) {
    watch::channel(())
}

async fn turn(place: &mut Place, changes: &watch::Receiver<()>) {
    turn_in(place, &Arc::default(), changes).await;
}

async fn turn_in(place: &mut Place, turns: &Arc<Turns>, changes: &watch::Receiver<()>) {
    place.line_up(turns, changes);
    place.turn().await.unwrap();
}

/// Whether a place's turn has come by now. Time is paused: nothing passes meanwhile.
async fn has_turn(place: &mut Place, changes: &watch::Receiver<()>) -> bool {
    tokio::select! {
        biased;
        () = turn(place, changes) => true,
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
        let mut place = queue
            .join(10, (number == 0).then_some(Cause::Full))
            .unwrap();
        let (changes, order) = (changes.clone(), order.clone());
        tasks.push(tokio::spawn(async move {
            turn(&mut place, &changes).await;
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
    let first = queue.join(1, Some(Cause::Full)).unwrap();
    assert_eq!(queue.join(1, None).unwrap_err(), QueueFull);
    assert_eq!(queue.join(0, None).unwrap_err(), QueueFull);
    drop(first);
    assert!(queue.join(1, None).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_change_and_a_freed_slot_release_at_once() {
    let (sender, changes) = changes();
    let queue = Arc::new(Queue::default());
    let started = Instant::now();
    let mut place = queue.join(10, Some(Cause::Full)).unwrap();
    {
        let mut waiting = Box::pin(turn(&mut place, &changes));
        assert!(futures::poll!(&mut waiting).is_pending());
        // The task that follows changes is to run first.
        tokio::task::yield_now().await;
        sender.send_replace(());
        waiting.await;
    }
    assert_eq!(started.elapsed(), Duration::ZERO);
    place.refused(Cause::Full);
    {
        let turns = Arc::new(Turns::default());
        let mut waiting = Box::pin(turn_in(&mut place, &turns, &changes));
        assert!(futures::poll!(&mut waiting).is_pending());
        turns.slot_freed(&queue);
        waiting.await;
    }
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_keeps_its_place() {
    let (_sender, changes) = changes();
    let queue = Arc::new(Queue::default());
    let mut first = queue.join(10, Some(Cause::Full)).unwrap();
    let mut second = queue.join(10, None).unwrap();
    turn(&mut first, &changes).await;
    first.refused(Cause::Full);
    let order = Mutex::new(Vec::new());
    futures::join!(
        async {
            turn(&mut second, &changes).await;
            order.lock().unwrap().push("second");
        },
        async {
            turn(&mut first, &changes).await;
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
    let mut first = queue.join(10, Some(Cause::Full)).unwrap();
    let mut second = queue.join(10, None).unwrap();
    turn(&mut first, &changes).await;
    assert!(!has_turn(&mut second, &changes).await, "the first tries");
    drop(first);
    turn(&mut second, &changes).await;
    drop(second);
    assert!(queue.is_empty());
    assert_eq!(queue.state().window.trying(), 0);
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_with_the_waiting() {
    let pause = |waited| Cause::Full.pause(waited);
    assert_eq!(pause(Duration::ZERO), SHORTEST_PAUSE);
    assert_eq!(pause(Duration::from_millis(300)), Duration::from_millis(15));
    assert_eq!(pause(Duration::from_secs(60)), LONGEST_PAUSE);
    let (_sender, changes) = changes();
    let queue = Arc::new(Queue::default());
    let mut place = queue.join(10, Some(Cause::Full)).unwrap();
    let started = Instant::now();
    let mut tries = 0;
    while started.elapsed() < Duration::from_secs(1) {
        turn(&mut place, &changes).await;
        place.refused(Cause::Full);
        tries += 1;
    }
    assert!((60..=80).contains(&tries), "{tries}");
}

#[tokio::test(start_paused = true)]
async fn without_a_pod_nobody_tries_until_something_changes() {
    let (sender, changes) = changes();
    let queue = Arc::new(Queue::default());
    let mut place = queue.join(10, Some(Cause::NoPod)).unwrap();
    let started = Instant::now();
    turn(&mut place, &changes).await;
    assert_eq!(started.elapsed(), PAUSE_WITHOUT_POD);
    place.refused(Cause::NoPod);
    place.line_up(&Arc::default(), &changes);
    tokio::time::sleep(Duration::from_millis(1)).await;
    sender.send_replace(());
    let told = Instant::now();
    place.turn().await.unwrap();
    assert_eq!(told.elapsed(), Duration::ZERO);
    // There are pods now: the pauses are the short ones from here on.
    place.refused(Cause::Full);
    turn(&mut place, &changes).await;
    assert!(told.elapsed() <= LONGEST_PAUSE * 2, "{:?}", told.elapsed());
}

#[tokio::test(start_paused = true)]
async fn all_that_wait_give_up_at_once() {
    let (_sender, changes) = changes();
    let queue = Arc::new(Queue::default());
    let mut places: Vec<_> = (0..100)
        .map(|_| queue.join(100, Some(Cause::Full)).unwrap())
        .collect();
    let turns = Arc::default();
    for place in &mut places {
        place.line_up(&turns, &changes);
    }
    queue.dismiss(AnswerReason::LoadFailed);
    let started = Instant::now();
    for place in &mut places {
        assert_eq!(place.turn().await, Err(AnswerReason::LoadFailed));
    }
    assert_eq!(started.elapsed(), Duration::ZERO);
    drop(places);
    assert!(queue.is_empty() && turns.is_empty());
    assert_eq!(queue.state().window.trying(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_is_offered_to_one_that_goes_is_offered_to_the_next() {
    let (_sender, changes) = changes();
    let (queue, turns) = (Arc::new(Queue::default()), Arc::new(Turns::default()));
    let mut first = queue.join(10, Some(Cause::Full)).unwrap();
    let mut second = queue.join(10, None).unwrap();
    first.line_up(&turns, &changes);
    second.line_up(&turns, &changes);
    let started = Instant::now();
    turns.slot_freed(&queue);
    drop(first);
    second.turn().await.unwrap();
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert_eq!(queue.state().window.trying(), 0, "it tries by the offer");
    drop(second);
    assert!(queue.is_empty() && turns.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_one_function_cannot_use_goes_to_the_one_that_freed_it() {
    let (_sender, changes) = changes();
    let turns = Arc::new(Turns::default());
    let (barred, own) = (Arc::new(Queue::default()), Arc::new(Queue::default()));
    let mut one = barred.join(10, Some(Cause::Full)).unwrap();
    let mut other = own.join(10, Some(Cause::Full)).unwrap();
    one.line_up(&turns, &changes);
    other.line_up(&turns, &changes);
    let started = Instant::now();
    turns.slot_freed(&own);
    one.turn().await.unwrap();
    one.refused(Cause::Full);
    other.turn().await.unwrap();
    other.accepted();
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_function_that_moves_takes_its_turn_elsewhere() {
    let (_sender, changes) = changes();
    let queue = Arc::new(Queue::default());
    let (old, new) = (Arc::new(Turns::default()), Arc::new(Turns::default()));
    let mut place = queue.join(10, Some(Cause::Full)).unwrap();
    turn_in(&mut place, &old, &changes).await;
    place.refused(Cause::Full);
    assert!(!old.is_empty());
    place.line_up(&new, &changes);
    assert!(old.is_empty() && !new.is_empty());
    drop(place);
    assert!(new.is_empty());
}
