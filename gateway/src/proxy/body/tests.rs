use std::{convert::Infallible, pin::Pin, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;
use futures::{SinkExt, channel::mpsc};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};

use super::*;
use crate::{
    metrics::Fault,
    routes::Entrance,
    upstream::Protocol::{self, Http1, Http2},
};

const BUDGET: usize = 1 << 20;
/// Time in which something of a body must come.
const WITHIN: Duration = Duration::from_secs(60);

/// Holds a body of a request that may be repeated.
fn hold<B>(body: B, budget: &Budget, protocol: Protocol) -> HeldBody
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BodyError>,
{
    let keeping = Keeping {
        budget,
        account: &Account::default(),
        protocol,
        expects: false,
        repeatable: true,
        pace: pace(),
    };
    HeldBody::new(body, keeping)
}

/// A pace that every body keeps to, but for those of one test.
fn pace() -> Pace {
    Pace {
        within: WITHIN,
        entrance: Entrance::Public,
        metrics: Arc::default(),
    }
}

/// A body of unknown length, fed by hand.
fn fed() -> (
    mpsc::Sender<Result<Frame<Bytes>, Infallible>>,
    impl Body<Data = Bytes, Error = Infallible> + Send + 'static,
) {
    let (sender, receiver) = mpsc::channel(16);
    (sender, StreamBody::new(receiver))
}

async fn feed(sender: &mut mpsc::Sender<Result<Frame<Bytes>, Infallible>>, bytes: usize) {
    let frame = Frame::data(Bytes::from(vec![7; bytes]));
    sender.send(Ok(frame)).await.unwrap();
}

/// Bytes that an attempt gives without waiting, and whether it has ended.
async fn available(attempt: &mut AttemptBody) -> (usize, bool) {
    let mut bytes = 0;
    loop {
        let polled = futures::poll!(std::future::poll_fn(|context| {
            Pin::new(&mut *attempt).poll_frame(context)
        }));
        match polled {
            Poll::Pending => return (bytes, false),
            Poll::Ready(None) => return (bytes, true),
            Poll::Ready(Some(frame)) => bytes += frame.unwrap().into_data().unwrap().len(),
        }
    }
}

#[tokio::test]
async fn a_short_body_is_kept_whole_for_another_pod() {
    let budget = Budget::new(BUDGET);
    let held = hold(Full::new(Bytes::from_static(b"hello")), &budget, Http1);
    held.gather().await;
    assert!(held.is_in_hand());
    assert_eq!(budget.free(), BUDGET - 5);
    for _ in 0..3 {
        let attempt = held.attempt(Http1);
        let progress = attempt.progress();
        assert_eq!(attempt.size_hint().exact(), Some(5));
        assert!(!progress.is_done());
        assert_eq!(attempt.collect().await.unwrap().to_bytes(), "hello");
        assert!(progress.is_done());
        assert!(held.is_whole());
    }
    held.settle();
    assert_eq!(budget.free(), BUDGET);
}

#[tokio::test]
async fn over_http1_nothing_passes_before_a_pod_has_begun() {
    let (mut sender, body) = fed();
    let held = hold(body, &Budget::new(BUDGET), Http1);
    feed(&mut sender, 1000).await;
    held.gather().await;
    assert!(!held.is_in_hand(), "more may come");
    for _ in 0..2 {
        let mut attempt = held.attempt(Http1);
        assert_eq!(available(&mut attempt).await, (0, false));
        held.open();
        assert_eq!(available(&mut attempt).await, (1000, false));
        assert!(held.is_whole(), "little enough is kept");
    }
}

#[tokio::test]
async fn a_client_that_expects_to_be_told_is_not_read_before() {
    for protocol in [Http1, Http2] {
        let keeping = Keeping {
            budget: &Budget::new(9),
            account: &Account::default(),
            protocol,
            expects: true,
            repeatable: true,
            pace: pace(),
        };
        let held = HeldBody::new(Full::new(Bytes::from_static(b"hi")), keeping);
        held.gather().await;
        assert!(!held.is_in_hand());
        let mut attempt = held.attempt(protocol);
        assert_eq!(available(&mut attempt).await, (0, false));
    }
}

#[tokio::test]
async fn a_long_body_stops_until_a_pod_has_begun() {
    let budget = Budget::new(BUDGET);
    let (mut sender, body) = fed();
    let held = hold(body, &budget, Http2);
    assert!(!held.is_in_hand());
    for _ in 0..3 {
        feed(&mut sender, KEPT_BYTES / 2).await;
    }
    let mut first = held.attempt(Http2);
    assert_eq!(available(&mut first).await, (KEPT_BYTES, false));
    let mut second = held.attempt(Http2);
    assert_eq!(available(&mut second).await, (KEPT_BYTES, false));
    let superseded = futures::poll!(first.frame());
    assert!(matches!(superseded, Poll::Ready(Some(Err(_)))));
    assert!(held.is_whole());
    (held.opener())();
    drop(sender);
    assert_eq!(available(&mut second).await, (KEPT_BYTES / 2, true));
    assert!(!held.is_whole(), "more was passed on than is kept");
    assert!(second.progress().is_done());
}

#[tokio::test]
async fn without_budget_nothing_is_read_before_a_pod_has_begun() {
    let budget = Budget::new(10);
    let (mut sender, body) = fed();
    let held = hold(body, &budget, Http2);
    assert!(!held.is_in_hand());
    feed(&mut sender, 1).await;
    let mut attempt = held.attempt(Http2);
    assert_eq!(available(&mut attempt).await, (0, false));
    assert_eq!(budget.free(), 10);
    held.open();
    assert_eq!(available(&mut attempt).await, (1, false));
}

#[tokio::test]
async fn a_pod_that_waits_for_the_rest_is_woken() {
    let (mut sender, body) = fed();
    let held = hold(body, &Budget::new(0), Http2);
    feed(&mut sender, 3).await;
    let mut attempt = held.attempt(Http2);
    let waiting = tokio::spawn(async move { attempt.frame().await.unwrap().unwrap() });
    tokio::task::yield_now().await;
    held.open();
    assert_eq!(waiting.await.unwrap().into_data().unwrap().len(), 3);
}

#[tokio::test]
async fn a_client_that_is_gone_ends_the_attempt() {
    let (_sender, body) = fed();
    let held = hold(body, &Budget::new(BUDGET), Http2);
    let mut attempt = held.attempt(Http2);
    let waiting = tokio::spawn(async move { attempt.frame().await });
    tokio::task::yield_now().await;
    drop(held);
    assert!(waiting.await.unwrap().unwrap().is_err());
}

#[tokio::test]
async fn what_no_other_pod_will_get_is_let_go() {
    let (mut sender, body) = fed();
    let held = hold(body, &Budget::new(BUDGET), Http2);
    let pieces: Vec<Arc<[u8]>> = vec![Arc::new([1; 10]), Arc::new([2; 10]), Arc::new([3; 10])];
    let feed = |piece: &Arc<[u8]>| Ok(Frame::data(Bytes::from_owner(piece.clone())));
    let mut attempt = held.attempt(Http2);
    sender.send(feed(&pieces[0])).await.unwrap();
    sender.send(feed(&pieces[1])).await.unwrap();
    held.gather().await;
    assert!(attempt.frame().await.unwrap().is_ok());
    held.settle();
    let held_of = |number: usize| Arc::strong_count(&pieces[number]) > 1;
    assert_eq!((held_of(0), held_of(1)), (false, true));
    sender.send(feed(&pieces[2])).await.unwrap();
    drop(sender);
    assert_eq!(available(&mut attempt).await, (20, true));
    assert!(attempt.progress().is_done());
    assert!(!held_of(1) && !held_of(2));
}

#[tokio::test]
async fn what_came_in_many_pieces_goes_out_in_one() {
    let (mut sender, body) = fed();
    let held = hold(body, &Budget::new(BUDGET), Http2);
    for bytes in [1, 0, 2, 3] {
        feed(&mut sender, bytes).await;
    }
    let end = Frame::trailers(http::HeaderMap::new());
    sender.send(Ok(end)).await.unwrap();
    drop(sender);
    held.gather().await;
    for _ in 0..2 {
        let mut attempt = held.attempt(Http2);
        let data = attempt.frame().await.unwrap().unwrap().into_data();
        assert_eq!(data.unwrap().len(), 6);
        assert!(attempt.frame().await.unwrap().unwrap().is_trailers());
        assert!(attempt.frame().await.is_none());
    }
}

#[tokio::test]
async fn trailers_are_kept_as_well() {
    let (mut sender, body) = fed();
    let held = hold(body, &Budget::new(BUDGET), Http2);
    feed(&mut sender, 1).await;
    let trailers = [("x-sum".parse().unwrap(), "1".parse().unwrap())];
    let frame = Frame::trailers(trailers.into_iter().collect());
    sender.send(Ok(frame)).await.unwrap();
    drop(sender);
    for _ in 0..2 {
        let collected = held.attempt(Http2).collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()["x-sum"], "1");
    }
}

#[tokio::test]
async fn a_long_body_takes_nothing_of_the_budget_while_it_waits() {
    let budget = Budget::new(BUDGET);
    for bytes in [KEPT_BYTES / 2, 10 << 20] {
        let held = hold(Full::new(Bytes::from(vec![7; bytes])), &budget, Http1);
        held.gather().await;
        let mut attempt = held.attempt(Http1);
        assert_eq!(available(&mut attempt).await, (0, false));
        assert_eq!(budget.taken(), 0);
        held.open();
        let kept = if bytes <= KEPT_BYTES { bytes } else { 0 };
        assert_eq!(budget.taken(), kept, "what can be kept whole is");
        assert_eq!(available(&mut attempt).await, (bytes, true));
        assert_eq!(held.is_whole(), kept > 0);
    }
    assert_eq!(budget.taken(), 0);
}

#[tokio::test]
async fn what_cannot_be_repeated_is_not_kept_once_a_pod_has_begun() {
    let budget = Budget::new(BUDGET);
    let keeping = Keeping {
        budget: &budget,
        account: &Account::default(),
        protocol: Http1,
        expects: false,
        repeatable: false,
        pace: pace(),
    };
    let body = Full::new(Bytes::from(vec![7; KEPT_BYTES / 2]));
    let held = HeldBody::new(body, keeping);
    let mut attempt = held.attempt(Http1);
    held.open();
    assert_eq!(available(&mut attempt).await, (KEPT_BYTES / 2, true));
    assert_eq!(budget.taken(), 0);
    assert!(!held.is_whole());
}

#[tokio::test]
async fn one_functions_bodies_leave_room_for_anothers() {
    let budget = Budget::new(BUDGET);
    let (flood, other) = (Account::default(), Account::default());
    let small = |account| {
        let keeping = Keeping {
            budget: &budget,
            account,
            protocol: Http1,
            expects: false,
            repeatable: false,
            pace: pace(),
        };
        HeldBody::new(Full::new(Bytes::from(vec![7; 10_000])), keeping)
    };
    let mut held = Vec::new();
    for account in std::iter::repeat_n(&flood, 500).chain([&other]) {
        let body = small(account);
        body.gather().await;
        held.push(body);
    }
    assert!(budget.taken() <= BUDGET * 6 / 10, "{}", budget.taken());
    assert!(!held[499].is_in_hand());
    assert!(held[500].is_in_hand());
}

#[tokio::test(start_paused = true)]
async fn a_body_is_late_only_while_a_pod_asks_for_it() {
    let (pace, budget) = (pace(), Budget::new(BUDGET));
    let keeping = Keeping {
        budget: &budget,
        account: &Account::default(),
        protocol: Http2,
        expects: false,
        repeatable: true,
        pace: pace.clone(),
    };
    let (mut sender, body) = fed();
    let held = HeldBody::new(body, keeping);
    feed(&mut sender, 1).await;
    held.gather().await;
    // The request waits, has been to a pod that refused it, and waits again.
    tokio::time::advance(2 * WITHIN).await;
    for _ in 0..2 {
        let mut attempt = held.attempt(Http2);
        assert_eq!(available(&mut attempt).await, (1, false));
        drop(attempt);
        tokio::time::advance(2 * WITHIN).await;
    }
    let mut attempt = held.attempt(Http2);
    assert_eq!(available(&mut attempt).await, (1, false));
    tokio::time::advance(WITHIN / 2).await;
    feed(&mut sender, 1).await;
    assert_eq!(available(&mut attempt).await, (1, false));
    assert_eq!(pace.metrics.faults(pace.entrance, Fault::SlowBody), 0);
    tokio::time::advance(WITHIN + Duration::from_millis(1)).await;
    assert!(attempt.frame().await.unwrap().is_err());
    assert!(held.has_failed());
    // Another pod does not take it for a whole one.
    drop(sender);
    let mut attempt = held.attempt(Http2);
    assert!(attempt.frame().await.unwrap().is_ok());
    assert!(attempt.frame().await.unwrap().is_ok());
    assert!(attempt.frame().await.unwrap().is_err());
    assert_eq!(pace.metrics.faults(pace.entrance, Fault::SlowBody), 1);
}
