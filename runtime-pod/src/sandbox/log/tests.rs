use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use http::{HeaderMap, HeaderValue};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tracing::{Dispatch, subscriber::DefaultGuard};
use tracing_subscriber::fmt::MakeWriter;
use wasmtime_wasi::cli::StdoutStream;

use super::{GuestLog, RequestId, RequestLog, Source};
use crate::sandbox::{Print as _, Refused};

/// Where log lines go instead of the container's output.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Written {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Written {
    /// The lines, without their times.
    fn lines(&self) -> Vec<Value> {
        let bytes = self.0.lock().unwrap();
        let lines = std::str::from_utf8(&bytes).unwrap().lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// Takes in what this thread logs, for as long as the guard lives. Where there is but one subscriber, a
/// thread that has none may be the first at a log line, and nobody hears of that line any more
/// (<https://github.com/tokio-rs/tracing/issues/3611>): so there are two.
fn listen() -> (Written, (DefaultGuard, Dispatch)) {
    let second = Dispatch::new(tracing_subscriber::registry());
    let written = Written::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_writer(written.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    (written, (guard, second))
}

fn request(name: &'static str) -> RequestId {
    let mut headers = HeaderMap::new();
    headers.insert("x-request-id", HeaderValue::from_static(name));
    RequestId::of(&headers)
}

#[tokio::test]
async fn what_guests_write_becomes_lines_with_function_and_request() {
    let (written, _guard) = listen();
    let log = RequestLog::new(GuestLog::new("hello", Arc::default()));
    log.serves(Some(request("r-1")));
    let mut output = Box::into_pin(log.stream("stdout").async_stream());
    output.write_all(b"one\n\x1b[31m{\"a\":1}\n").await.unwrap();
    let source = Source::Logging {
        level: "critical",
        context: "checkout",
    };
    log.line(source, "the till is empty");
    log.of_function()
        .refused(Refused::OutboundDenied, "no such call");

    let lines = written.lines();
    let fields = |index: usize| lines[index]["fields"].clone();
    assert_eq!(lines.len(), 4);
    assert!(
        lines.iter().all(|line| line["target"] == "guest"),
        "{lines:?}"
    );
    assert!(
        lines
            .iter()
            .all(|line| line["fields"]["function"] == "hello")
    );
    assert_eq!(fields(0)["request"], "r-1");
    assert_eq!(fields(0)["stream"], "stdout");
    assert_eq!(fields(0)["message"], "one");
    // What would steer a terminal, or end the line, is part of the text.
    assert_eq!(fields(1)["message"], "\u{1b}[31m{\"a\":1}");
    assert_eq!(lines[2]["level"], "ERROR");
    assert_eq!(fields(2)["level"], "critical");
    assert_eq!(fields(2)["context"], "checkout");
    assert_eq!(fields(2)["message"], "the till is empty");
    assert_eq!(fields(3)["reason"], "OutboundDenied");
}

#[tokio::test]
async fn each_request_of_an_instance_has_its_own_lines() {
    let (written, _guard) = listen();
    let log = RequestLog::new(GuestLog::new("hello", Arc::default()));
    let output = log.stream("stdout");
    log.serves(Some(request("r-1")));
    output.lock().print(b"begun");
    output.lock().finish();
    log.serves(Some(request("r-2")));
    output.lock().print(b"other\n");
    let said: Vec<_> = written
        .lines()
        .iter()
        .map(|line| {
            (
                line["fields"]["request"].clone(),
                line["fields"]["message"].clone(),
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            ("r-1".into(), "begun".into()),
            ("r-2".into(), "other".into())
        ]
    );
}
