//! What a 0.3 service can do wrong that a 0.2 component has no means for: tasks, streams, futures and
//! work that outlives the answer.

use core::{future::poll_fn, mem::forget, pin::Pin, task::Poll};

use wasip3::{
    clocks::monotonic_clock,
    http::types::{ErrorCode, Fields, Response},
    wit_bindgen, wit_future, wit_stream,
};

/// Longer than any request.
const AN_HOUR: u64 = 3_600_000_000_000;
/// Between two turns of work that never ends.
const A_MOMENT: u64 = 1_000_000;

/// Does what `path` says, if that is one of these.
pub(crate) async fn answer(path: &str) -> Option<Response> {
    match path {
        "/no-answer" => no_answer().await,
        "/endless-tasks" => endless_tasks().await,
        "/endless-spawns" => endless_spawns(),
        "/endless-streams" => endless_streams(),
        "/endless-futures" => endless_futures(),
        "/half-a-length" => Some(half(Some("10"), Ok(None))),
        "/half-and-error" => Some(half(None, Err(ErrorCode::InternalError(None)))),
        "/works-on" => Some(works_on()),
        "/spins-on" => Some(spins_on()),
        "/spins-midway" => Some(spins_midway()),
        _ => None,
    }
}

/// Waits for a future that nobody resolves, and that stays open.
async fn no_answer() -> ! {
    let (writer, reader) = wit_future::new::<Result<(), ErrorCode>>(|| Ok(()));
    forget(writer);
    let _ = reader.await;
    unreachable!("nobody resolves it")
}

/// Starts calls of the host that are never waited for.
async fn endless_tasks() -> ! {
    loop {
        let mut call = Box::pin(monotonic_clock::wait_for(AN_HOUR));
        poll_fn(|context| {
            let _ = Future::poll(Pin::as_mut(&mut call), context);
            Poll::Ready(())
        })
        .await;
        forget(call);
    }
}

/// Starts tasks of its own that never get their turn.
fn endless_spawns() -> ! {
    loop {
        wit_bindgen::spawn_local(async { monotonic_clock::wait_for(AN_HOUR).await });
    }
}

fn endless_streams() -> ! {
    loop {
        forget(wit_stream::new::<u8>());
    }
}

fn endless_futures() -> ! {
    loop {
        forget(wit_future::new::<Result<(), ErrorCode>>(|| Ok(())));
    }
}

/// Five bytes, after which its body's writer is dropped and its trailers say how it ended.
fn half(length: Option<&str>, end: Result<Option<Fields>, ErrorCode>) -> Response {
    let headers = Fields::new();
    if let Some(length) = length {
        let _ = headers.append("content-length", length.as_bytes());
    }
    let (mut writer, body) = wit_stream::new();
    let (trailers, trailers_reader) = wit_future::new(|| Ok(None));
    wit_bindgen::spawn_local(async move {
        writer.write_all(b"01234".to_vec()).await;
        drop(writer);
        let _ = trailers.write(end).await;
    });
    Response::new(headers, Some(body), trailers_reader).0
}

/// Waits and works for ever after a whole answer.
fn works_on() -> Response {
    wit_bindgen::spawn_local(async {
        loop {
            monotonic_clock::wait_for(A_MOMENT).await;
        }
    });
    crate::text("answered")
}

/// Computes for ever after a whole answer.
fn spins_on() -> Response {
    wit_bindgen::spawn_local(async {
        monotonic_clock::wait_for(A_MOMENT).await;
        loop {
            core::hint::black_box(());
        }
    });
    crate::text("answered")
}

/// Computes for ever in the middle of its answer.
fn spins_midway() -> Response {
    let (mut writer, body) = wit_stream::new();
    wit_bindgen::spawn_local(async move {
        writer.write_all(b"begun".to_vec()).await;
        loop {
            core::hint::black_box(());
        }
    });
    crate::respond(Fields::new(), body)
}
