use wstd::http::{Body, Error, Request, Response};

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    let who = request.uri().path().trim_matches('/');
    let who = if who.is_empty() { "world" } else { who };
    Ok(Response::new(format!("Hello, {who}!\n").into()))
}
