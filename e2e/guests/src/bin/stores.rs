//! Uses what it is granted: key-value stores and the log.
//!
//! `/open/STORE` opens a store and says what came of it; `/visits/STORE` counts visits in it;
//! `/round/STORE` sets, lists, gets and deletes; `/large/STORE` offers what is too large;
//! `/leak/STORE` opens it again and again and keeps all; `/log` logs at every level.

use bindings::wasi::{
    keyvalue::{atomics, batch, store},
    logging::logging::{self, Level},
};
use wstd::http::{Body, Error, Request, Response};

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package example:stores@1.0.0;
            world guest {
                include wasi:keyvalue/imports@0.2.0-draft;
                import wasi:logging/logging@0.1.0-draft;
            }
        ",
        path: ["../../runtime-pod/wit/keyvalue.wit", "../../runtime-pod/wit/logging.wit"],
        world: "example:stores/guest",
        generate_all,
    });
}

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    let path = request.uri().path().to_owned();
    let text = match path.trim_start_matches('/').split_once('/') {
        Some(("open", name)) => store::open(name).map(|_| "opened".to_owned()),
        Some(("visits", name)) => visits(name),
        Some(("round", name)) => round(name),
        Some(("large", name)) => large(name),
        Some(("leak", name)) => leak(name),
        _ => Ok(log()),
    };
    let text = text.unwrap_or_else(|error| format!("{error:?}"));
    Ok(Response::new(text.into()))
}

fn visits(name: &str) -> Result<String, store::Error> {
    let bucket = store::open(name)?;
    atomics::increment(&bucket, "visits", 1).map(|count| count.to_string())
}

fn round(name: &str) -> Result<String, store::Error> {
    let bucket = store::open(name)?;
    let pairs = [("a", "1"), ("b", "2")].map(|(key, value)| (key.to_owned(), value.into()));
    batch::set_many(&bucket, &pairs)?;
    bucket.set("c", b"3")?;
    let mut keys = bucket.list_keys(None)?.keys;
    keys.sort();
    let found = batch::get_many(&bucket, &["a".to_owned(), "none".to_owned()])?;
    batch::delete_many(&bucket, &keys)?;
    let is_left = bucket.exists("a")?;
    Ok(format!("{keys:?} {found:?} {is_left}"))
}

fn large(name: &str) -> Result<String, store::Error> {
    let bucket = store::open(name)?;
    let key = bucket.set(&"k".repeat(1025), b"");
    let value = bucket.set("key", &vec![0; (1 << 20) + 1]);
    let batch = batch::delete_many(&bucket, &vec!["key".to_owned(); 101]);
    Ok(format!("{key:?}\n{value:?}\n{batch:?}"))
}

fn leak(name: &str) -> Result<String, store::Error> {
    let mut kept = Vec::new();
    loop {
        kept.push(store::open(name)?);
    }
}

fn log() -> String {
    for level in [
        Level::Trace,
        Level::Debug,
        Level::Info,
        Level::Warn,
        Level::Error,
        Level::Critical,
    ] {
        logging::log(level, "context", "message");
    }
    "logged".to_owned()
}
