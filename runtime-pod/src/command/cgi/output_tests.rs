use std::sync::mpsc as std_mpsc;

use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError};

use super::*;
use crate::serve::AnswerBody;

/// An output, and what it sent.
fn output() -> (Output, std_mpsc::Receiver<Response<AnswerBody>>) {
    let (sender, receiver) = std_mpsc::channel();
    let output = Output::new(Box::new(move |answer| {
        let _ = sender.send(answer);
    }));
    (output, receiver)
}

fn write(output: &mut Output, text: &'static str) -> Result<(), StreamError> {
    output.write(Bytes::from_static(text.as_bytes()))
}

async fn text(body: AnswerBody) -> String {
    let bytes = body.collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn the_answer_begins_with_the_end_of_its_head() {
    let (mut output, answers) = output();
    write(&mut output, "Content-Type: text/plain\n").unwrap();
    assert!(answers.try_recv().is_err());
    write(&mut output, "\none ").unwrap();
    let answer = answers.try_recv().unwrap();
    assert_eq!(answer.headers()["content-type"], "text/plain");
    write(&mut output, "two").unwrap();
    assert!(output.finish(false, Ok(())).is_ok());
    drop(output);
    assert_eq!(text(answer.into_body()).await, "one two");
}

#[tokio::test]
async fn a_program_waits_for_its_client() {
    let (mut output, answers) = output();
    write(&mut output, "Status: 200\n\n").unwrap();
    let mut body = answers.try_recv().unwrap().into_body();
    for _ in 0..PIECES {
        output.ready().await;
        assert!(output.check_write().unwrap() > 0);
        write(&mut output, "piece").unwrap();
    }
    assert_eq!(output.check_write().unwrap(), 0);
    body.frame().await.unwrap().unwrap();
    output.ready().await;
    assert!(output.check_write().unwrap() > 0);
    drop(body);
    assert!(matches!(output.check_write(), Err(StreamError::Closed)));
}

#[test]
fn a_head_that_is_none_ends_the_program_and_says_why() {
    let (mut output, answers) = output();
    assert!(matches!(
        write(&mut output, "hello\n\n"),
        Err(StreamError::Trap(_))
    ));
    assert!(answers.try_recv().is_err());
    let error = output.finish(false, Ok(())).unwrap_err();
    assert!(error.to_string().contains("line 1"), "{error}");
}

#[test]
fn silence_is_no_answer() {
    let (output, _answers) = output();
    let error = output.finish(false, Ok(())).unwrap_err();
    assert!(error.to_string().contains("it printed nothing"), "{error}");
}

#[test]
fn a_length_that_was_announced_holds() {
    let head = "Status: 200\nContent-Length: 3\n\n";
    let (mut short, _answers) = output();
    write(&mut short, head).unwrap();
    write(&mut short, "ab").unwrap();
    let error = short.finish(false, Ok(())).unwrap_err().to_string();
    assert!(error.contains("announced 3 bytes and printed 2"), "{error}");
    assert!(short.finish(true, Ok(())).is_ok());

    let (mut long, _answers) = output();
    write(&mut long, head).unwrap();
    assert!(write(&mut long, "abcd").is_err());
    let error = long.finish(false, Ok(())).unwrap_err().to_string();
    assert!(error.contains("announced 3 bytes and printed 4"), "{error}");
}
