//! A guest that tells how many requests its instance has served, and bears the next one or not, by
//! path.

use std::sync::atomic::{AtomicU32, Ordering};

use guests::Query;
use wasip2::{
    clocks::monotonic_clock::subscribe_duration,
    exports::http::incoming_handler::Guest,
    http::{
        outgoing_handler,
        types::{
            Fields, IncomingRequest, OutgoingBody, OutgoingRequest, OutgoingResponse,
            ResponseOutparam, Scheme,
        },
    },
};

struct Repeated;

wasip2::http::proxy::export!(Repeated);

/// Programs of this target need one; nobody calls it.
fn main() {}

static SERVED: AtomicU32 = AtomicU32::new(0);

impl Guest for Repeated {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let query = Query::new(query);
        let served = SERVED.fetch_add(1, Ordering::Relaxed) + 1;
        match path {
            "/trap" => core::arch::wasm32::unreachable(),
            "/spin" => loop {
                core::hint::black_box(());
            },
            "/burn" => burn(query.number("rounds", 0)),
            "/wait" => subscribe_duration(query.number("seconds", 0) * 1_000_000_000).block(),
            "/call-once" => {
                call(&query.text("authority"));
                if served > 1 {
                    core::arch::wasm32::unreachable();
                }
            }
            "/once" if served > 1 => core::arch::wasm32::unreachable(),
            "/once-read" => {
                read(&request);
                if served > 1 {
                    core::arch::wasm32::unreachable();
                }
            }
            "/begun-once" if served > 1 => {
                std::mem::forget(begin(out));
                core::arch::wasm32::unreachable();
            }
            "/silent-once" if served > 1 => return,
            "/error-once" if served > 1 => {
                let code = wasip2::http::types::ErrorCode::InternalError(None);
                return ResponseOutparam::set(out, Err(code));
            }
            "/leak" => {
                for _ in 0..query.number("count", 0) {
                    std::mem::forget(Fields::new());
                }
            }
            "/grow" => {
                let mebibytes = usize::try_from(query.number("mebibytes", 0)).unwrap_or(0);
                let memory: Vec<u8> = vec![1; mebibytes << 20];
                core::hint::black_box(&memory);
            }
            "/hold" => return hold(out),
            "/announced" => return say_announced(out, &served.to_string()),
            // The body of the request is held for as long as the instance lives.
            "/hold-request" => std::mem::forget(request),
            _ => {}
        }
        say(out, &served.to_string());
    }
}

fn burn(rounds: u64) {
    for round in 0..rounds {
        core::hint::black_box(round);
    }
}

fn call(authority: &str) {
    let request = OutgoingRequest::new(Fields::new());
    let _ = request.set_scheme(Some(&Scheme::Http));
    let _ = request.set_authority(Some(authority));
    let _ = request.set_path_with_query(Some("/"));
    let answer = outgoing_handler::handle(request, None).expect("a call that is allowed");
    answer.subscribe().block();
}

fn read(request: &IncomingRequest) {
    let body = request.consume().expect("the first");
    let stream = body.stream().expect("the first");
    while stream.blocking_read(4096).is_ok() {}
}

fn begin(out: ResponseOutparam) -> OutgoingBody {
    begin_with(out, Fields::new())
}

fn begin_with(out: ResponseOutparam, headers: Fields) -> OutgoingBody {
    let response = OutgoingResponse::new(headers);
    let body = response.body().expect("the first of the response");
    ResponseOutparam::set(out, Ok(response));
    body
}

fn say(out: ResponseOutparam, text: &str) {
    let body = begin(out);
    let stream = body.write().expect("the first of the body");
    let _ = stream.blocking_write_and_flush(text.as_bytes());
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

/// The same, and says before how long it is. Insists on ending its answer by itself.
fn say_announced(out: ResponseOutparam, text: &str) {
    let headers = Fields::new();
    let length = text.len().to_string();
    let _ = headers.append("content-length", length.as_bytes());
    let body = begin_with(out, headers);
    let stream = body.write().expect("the first of the body");
    stream.subscribe().block();
    let room = stream.check_write().expect("it is open");
    assert!(room >= text.len() as u64);
    stream.write(text.as_bytes()).expect("there is room");
    stream.blocking_flush().expect("it is open still");
    drop(stream);
    OutgoingBody::finish(body, None).expect("all is written");
}

/// Begins an answer and never ends it.
fn hold(out: ResponseOutparam) {
    std::mem::forget(begin(out));
}
