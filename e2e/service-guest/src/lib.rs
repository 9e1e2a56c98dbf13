//! A WASI 0.3 service for tests: well and ill behaved, by path.

mod company;
mod misuse;

use wasip3::{
    clocks::monotonic_clock,
    exports::http::handler::Guest,
    http::types::{ErrorCode, Fields, Request, Response},
    wit_bindgen::{self, StreamResult},
    wit_future, wit_stream,
};

wasip3::http::service::export!(Service);

struct Service;

/// Bytes of the stream that are read at once.
const PIECE_BYTES: usize = 16 << 10;

impl Guest for Service {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query();
        let path = target.as_deref().unwrap_or("/");
        match path {
            "/echo" => Ok(echo(request)),
            "/slow" => {
                monotonic_clock::wait_for(60_000_000_000).await;
                Ok(text("slow"))
            }
            "/count" => Ok(announced(&count().to_string())),
            "/trap" => core::arch::wasm32::unreachable(),
            "/spin" => loop {
                core::hint::black_box(());
            },
            "/grow" => grow(),
            "/error" => Err(ErrorCode::InternalError(None)),
            _ => match company::answer(path).await {
                Some(answer) => Ok(answer),
                None => Ok(misuse::answer(path)
                    .await
                    .unwrap_or_else(|| text("Hello, 0.3!"))),
            },
        }
    }
}

/// How many requests this instance has counted.
fn count() -> u32 {
    use core::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed) + 1
}

fn grow() -> ! {
    let mut all: Vec<Vec<u8>> = Vec::new();
    loop {
        all.push(vec![1; 1 << 20]);
        core::hint::black_box(&all);
    }
}

fn text(text: &str) -> Response {
    respond(Fields::new(), written(text))
}

/// The same, and says before how long it is.
fn announced(text: &str) -> Response {
    let headers = Fields::new();
    let length = text.len().to_string();
    let _ = headers.append("content-length", length.as_bytes());
    respond(headers, written(text))
}

fn written(text: &str) -> wit_bindgen::StreamReader<u8> {
    let (mut writer, body) = wit_stream::new();
    let bytes = text.as_bytes().to_vec();
    wit_bindgen::spawn_local(async move {
        writer.write_all(bytes).await;
    });
    body
}

/// Sends the body back piece by piece.
fn echo(request: Request) -> Response {
    let (_, done) = wit_future::new(|| Ok(()));
    let (mut incoming, _trailers) = Request::consume_body(request, done);
    let (mut writer, body) = wit_stream::new();
    wit_bindgen::spawn_local(async move {
        loop {
            let (result, piece) = incoming.read(Vec::with_capacity(PIECE_BYTES)).await;
            if !piece.is_empty() && !writer.write_all(piece).await.is_empty() {
                return;
            }
            if !matches!(result, StreamResult::Complete(_)) {
                return;
            }
        }
    });
    respond(Fields::new(), body)
}

fn respond(headers: Fields, body: wit_bindgen::StreamReader<u8>) -> Response {
    let (trailers, trailers_reader) = wit_future::new(|| Ok(None));
    drop(trailers);
    Response::new(headers, Some(body), trailers_reader).0
}
