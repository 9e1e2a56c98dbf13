//! A guest that does what its path says, so that one module serves most stories.

use wstd::http::{Body, Error, Request, Response};

mod body;
mod burn;
mod inspect;
mod misbehave;
mod outbound;
mod query;
mod stream;

pub use query::Query;

/// Header with the unique id of a request; `/id` and `/slow` give it back.
pub const ID_HEADER: &str = "x-request-id";

/// Header of every answer: the version that gave it.
pub const VERSION_HEADER: &str = "x-guest-version";

/// Answers by path; `version` is what `/version` says.
pub async fn answer(request: Request<Body>, version: &str) -> Result<Response<Body>, Error> {
    let query = Query::of(request.uri());
    let path = request.uri().path().to_owned();
    let id = request.headers().get(ID_HEADER).cloned();
    let mut response = match path.trim_start_matches('/').split_once('/') {
        Some(("status", code)) => inspect::status(code)?,
        Some(("env", name)) => inspect::environment(name),
        _ => match path.as_str() {
            "/version" => Response::new(format!("{version}\n").into()),
            "/id" => Response::new(id.as_ref().map_or("", |id| id.to_str().unwrap_or("")).to_owned().into()),
            "/headers" => inspect::headers(&request),
            "/echo" => body::echo(request),
            "/hold" => body::hold(request).await?,
            "/big" => body::big(query.number("bytes", 1 << 20)),
            "/trailers" => body::trailers(),
            "/stream" => stream::chunks(query.number("chunks", 3), query.number("pauseMilliseconds", 100)),
            "/slow" => stream::slow(query.number("milliseconds", 1000)).await,
            "/started" => {
                inspect::log_id(id.as_ref());
                stream::slow(query.number("milliseconds", 1000)).await
            }
            "/burn" => burn::until(query.number("milliseconds", 1000)),
            "/work" => burn::work(query.number("rounds", 1000)),
            "/outbound" => outbound::call(&query.text("url")).await?,
            "/trap" => misbehave::trap(),
            "/spin" => misbehave::spin(),
            "/grow" => misbehave::grow(),
            "/log" => misbehave::log(query.number("lines", 1)),
            _ => Response::new(format!("answer {version}\n").into()),
        },
    };
    let headers = response.headers_mut();
    headers.insert(VERSION_HEADER, version.parse()?);
    if let Some(id) = id {
        headers.insert(ID_HEADER, id);
    }
    Ok(response)
}
