use std::{
    num::NonZeroUsize,
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

use futures::{Stream, StreamExt};
use wasmfn_report::{FunctionId, RuntimeLine};

use super::*;
use crate::{
    budget::Budget,
    changes::Changes,
    engine::Slots,
    function::{Function, FunctionTable},
    serve::Admission,
    share::Share,
};

fn picture() -> Arc<Picture> {
    Arc::new(Picture {
        pod: Pod {
            name: "pod-1".to_owned(),
            runtime: "wasmfn-shared".to_owned(),
        },
        functions: Arc::new(FunctionTable::default()),
        admission: Arc::new(Admission::new(
            Budget::new(1 << 30),
            Slots::new(10),
            Share::Some,
        )),
        runnable: Arc::new(AtomicU32::new(0)),
        threads: NonZeroUsize::MIN,
        changes: Arc::new(Changes::default()),
        is_in_sync: false.into(),
        is_leaving: false.into(),
    })
}

fn add(picture: &Picture, name: &str) -> Arc<Function> {
    let id = FunctionId {
        namespace: "team".to_owned(),
        name: name.to_owned(),
        uid: format!("uid-{name}"),
    };
    let function = Function::new(id, Arc::clone(&picture.changes), Arc::default());
    picture.functions.insert(&function);
    picture.changes.urgent();
    function
}

/// The lines of the next piece.
async fn next(
    stream: &mut (impl Stream<Item = Result<bytes::Bytes, axum::Error>> + Unpin),
) -> Vec<RuntimeLine> {
    let bytes = stream.next().await.unwrap().unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn a_stream_begins_with_everything_and_goes_on_with_changes() {
    let picture = picture();
    let hello = add(&picture, "hello");
    let mut stream = body(Arc::clone(&picture)).into_data_stream();

    let first = next(&mut stream).await;
    let [
        RuntimeLine::Pod(pod),
        RuntimeLine::Function(function),
        RuntimeLine::Synced,
    ] = &first[..]
    else {
        panic!("{first:?}");
    };
    assert_eq!(pod.pod, "pod-1");
    assert!(!pod.in_sync);
    assert_eq!(function.function.name, "hello");

    picture.in_sync();
    let second = next(&mut stream).await;
    assert!(
        matches!(&second[..], [RuntimeLine::Pod(pod)] if pod.in_sync),
        "{second:?}"
    );

    picture.functions.remove(&hello);
    picture.changes.urgent();
    let third = next(&mut stream).await;
    assert!(
        matches!(&third[..], [RuntimeLine::Gone { function }] if function.name == "hello"),
        "{third:?}"
    );
}

#[tokio::test]
async fn a_request_is_told_when_it_begins_and_when_it_ends() {
    let picture = picture();
    let hello = add(&picture, "hello");
    let mut stream = body(Arc::clone(&picture)).into_data_stream();
    next(&mut stream).await;
    let in_flight = hello.enter(10).unwrap();
    let lines = next(&mut stream).await;
    assert!(
        matches!(&lines[..], [RuntimeLine::Function(function)] if function.in_flight == 1),
        "{lines:?}"
    );
    drop(in_flight);
    let lines = next(&mut stream).await;
    assert!(
        matches!(&lines[..], [RuntimeLine::Function(function)] if function.in_flight == 0),
        "{lines:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_has_a_heartbeat() {
    let mut stream = body(picture()).into_data_stream();
    next(&mut stream).await;
    let start = tokio::time::Instant::now();
    assert_eq!(next(&mut stream).await, [RuntimeLine::Heartbeat]);
    let waited = start.elapsed();
    assert!(waited >= Duration::from_millis(900), "{waited:?}");
    assert!(waited < Duration::from_secs(5), "{waited:?}");
}

#[tokio::test]
async fn a_pod_that_is_full_no_more_says_so_though_nobody_asks_it() {
    let picture = picture();
    let mut stream = body(Arc::clone(&picture)).into_data_stream();
    next(&mut stream).await;
    let mut told = Vec::new();
    while told.last() != Some(&false) {
        if told.is_empty() {
            picture.admission.refuse_full();
        }
        for line in next(&mut stream).await {
            if let RuntimeLine::Pod(pod) = line {
                told.push(pod.full);
            }
        }
    }
    assert_eq!(told, [true, false]);
}
