//! Servers that stop reading: their connections end, and give their places back.

use std::{future::pending, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::Request;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket},
    time::{pause, timeout},
};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::{
    calls::Function,
    list,
    server::{OK, Script},
};
use crate::{
    roots::Roots,
    samples::tls::{HOST, acceptor},
    sandbox::outbound::{Outbound, OwnHosts, connect::TAKEN_WITHIN},
};

/// Room for one connection.
fn outbound(roots: &Roots) -> Arc<Outbound> {
    let resolver = Script::new(&["127.0.0.1"]);
    Arc::new(Outbound::with(
        resolver,
        roots.tls(),
        OwnHosts::default(),
        1,
    ))
}

/// One whose connections take little before they are full.
fn listen() -> (TcpListener, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Sends without end, and does `at_first` when that begins.
fn upload(uri: &str, at_first: fn()) -> Request<WasiBody> {
    let frame = || Ok::<_, Error>(Frame::data(Bytes::from_static(&[0; 16 << 10])));
    let first = stream::once(async move {
        at_first();
        frame()
    });
    let frames = first.chain(stream::repeat_with(frame));
    Request::post(uri)
        .body(StreamBody::new(frames).boxed_unsync())
        .unwrap()
}

/// Whether the connection ends. Once time is paused, it runs as soon as nothing else happens.
async fn has_room(outbound: &Outbound) -> bool {
    timeout(10 * TAKEN_WITHIN, outbound.until_room_for(1))
        .await
        .is_ok()
}

#[tokio::test]
async fn an_upload_that_nobody_reads_ends_though_its_answer_has_come() {
    let (listener, address) = listen();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_u8().await.unwrap();
        stream.write_all(OK.as_bytes()).await.unwrap();
        pending::<()>().await;
    });
    let outbound = outbound(&Roots::default());
    let function = Function::new(&outbound, list(&["127.0.0.0/8"], &[]));
    let answer = function.send(upload(&format!("http://{address}/"), || ()), None);
    let body = answer.await.unwrap().into_body().collect().await;
    pause();
    assert_eq!(body.unwrap().to_bytes(), "ok");
    assert!(has_room(&outbound).await);
}

#[tokio::test]
async fn the_end_of_tls_is_not_waited_for_where_nobody_reads() {
    let (listener, address) = listen();
    let (acceptor, roots) = acceptor(b"http/1.1");
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let _stream = acceptor.accept(stream).await.unwrap();
        pending::<()>().await;
    });
    let outbound = outbound(&roots);
    let uri = format!("https://{HOST}:{}", address.port());
    let function = Function::new(&outbound, list(&[&uri, "127.0.0.1/32"], &[]));
    // It is given up before the connection is.
    let options = RequestOptions {
        first_byte_timeout: Some(Duration::from_secs(1)),
        ..RequestOptions::default()
    };
    let error = function.send(upload(&uri, pause), Some(options)).await;
    assert_eq!(error.unwrap_err(), "ConnectionReadTimeout");
    assert!(has_room(&outbound).await);
}
